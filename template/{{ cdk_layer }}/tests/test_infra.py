"""The infrastructure, as CloudFormation will see it; needs no AWS account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Validations
from aws_cdk.assertions import Match, Template
from cdk_nag import AwsSolutionsChecks
from infra import facts, own
from infra.settings import Settings
from infra.stack import ApplicationStack

FLAGS = json.loads((Path(__file__).parent.parent / "cdk.json").read_text())["context"]
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
SETTINGS = Settings(
    stage="prod",
    image_digest=f"sha256:{'5' * 64}",
    log_level="WARN",
    alarm_topic_arn=TOPIC,
    permissions_boundary_arn=BOUNDARY,
    resource_tags={"team": "shop"},
)


def synthesize(settings: Settings) -> Template:
    """The template of a stage, without what infra/own.py adds: that is for tests of your own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "extend", lambda *_: None)
        return Template.from_stack(ApplicationStack(App(context=FLAGS), settings))


@pytest.fixture(scope="module")
def default() -> Template:
    """A stage with none."""
    return synthesize(Settings())


@pytest.fixture(scope="module")
def prod() -> Template:
    """A stage with all settings."""
    return synthesize(SETTINGS)


def resources(template: Template, kind: str, name: str, value: Any) -> dict[str, Any]:
    """The one resource of the kind whose property has the value."""
    found = template.find_resources(kind, {"Properties": {name: value}})
    assert len(found) == 1, f"{len(found)} of {kind} with {name} {value}"
    [resource] = found.values()
    properties: dict[str, Any] = resource["Properties"]
    return properties | {"DeletionPolicy": resource.get("DeletionPolicy")}


@pytest.mark.parametrize("function", facts.FUNCTIONS, ids=lambda function: function.name)
def test_function(prod: Template, function: facts.FunctionFacts) -> None:
    name = f"{facts.PROJECT}-prod-{function.name}"
    properties = resources(prod, "AWS::Lambda::Function", "FunctionName", name)
    assert properties["PackageType"] == "Image"
    assert f"@{SETTINGS.image_digest}" in json.dumps(properties["Code"])
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert properties["LoggingConfig"]["LogFormat"] == "JSON"
    assert properties["Environment"]["Variables"] == {
        "STAGE": "prod",
        "LOG_LEVEL": "WARN",
        **function.environment,
    }
    command = properties.get("ImageConfig", {}).get("Command")
    assert command == ([function.command] if function.command else None)

    log_group = resources(prod, "AWS::Logs::LogGroup", "LogGroupName", f"/aws/lambda/{name}")
    assert log_group["RetentionInDays"]
    assert log_group["DeletionPolicy"] == "Delete"

    for kind in ("errors", "throttles"):
        alarm = resources(prod, "AWS::CloudWatch::Alarm", "AlarmName", f"{name}-{kind}")
        assert alarm["AlarmActions"] == [TOPIC]


def test_every_function_has_its_own_role_version_and_alias(prod: Template) -> None:
    count = len(facts.FUNCTIONS)
    for kind in ("Function", "Version", "Alias"):
        prod.resource_count_is(f"AWS::Lambda::{kind}", count)
    prod.resource_count_is("AWS::IAM::Role", count)
    prod.all_resources_properties("AWS::Lambda::Alias", {"Name": "live"})
    prod.all_resources_properties("AWS::IAM::Role", {"PermissionsBoundary": BOUNDARY})


def test_versions_outlive_the_next_ones(prod: Template) -> None:
    prod.all_resources("AWS::Lambda::Version", {"DeletionPolicy": "Retain"})


def test_roles_hold_nothing_but_what_is_needed(prod: Template) -> None:
    prod.resource_properties_count_is("AWS::IAM::Role", {"ManagedPolicyArns": Match.any_value()}, 0)
    policies = prod.find_resources("AWS::IAM::Policy")
    assert len(policies) == len(facts.FUNCTIONS)
    for policy in policies.values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Resource"] == "*":
                assert set(statement["Action"]) == {
                    "lambda:GetAccountSettings",
                    "xray:PutTelemetryRecords",
                    "xray:PutTraceSegments",
                }
            else:
                assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]


def test_everything_that_can_be_is_tagged(prod: Template) -> None:
    tags = {"project": facts.PROJECT, "stage": "prod", "team": "shop"}
    wanted = [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
    for kind in (
        "AWS::Lambda::Function",
        "AWS::IAM::Role",
        "AWS::Logs::LogGroup",
        "AWS::CloudWatch::Alarm",
    ):
        prod.all_resources_properties(kind, {"Tags": wanted})


def test_optional_settings_can_be_left_out(default: Template) -> None:
    default.resource_properties_count_is(
        "AWS::CloudWatch::Alarm", {"AlarmActions": Match.any_value()}, 0
    )
    default.resource_properties_count_is(
        "AWS::IAM::Role", {"PermissionsBoundary": Match.any_value()}, 0
    )


@pytest.mark.parametrize("kind", ["Version", "Alias"])
def test_no_change_of_the_stack_moves_live(default: Template, prod: Template, kind: str) -> None:
    kind = f"AWS::Lambda::{kind}"
    assert default.find_resources(kind) == prod.find_resources(kind) != {}


def test_own_resources_are_part_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    def extend(stack: ApplicationStack, settings: Settings) -> None:
        for handler in stack.functions.values():
            handler.function.add_environment("TABLE", f"orders-{settings.stage}")

    monkeypatch.setattr(own, "extend", extend)
    template = Template.from_stack(ApplicationStack(App(context=FLAGS), SETTINGS))
    variables = {"Variables": Match.object_like({"TABLE": "orders-prod"})}
    template.all_resources_properties("AWS::Lambda::Function", {"Environment": variables})


def test_cdk_nag_finds_nothing() -> None:
    app = App(context=FLAGS)
    ApplicationStack(app, SETTINGS)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    app.synth()  # raises where it finds something, and prints what


@pytest.mark.parametrize(
    "wrong",
    [
        {"stage": "Prod"},
        {"stage": "too-long-a-stage"},
        {"image_digest": "latest"},
        {"log_level": "LOUD"},
    ],
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        Settings(**wrong)
