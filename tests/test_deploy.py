"""The application that each form of infrastructure deploys, and the commands that deploy it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import uuid
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import yaml

from conftest import TEMPLATE
from deploy import own
from deploy.cycle import Application, client, read_until
from deploy.facts import ACCOUNT, READERS, Facts, Recording, repository
from deploy.own import own_log
from deploy.stand_in import DIGEST
from update.work import apply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Render

MODES: dict[str, dict[str, Any]] = {
    "single": {"handler_mode": "single"},
    "command": {"handler_mode": "multi", "handler_selection": "command"},
    "environment": {"handler_mode": "multi", "handler_selection": "environment"},
}
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:alarms"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
TAGS = {"team": "shop floor", "cost-center": "42"}


# ---------------------------------------------------------------- one application


@pytest.mark.parametrize(
    ("mode", "architecture", "runtime_style", "stage"),
    [
        pytest.param(mode, architecture, runtime_style, stage, id=f"{mode}-{architecture}-{stage}")
        for (mode, architecture), (runtime_style, stage) in zip(
            product(MODES, ("arm64", "x86_64")),
            [("managed", "dev"), ("custom", "prod")] * 3,
            strict=True,
        )
    ],
)
def test_three_forms_deploy_the_same_application(
    mode: str, architecture: str, runtime_style: str, stage: str, render: Render, tmp_path: Path
) -> None:
    answers = {
        "project_name": "one-app",
        "architecture": architecture,
        "runtime_style": runtime_style,
        **MODES[mode],
    }
    if mode != "single":
        answers["handlers"] = {"api": "direct", "send-mail": "direct"}
    environment = {"STAGE": stage, "ALARM_TOPIC_ARN": TOPIC}
    if stage == "prod":  # as a company answers, but without its topic
        environment |= {"LOG_LEVEL": "WARN", "ALARM_TOPIC_ARN": ""}
        answers |= {"resource_tags": TAGS, "permissions_boundary": BOUNDARY, "alarm_topic": TOPIC}

    expected = application(mode, architecture, environment, answers)
    for iac, read in READERS.items():
        work = tmp_path / iac
        work.mkdir()
        recording = Recording(render(**answers, iac=iac), work, "one-app", environment)
        assert read(recording) == expected, iac
        tags = {"project": "one-app", **answers.get("resource_tags", {})}
        assert repository(recording) == REPOSITORY | {"tags": tags}, iac


REPOSITORY = {
    "name": ["one-app"],
    "mutability": ["IMMUTABLE"],
    "scanning": ["scanOnPush=true"],
    "lifecycle": [
        {
            "rulePriority": 1,
            "description": "Keep the last 20 images",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": 20,
            },
            "action": {"type": "expire"},
        }
    ],
}


def application(
    mode: str, architecture: str, environment: dict[str, str], answers: dict[str, Any]
) -> Facts:
    """The facts of the application, as the template promises them."""
    questions = yaml.safe_load((TEMPLATE / "copier.yml").read_text())
    stage = environment["STAGE"]
    level = environment.get("LOG_LEVEL", "INFO")
    tags = {"project": "one-app", "stage": stage, **answers.get("resource_tags", {})}
    functions = {}
    for handler in ["main"] if mode == "single" else ["api", "send-mail"]:
        module = handler.replace("-", "_")
        name = f"one-app-{stage}-{handler}"
        group = f"/aws/lambda/{name}"
        group_arn = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{group}:*"
        functions[name] = {
            "image": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/one-app@{DIGEST}",
            "package_type": "Image",
            "description": "Invoke the alias live",
            "architectures": [architecture],
            "memory_size": questions["memory_size"]["default"],
            "timeout": questions["timeout"]["default"],
            "ephemeral_storage": questions["ephemeral_storage"]["default"],
            "tracing": "Active",
            "logging": {"LogFormat": "JSON", "LogGroup": group, "ApplicationLogLevel": level},
            "environment": {"STAGE": stage, "LOG_LEVEL": level}
            | ({"HANDLER": module} if mode == "environment" else {}),
            "command": [f"one_app.handlers.{module}.handler"] if mode == "command" else [],
            "tags": tags,
            "role": {
                "trust": ("Allow", "sts:AssumeRole", {"Service": "lambda.amazonaws.com"}),
                "statements": {
                    ("Allow", "logs:CreateLogStream", group_arn),
                    ("Allow", "logs:PutLogEvents", group_arn),
                    ("Allow", "xray:PutTraceSegments", "*"),
                    ("Allow", "xray:PutTelemetryRecords", "*"),
                    ("Allow", "lambda:GetAccountSettings", "*"),
                },
                "managed_policies": [],
                "boundary": answers.get("permissions_boundary"),
                "description": f"Role of the function {name}",
                "tags": tags,
            },
            "log_group": {"retention": questions["log_retention"]["default"], "tags": tags},
            "log_group_goes_with_the_stage": True,
            "alias": {"name": "live", "versions_stay": True},
            "alarms": {
                f"{name}-{metric.lower()}": {
                    "description": f"{metric} of the function {name}",
                    "metric": ("AWS/Lambda", metric),
                    "statistic": "Sum",
                    "period": 60,
                    "evaluation_periods": 1,
                    "comparison": "GreaterThanThreshold",
                    "threshold": 0.0,
                    "missing_data": "notBreaching",
                    "actions": [TOPIC] if environment["ALARM_TOPIC_ARN"] else [],
                    "tags": tags,
                }
                for metric in ("Errors", "Throttles")
            },
        }
    return functions


@pytest.mark.parametrize("mode", MODES)
def test_sam_takes_the_template(mode: str, render: Render, tmp_path: Path) -> None:
    if not shutil.which("sam"):
        pytest.skip("the AWS SAM CLI is not installed")
    project = shutil.copytree(render(iac="sam", **MODES[mode]), tmp_path / "project")
    result = subprocess.run(
        ["sam", "validate", "--lint", "--region", "us-east-1"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


# ---------------------------------------------------------------- its life

HANDLER = """\
def handler(event, context):
    return {"answer": "%s"}
