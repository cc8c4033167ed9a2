"""What users add in the places that are theirs: a parameter that their function may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from update.work import chain, exchange, insert

if TYPE_CHECKING:
    from update.work import Edits

HANDLER = """\
import os


def handler(event, context):
    return {"parameter": os.environ["PARAMETER"]}
"""

SAM = {
    ">>> yours: environment": "        PARAMETER: !Ref Greeting\n",
    ">>> yours: more permissions of main": """\
              - Effect: Allow
                Action: ssm:GetParameter
                Resource: !Sub arn:${AWS::Partition}:ssm:*:*:parameter/${Greeting}
""",
    ">>> yours: resources": """\
  Greeting:
    Type: AWS::SSM::Parameter
    Properties:
      Name: !Sub NAME-${Stage}-greeting
      Type: String
      Value: hello
""",
}

CDK = '''\
"""The greeting."""

from aws_cdk import aws_ssm as ssm


def extend(stack, settings):
    """Keep it in a parameter that the function may read."""
    name = f"NAME-{settings.stage}-greeting"
    greeting = ssm.StringParameter(
        stack, "Greeting", parameter_name=name, string_value="hello", simple_name=True
    )
    main = stack.functions["main"].function
    main.add_environment("PARAMETER", greeting.parameter_name)
    greeting.grant_read(main)
'''

CLI = {
    "own_environment": """printf '%s\\n' "PARAMETER=$project-$STAGE-greeting";""",
    "own_statements": (
        """echo '{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}';"""
    ),
    "put_own_resources": (
        """aws ssm put-parameter --name "$project-$STAGE-greeting" --type String """
        """--value hello --overwrite >/dev/null;"""
    ),
    "list_own_resources": """printf 'parameter  %s\\n' "$project-$STAGE-greeting";""",
    "delete_own_resources": """aws ssm delete-parameter --name "$project-$STAGE-greeting";""",
}


def own_parameter(iac: str, project: str) -> Edits:
    """The edits that add it."""
    if iac == "sam":
        changes = (insert(marker, text.replace("NAME", project)) for marker, text in SAM.items())
        return {"template.yaml": chain(*changes)}
    if iac == "cdk":
        return {"infra/own.py": lambda _: CDK.replace("NAME", project)}
    bodies = (
        exchange(f"{name}() {{ :; }}", f"{name}() {{ {body} }}") for name, body in CLI.items()
    )
    return {"scripts/own.sh": chain(*bodies)}
