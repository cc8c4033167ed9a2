"""The application as Lambda runs it: under the real runtime client, on a local Lambda."""

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest

from dev import PROJECT, RUNTIME, TASK_ROOT, functions, handlers
from lambda_server import LambdaServer

FUNCTIONS = [function.name for function in functions()]


def invoke(application: Any, function: str, event: Any) -> tuple[Any, str, str | None]:
    """Invoke a function: its answer, the tail of its log, and the kind of error if it is one."""
    answer = application.invoke(
        FunctionName=function, LogType="Tail", Payload=json.dumps(event).encode()
    )
    log = base64.b64decode(answer["LogResult"]).decode()
    return json.loads(answer["Payload"].read()), log, answer.get("FunctionError")


def test_every_handler_is_deployed() -> None:
    script = (PROJECT / "scripts" / "project.sh").read_text()
    [deployed] = re.findall(r"^functions=\((.*)\)$", script, re.MULTILINE)
    names = [module.replace("_", "-") for module in handlers()]
    assert sorted(names) == sorted(deployed.split()), "answer `handlers` anew with copier update"


@pytest.mark.parametrize(("function", "handler"), list(zip(FUNCTIONS, handlers(), strict=True)))
def test_answers_the_sample_event(application: Any, function: str, handler: str) -> None:
    event = json.loads((PROJECT / "events" / f"{handler}.json").read_text())
    answer, log, error = invoke(application, function, event)
    assert error is None
    assert answer["FunctionCount"] == len(FUNCTIONS)
    assert [line for line in log.splitlines() if line.startswith("START RequestId: ")]
    assert [line for line in log.splitlines() if line.startswith("END RequestId: ")]
    assert [line for line in log.splitlines() if line.startswith("REPORT RequestId: ")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_answers_again_from_tmp(application: Any, function: str) -> None:
    first, *_ = invoke(application, function, {"refresh": True})
    second, log, _ = invoke(application, function, {})
    assert second == first
    assert "Answering from" in log


@pytest.mark.parametrize("function", FUNCTIONS)
def test_error_goes_back_to_the_caller(application: Any, function: str) -> None:
    answer, log, error = invoke(application, function, {"refresh": "often"})
    assert error == "Unhandled"
    assert answer["errorType"] == "ValueError"
    assert answer["errorMessage"] == "refresh must be true or false, not 'often'"
    assert any("/handlers/" in frame for frame in answer["stackTrace"])
    assert "[ERROR] ValueError" in log


def test_events_at_once_are_answered_by_instances_of_their_own(application: Any) -> None:
    with ThreadPoolExecutor(3) as threads:
        events = [{"refresh": True}] * 3
        answers = list(threads.map(lambda event: invoke(application, FUNCTIONS[0], event), events))
    assert [error for _, _, error in answers] == [None] * 3
    assert all(answer == answers[0][0] for answer, _, _ in answers)


def test_logs_are_json_where_the_function_is_configured_so() -> None:
    settings = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    function = functions()[0]
    function = replace(function, environment={**function.environment, **settings})
    with LambdaServer([function], RUNTIME, TASK_ROOT) as server:
        client = boto3.client("lambda", endpoint_url=server.endpoint_url)
        _, log, _ = invoke(client, function.name, {"order": 42})
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    [event] = [record for record in records if record["message"].startswith("Event: ")]
    assert json.loads(event["message"].removeprefix("Event: ")) == {"order": 42}
    assert event["level"] == "INFO"
    assert event["requestId"] in log.partition("START RequestId: ")[2]
