"""The application as Lambda runs it: under the real runtime client, on a local Lambda."""

import base64
import json
from typing import Any

import pytest

from dev import PROJECT, functions, handlers

FUNCTIONS = [function.name for function in functions()]


def invoke(application: Any, function: str, event: Any) -> tuple[Any, str, str | None]:
    """Invoke a function: its answer, the tail of its log, and the kind of error if it is one."""
    answer = application.invoke(
        FunctionName=function, LogType="Tail", Payload=json.dumps(event).encode()
    )
    log = base64.b64decode(answer["LogResult"]).decode()
    return json.loads(answer["Payload"].read()), log, answer.get("FunctionError")


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