"""
NEEDED = {
    "sam": ("aws", "docker", "make", "sam"),
    "cdk": ("aws", "docker", "make"),
    "cli": ("aws", "docker", "make"),
}


def after(version: str) -> str:
    """The number of the next version."""
    return str(int(version) + 1)


deployed = pytest.mark.skipif(
    "AWS_ENDPOINT_URL" not in os.environ, reason="no stand-in for AWS (AWS_ENDPOINT_URL)"
)


class Deploy(Protocol):
    """Renders a project to be deployed, with a name of its own."""

    def __call__(self, iac: str, runtime_style: str, mode: str = "single") -> Application:
        """Render it; the mode is one of MODES."""


@pytest.fixture
def application_of(render: Render, tmp_path: Path) -> Iterator[Deploy]:
    """Renders projects, and deletes what is left of them."""
    applications = []

    def deploy(iac: str, runtime_style: str, mode: str = "single") -> Application:
        missing = [tool for tool in NEEDED[iac] if not shutil.which(tool)]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        name = f"t{uuid.uuid4().hex[:10]}"
        answers = {
            "project_name": name,
            "iac": iac,
            "runtime_style": runtime_style,
            "architecture": "x86_64",
            **MODES[mode],
        }
        handlers = ["main"] if mode == "single" else ["api", "send-mail"]
        if mode != "single":
            answers["handlers"] = dict.fromkeys(handlers, "direct")
        application = Application(render(**answers), tmp_path / name, name, handlers)
        applications.append(application)
        return application

    yield deploy
    for application in applications:
        application.clean()


@deployed
@pytest.mark.parametrize("iac", ["cli", "cdk", "sam"])  # one after the other: sam waits for sam
@pytest.mark.parametrize("runtime_style", ["managed", "custom"])
@pytest.mark.parametrize("mode", ["multi", "single"])
def test_life_cycle(iac: str, runtime_style: str, mode: str, application_of: Deploy) -> None:
    if mode == "multi":  # both ways of choosing are lived through
        mode = "command" if (runtime_style == "managed") == (iac != "cdk") else "environment"
    application = application_of(iac, runtime_style, mode)
    last = application.handlers[-1]
    functions = application.functions("dev")

    def answer(handler: str) -> Any:
        return json.loads(application.make("invoke", "STAGE=dev", f"HANDLER={handler}")[0])

    output, _ = application.make("deploy")
    digest = client("ecr").describe_images(repositoryName=application.name)["imageDetails"][0]
    assert digest["imageDigest"] in output
    for function in functions:
        assert f"{function}:live" in output
    first = application.versions("dev")
    for live, versions in first.values():
        assert live == versions[-1]
    for handler in application.handlers:
        assert "FunctionCount" in answer(handler)

    before = application.state("dev")
    application.make("deploy")
    assert application.state("dev") == before, "a second deployment changed something"

    application.edit(last, HANDLER % "changed")
    application.make("deploy")
    changed = application.versions("dev")
    for function, (live, versions) in first.items():
        assert changed[function] == (after(live), [*versions, after(live)])
    assert answer(last) == {"answer": "changed"}

    _, errors = application.make("rollback")
    for function, (live, _) in first.items():
        assert f"live of {function}: version {after(live)} -> {live}" in errors
    assert "FunctionCount" in answer(last)
    back = application.versions("dev")

    application.make("deploy", "STAGE=two")
    assert application.versions("dev") == back
    assert application.versions("two").keys() == set(application.functions("two"))

    application.make("destroy", "STAGE=two", "YES=1")
    assert not application.remains("two")
    assert application.versions("dev")
    application.make("destroy", "YES=1")
    assert application.remains() == []


@deployed
@pytest.mark.parametrize("iac", ["cli", "cdk", "sam"])
def test_failed_deployments_are_told_and_mended(iac: str, application_of: Deploy) -> None:
    application = application_of(iac, "managed")
    [function] = application.functions("dev")
    apply(own_log(iac, application.name), application.directory)

    # Something else has the name of a part.
    if iac == "cli":
        role = {"RoleName": f"{function}-{os.environ['AWS_REGION']}"}
        client("iam").create_role(AssumeRolePolicyDocument="{}", **role)
        _, errors = application.make("deploy", fails=True)
        assert "exists already and is not this stage's; delete it" in errors
        client("iam").delete_role(**role)
    else:
        group = {"logGroupName": f"/aws/lambda/{function}"}
        client("logs").create_log_group(**group)
        _, errors = application.make("deploy", fails=True)
        assert "was not deployed, see above; mend the cause and deploy again" in errors
        [stack] = client("cloudformation").describe_stacks(StackName=f"{application.name}-dev")[
            "Stacks"
        ]
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        client("logs").delete_log_group(**group)

    # Ctrl-C in the middle of it.
    begun = "Creating the function" if iac == "cli" else "Deploying the stack"
    assert "interrupted; run it again" in application.interrupt(begun, "make", "deploy")
    application.make("deploy")
    first, versions = application.versions("dev")[function]
    assert first == versions[-1]

    # A function that does not start: not even for a moment does `live` point to it.
    application.edit("main", 'raise RuntimeError("broken at init")\n')
    with application.watching_live(function) as seen:
        _, errors = application.make("deploy", fails=True)
    assert seen == {first}
    assert "broken at init" in errors
    assert f"the smoke test of {function} failed" in errors
    broken = after(first)
    assert application.versions("dev") == {function: (first, [*versions, broken])}
    application.edit("main", own.HANDLER)
    application.make("deploy")
    mended = after(broken)
    assert application.versions("dev") == {function: (mended, [*versions, broken, mended])}

    # What the project has of its own is there, and goes with the stage.
    log = f"{application.name}-dev-orders"
    assert json.loads(application.make("invoke", "STAGE=dev")[0]) == {"log": log}
    assert log in application.remains("dev")

    # A rollback passes over it.
    _, errors = application.make("rollback")
    assert f"live of {function}: version {mended} -> {first}" in errors
    if len(versions) == 1:
        _, errors = application.make("rollback", fails=True)
        assert "there is no version before" in errors

    _, errors = application.make("destroy", fails=True)
    assert "YES=1" in errors
    assert application.remains("dev")
    application.make("destroy", "YES=1")
    assert application.remains() == []


@deployed
def test_what_is_missing_is_told(application_of: Deploy, tmp_path: Path) -> None:
    application = application_of("cli", "managed")

    def refusal(*command: str, **environment: str) -> str:
        output, errors = application.run(*command, fails=True, **environment)
        assert output == ""
        return errors.splitlines()[-1]

    deploy = "scripts/deploy.sh"
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    for script in ("deploy", "invoke", "logs", "rollback", "destroy"):
        assert "run 'aws sso login' or 'aws configure'" in refusal(f"scripts/{script}.sh", **nobody)
    assert "no AWS profile 'nobody'" in refusal(deploy, AWS_PROFILE="nobody")
    assert "'nowhere' cannot be an AWS region" in refusal(deploy, AWS_REGION="nowhere")
    assert "does not answer in the region" in refusal(
        deploy, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1"
    )
    assert "'Dev' cannot be a stage" in refusal(deploy, STAGE="Dev")
    assert "set HANDLER to one of: main" in refusal("scripts/invoke.sh", HANDLER="nobody")
    assert "no event file 'nothing.json'" in refusal("scripts/invoke.sh", EVENT="nothing.json")
    for script in ("invoke", "logs"):
        assert "run make deploy, or set STAGE or AWS_REGION" in refusal(f"scripts/{script}.sh")
    assert "is not deployed in eu-west-1" in refusal("scripts/rollback.sh", AWS_REGION="eu-west-1")

    # Images that are not there, are for other processors, or are not taken by the registry.
    assert "run: make build" in refusal("scripts/push.sh", f"{application.name}:nothing")
    other = f"{application.name}:other"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    application.run(
        *("docker", "buildx", "build", "--platform", "linux/arm64", "--provenance=false", "--load"),
        *("--tag", other, str(tmp_path)),
    )
    assert "is for arm64, but the functions run on x86_64" in refusal("scripts/push.sh", other)
    assert application.remains() == []
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        '#!/bin/sh\nif [ "$1" = push ]; then echo denied >&2; exit 1; fi\n'
        f'exec {shutil.which("docker")} "$@"\n'
    )
    docker.chmod(0o755)
    assert "was refused, see above; check your permissions" in refusal(
        deploy, PATH=f"{docker.parent}:{os.environ['PATH']}"
    )
    assert application.remains() == [application.name], "more than the repository"

    # An image that somebody deleted is pushed anew, and the log can be followed.
    application.make("deploy")
    [image] = client("ecr").describe_images(repositoryName=application.name)["imageDetails"]
    client("ecr").batch_delete_image(
        repositoryName=application.name, imageIds=[{"imageDigest": image["imageDigest"]}]
    )
    application.make("deploy")
    assert client("ecr").describe_images(repositoryName=application.name)["imageDetails"]
    with application.start("make", "logs") as process:
        assert process.stdout
        assert "Event: " in read_until(process.stdout, "Event: ")
        os.killpg(process.pid, signal.SIGINT)

    application.make("destroy", "YES=1")
    assert application.remains() == []
