"""Reads what would be deployed out of each form of infrastructure, in one shape for all.

The deploy script runs with stand-ins for its tools. What it gives to `sam` and `cdk` completes
their templates; what it asks of `aws` is the AWS CLI's form.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from .environment import virtual_environment

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = "123456789012"
STAND_IN = Path(__file__).parent / "stand_in.py"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": None,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}

Facts = dict[str, Any]


class Recording:
    """The calls of a deployment."""

    def __init__(self, rendered: Path, work: Path, name: str, environment: dict[str, str]) -> None:
        """Deploy a copy of the project `name` in `work`."""
        self.project = shutil.copytree(rendered, work / "project")
        virtual_environment(self.project)
        self.region = "eu-west-1"
        tools = work / "bin"
        modules = self.project / "node_modules"
        for tool in (tools / "aws", tools / "docker", tools / "sam", modules / ".bin" / "cdk"):
            tool.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(STAND_IN, tool)
            tool.chmod(0o755)
        (modules / ".package-lock.json").touch()
        record = work / "calls"
        record.touch()
        architecture = re.search(
            r"architecture=(\w+)", (self.project / "scripts" / "project.sh").read_text()
        )
        assert architecture
        result = subprocess.run(
            ["scripts/deploy.sh"],
            cwd=self.project,
            env=os.environ
            | {"PATH": f"{tools}:{os.environ['PATH']}", "RECORD": str(record), "PROJECT": name}
            | {"ARCHITECTURE": architecture[1].replace("x86_64", "amd64")}
            | {"AWS_REGION": self.region, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        self.calls = [json.loads(line) for line in record.read_text().splitlines()]

    def options(self, *words: str) -> list[dict[str, list[str]]]:
        """The options of each call that begins with the words, each with its values."""
        found = []
        for call in self.calls:
            if call[: len(words)] == list(words):
                options: dict[str, list[str]] = {}
                name = ""
                for word in call[len(words) :]:
                    if word.startswith("--"):
                        name = word
                        options.setdefault(name, [])
                    elif name:
                        options[name].append(word)
                found.append(options)
        return found


def repository(recording: Recording) -> Facts:
    """The repository, which all forms make with the AWS CLI."""
    [create] = recording.options("aws", "ecr", "create-repository")
    [lifecycle] = recording.options("aws", "ecr", "put-lifecycle-policy")
    policy = lifecycle["--lifecycle-policy-text"][0].removeprefix("file://")
    return {
        "name": create["--repository-name"],
        "tags": pairs(json.loads(create["--tags"][0])),
        "mutability": create["--image-tag-mutability"],
        "scanning": create["--image-scanning-configuration"],
        "lifecycle": json.loads((recording.project / policy).read_text())["rules"],
    }


def statements(document: Facts) -> set[tuple[str, str, str]]:
    """Effect, action and resource of all that a policy says."""

    def several(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return {
        (statement["Effect"], action, resource)
        for statement in document["Statement"]
        for action in several(statement["Action"])
        for resource in several(statement["Resource"])
    }


def pairs(tags: Any) -> dict[str, str]:
    """Tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


# ---------------------------------------------------------------- templates


