"""What users add in the places that are theirs: a log that their function may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from update.work import chain, exchange, insert

if TYPE_CHECKING:
    from update.work import Edits

HANDLER = """\
import os


def handler(event, context):
    return {"log": os.environ["ORDERS"]}
"""

SAM = {
    ">>> yours: environment variables of all": "        ORDERS: !Ref Orders\n",
    ">>> yours: more permissions of main": """\
              - Effect: Allow
                Action: [logs:CreateLogStream, logs:PutLogEvents]
                Resource: !GetAtt Orders.Arn
""",
    ">>> yours: resources": """\
  Orders:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Sub NAME-${Stage}-orders
      RetentionInDays: 7
""",
}

CDK = '''\
"""The log of orders."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs


def extend(stack, settings):
    """Keep it as long as the stage."""
    name = f"NAME-{settings.stage}-orders"
    orders = logs.LogGroup(
        stack, "Orders", log_group_name=name, removal_policy=RemovalPolicy.DESTROY
    )
    main = stack.functions["main"].function
    main.add_environment("ORDERS", orders.log_group_name)
    orders.grant_write(main)
'''

CLI = {
    "own_environment": """printf '%s\\n' "ORDERS=$project-$STAGE-orders";""",
    "own_statements": (
        """echo '{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}';"""
    ),
    "put_own_resources": (
        """aws logs create-log-group --log-group-name "$project-$STAGE-orders" || true;"""
    ),
    "list_own_resources": """printf 'log group  %s\\n' "$project-$STAGE-orders";""",
    "delete_own_resources": (
        """aws logs delete-log-group --log-group-name "$project-$STAGE-orders";"""
    ),
}


def own_log(iac: str, project: str) -> Edits:
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