class Template:
    """A CloudFormation template, with its intrinsic functions evaluated."""

    def __init__(
        self, template: Facts, parameters: dict[str, str], region: str, tags: dict[str, str]
    ) -> None:
        """Take the template as it is deployed: with parameters and tags, in a region."""
        self.template, self.stack_tags = template, tags
        defaults = {
            name: parameter.get("Default")
            for name, parameter in template.get("Parameters", {}).items()
        }
        self.values = PSEUDO_PARAMETERS | {"AWS::Region": region} | defaults | parameters
        self.conditions = {
            name: self.value(condition)
            for name, condition in template.get("Conditions", {}).items()
        }
        self.resources = {
            name: resource | {"Properties": self.value(resource.get("Properties", {}))}
            for name, resource in template["Resources"].items()
        }

    def value(self, node: Any) -> Any:
        """The node with all functions replaced by what they give."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, argument)] = node.items()
            functions: dict[str, Callable[[Any], Any]] = {
                "Ref": self.reference,
                "Fn::GetAtt": self.attribute,
                "Fn::Sub": self.substitute,
                "Fn::Join": lambda join: join[0].join(self.value(join[1])),
                "Fn::If": lambda choice: self.value(choice[1 if self.conditions[choice[0]] else 2]),
                "Fn::Equals": lambda two: self.value(two[0]) == self.value(two[1]),
                "Fn::Not": lambda one: not self.value(one[0]),
            }
            if function in functions:
                return functions[function](argument)
        values = {key: self.value(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not None}

    def reference(self, name: str) -> Any:
        """What Ref gives: a parameter, or the name of a resource."""
        if name in self.values:
            return self.values[name]
        resource = self.template["Resources"][name]
        names = {
            "AWS::Lambda::Function": "FunctionName",
            "AWS::Logs::LogGroup": "LogGroupName",
        }
        if resource["Type"] in names:
            return self.value(resource["Properties"][names[resource["Type"]]])
        return name

    def attribute(self, argument: Any) -> str:
        """What GetAtt gives, as far as facts need it."""
        name, attribute = argument.split(".") if isinstance(argument, str) else argument
        if self.template["Resources"][name]["Type"] == "AWS::Logs::LogGroup":
            region = self.values["AWS::Region"]
            return f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{self.reference(name)}:*"
        return f"{name}.{attribute}"

    def substitute(self, text: str) -> str:
        """What Sub gives."""
        return re.sub(r"\$\{([^}]+)\}", lambda match: str(self.reference(match[1])), text)

    def of_type(self, kind: str) -> dict[str, Facts]:
        """The properties of all resources of a type, with the stack's tags on them."""
        return {
            name: resource["Properties"]
            | {"Tags": self.stack_tags | pairs(resource["Properties"].get("Tags"))}
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def facts(self) -> Facts:
        """All functions, with all that belongs to them."""
        functions = {}
        groups = {
            group["LogGroupName"]: group for group in self.of_type("AWS::Logs::LogGroup").values()
        }
        for function_id, function in self.of_type("AWS::Lambda::Function").items():
            name = function["FunctionName"]
            group = groups.pop(function["LoggingConfig"]["LogGroup"])
            functions[name] = {
                "image": function["Code"]["ImageUri"],
                "package_type": function["PackageType"],
                "description": function["Description"],
                "architectures": function["Architectures"],
                "memory_size": function["MemorySize"],
                "timeout": function["Timeout"],
                "ephemeral_storage": function["EphemeralStorage"]["Size"],
                "tracing": function["TracingConfig"]["Mode"],
                "logging": function["LoggingConfig"],
                "environment": function["Environment"]["Variables"],
                "command": function.get("ImageConfig", {}).get("Command", []),
                "tags": {k: v for k, v in function["Tags"].items() if k != "lambda:createdBy"},
                "role": self.role(function["Role"].removesuffix(".Arn")),
                "log_group": {"retention": group["RetentionInDays"], "tags": group["Tags"]},
                "log_group_goes_with_the_stage": self.policy(group) in (None, "Delete"),
                "alias": self.alias(function_id, name),
                "alarms": self.alarms(name),
            }
        assert groups == {}, "log groups of no function"
        return functions

    def policy(self, properties: Facts) -> str | None:
        """The deletion policy of the log group with these properties."""
        for resource in self.resources.values():
            if resource["Properties"].get("LogGroupName") == properties["LogGroupName"]:
                policy: str | None = resource.get("DeletionPolicy")
                return policy
        return None

    def role(self, role_id: str) -> Facts:
        """A role, with its policies."""
        role = self.of_type("AWS::IAM::Role")[role_id]
        policies = [
            *role.get("Policies", []),
            *(
                policy
                for policy in self.of_type("AWS::IAM::Policy").values()
                if policy["Roles"] == [role_id]
            ),
        ]
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        return {
            "trust": (trust["Effect"], trust["Action"], trust["Principal"]),
            "statements": set().union(
                *(statements(policy["PolicyDocument"]) for policy in policies)
            ),
            "managed_policies": role.get("ManagedPolicyArns", []),
            "boundary": role.get("PermissionsBoundary"),
            "description": role["Description"],
            "tags": role["Tags"],
        }

    def alias(self, function_id: str, name: str) -> Facts:
        """The one alias of a function, which points to a version that is kept for rollbacks."""
        [alias] = [
            alias
            for alias in self.of_type("AWS::Lambda::Alias").values()
            if alias["FunctionName"] in (function_id, name)
        ]
        version = self.resources[alias["FunctionVersion"].removesuffix(".Version")]
        assert version["Properties"]["FunctionName"] in (function_id, name)
        return {"name": alias["Name"], "versions_stay": version["DeletionPolicy"] == "Retain"}

    def alarms(self, function: str) -> Facts:
        """The alarms on a function."""
        alarms = {}
        for alarm in self.of_type("AWS::CloudWatch::Alarm").values():
            if alarm["Dimensions"] == [{"Name": "FunctionName", "Value": function}]:
                alarms[alarm["AlarmName"]] = {
                    "description": alarm["AlarmDescription"],
                    "metric": (alarm["Namespace"], alarm["MetricName"]),
                    "statistic": alarm["Statistic"],
                    "period": alarm["Period"],
                    "evaluation_periods": alarm["EvaluationPeriods"],
                    "comparison": alarm["ComparisonOperator"],
                    "threshold": float(alarm["Threshold"]),
                    "missing_data": alarm["TreatMissingData"],
                    "actions": alarm.get("AlarmActions", []),
                    "tags": alarm["Tags"],
                }
        return alarms


def sam_facts(recording: Recording) -> Facts:
    """What `sam deploy` would deploy: the template, expanded as CloudFormation does."""
    [deploy] = recording.options("sam", "deploy")
    given = [word.partition("=") for word in deploy["--parameter-overrides"]]
    parameters = {name: value.strip('"') for name, _, value in given}
    tags = dict(word.split("=", 1) for word in deploy["--tags"])
    template = yaml_parse((recording.project / deploy["--template-file"][0]).read_text())

    class Policies:
        """No function takes a managed policy by name."""

        def load(self) -> dict[str, str]:
            return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", recording.region)  # the transform asks for one
        expanded = transform(json.loads(json.dumps(template)), parameters, Policies())
    return Template(expanded, parameters, recording.region, tags).facts()


def cdk_facts(recording: Recording) -> Facts:
    """What `cdk deploy` would deploy: the application's template for the same context."""
    call = next(call for call in recording.calls if call[0] == "cdk")
    given = [call[index + 1] for index, word in enumerate(call) if word == "--context"]
    flags = json.loads((recording.project / "cdk.json").read_text())["context"]
    context = flags | dict(word.split("=", 1) for word in given)
    subprocess.run(
        [sys.executable, "-m", "infra.app"],
        cwd=recording.project,
        env=os.environ | {"CDK_OUTDIR": "cdk.out", "CDK_CONTEXT_JSON": json.dumps(context)},
        check=True,
        capture_output=True,
    )
    stack = call[2]
    assembly = recording.project / "cdk.out"
    template = json.loads((assembly / f"{stack}.template.json").read_text())
    artifact = json.loads((assembly / "manifest.json").read_text())["artifacts"][stack]
    return Template(template, {}, recording.region, artifact["properties"]["tags"]).facts()


# ---------------------------------------------------------------- calls


def shorthand(text: str) -> dict[str, str]:
    """The AWS CLI's shorthand form of a structure or map."""
    return dict(part.split("=", 1) for part in text.split(","))


def tags(options: dict[str, list[str]]) -> dict[str, str]:
    """The tags in a call's options, a list or a map in JSON."""
    given = json.loads(options["--tags"][0])
    return given if isinstance(given, dict) else pairs(given)


def cli_facts(recording: Recording) -> Facts:
    """What the AWS CLI is asked to make."""
    asked = partial(recording.options, "aws")

    def one(service: str, operation: str, option: str, value: str) -> dict[str, list[str]]:
        [call] = [call for call in asked(service, operation) if call[option] == [value]]
        return call

    functions = {}
    for create in asked("lambda", "create-function"):
        [name] = create["--function-name"]
        logging = shorthand(create["--logging-config"][0])
        group = logging["LogGroup"]
        role_name = create["--role"][0].rpartition("/")[2]
        role = one("iam", "create-role", "--role-name", role_name)
        trust_file = role["--assume-role-policy-document"][0].removeprefix("file://")
        [trust] = json.loads((recording.project / trust_file).read_text())["Statement"]
        policy = one("iam", "put-role-policy", "--role-name", role_name)
        publish = one("lambda", "publish-version", "--function-name", name)
        alias = one("lambda", "create-alias", "--function-name", name)
        functions[name] = {
            "image": create["--code"][0].removeprefix("ImageUri="),
            "package_type": create["--package-type"][0],
            "description": create["--description"][0],
            "architectures": create["--architectures"],
            "memory_size": int(create["--memory-size"][0]),
            "timeout": int(create["--timeout"][0]),
            "ephemeral_storage": int(create["--ephemeral-storage"][0].removeprefix("Size=")),
            "tracing": create["--tracing-config"][0].removeprefix("Mode="),
            "logging": logging,
            "environment": json.loads(create["--environment"][0])["Variables"],
            "command": json.loads(create["--image-config"][0]).get("Command", []),
            "tags": tags(create),
            "role": {
                "trust": (trust["Effect"], trust["Action"], trust["Principal"]),
                "statements": statements(json.loads(policy["--policy-document"][0])),
                "managed_policies": asked("iam", "attach-role-policy"),
                "boundary": role.get("--permissions-boundary", [None])[0],
                "description": role["--description"][0],
                "tags": tags(role),
            },
            "log_group": {
                "retention": int(
                    one("logs", "put-retention-policy", "--log-group-name", group)[
                        "--retention-in-days"
                    ][0]
                ),
                "tags": tags(one("logs", "create-log-group", "--log-group-name", group)),
            },
            "log_group_goes_with_the_stage": True,  # proved by the life cycle
            "alias": {"name": alias["--name"][0], "versions_stay": bool(publish)},
            "alarms": {
                alarm["--alarm-name"][0]: {
                    "description": alarm["--alarm-description"][0],
                    "metric": (alarm["--namespace"][0], alarm["--metric-name"][0]),
                    "statistic": alarm["--statistic"][0],
                    "period": int(alarm["--period"][0]),
                    "evaluation_periods": int(alarm["--evaluation-periods"][0]),
                    "comparison": alarm["--comparison-operator"][0],
                    "threshold": float(alarm["--threshold"][0]),
                    "missing_data": alarm["--treat-missing-data"][0],
                    "actions": alarm.get("--alarm-actions", []),
                    "tags": tags(alarm),
                }
                for alarm in asked("cloudwatch", "put-metric-alarm")
                if alarm["--dimensions"] == [f"Name=FunctionName,Value={name}"]
            },
        }
    return functions


READERS = {"sam": sam_facts, "cdk": cdk_facts, "cli": cli_facts}
