"""Where the runtime means to differ from awslambdaric; the list for users is in its README."""

from __future__ import annotations

import json

import pytest
from runtime_api import event, ours, run


@pytest.mark.parametrize(
    ("source", "kind"),
    [("raise SystemExit(3)", "SystemExit"), ("raise KeyboardInterrupt", "KeyboardInterrupt")],
)
def test_an_exit_at_import_is_reported(source: str, kind: str, tmp_path: object) -> None:
    with open(f"{tmp_path}/init.py", "w") as file:  # noqa: PTH123
        file.write(source)
    done = run(ours(), "init.handler", [], PYTHONPATH=str(tmp_path))
    assert done.code == 1
    assert done.posts[0].headers["lambda-runtime-function-error-type"] == kind
    assert json.loads(done.posts[0].body)["errorType"] == kind


def test_an_error_without_a_text_is_reported() -> None:
    done = run(ours(), "others.broken_error", [event(), event(request_id="id-1")])
    bodies = [json.loads(post.body) for post in done.posts]
    assert [body["errorType"] for body in bodies] == ["BrokenError"] * 2
    assert bodies[0]["errorMessage"] == "<BrokenError whose text raised RuntimeError>"


def test_half_a_surrogate_pair_is_escaped() -> None:
    done = run(ours(), "others.surrogate", [event()])
    assert done.posts[0].body == b'["\\ud800", "\xc3\xbc"]'


def test_the_error_type_goes_with_every_error() -> None:
    done = run(ours(), "results.fail", [event(b'"custom"'), event(b"nope", "id-1")])
    types = [post.headers["lambda-runtime-function-error-type"] for post in done.posts]
    assert types == ["HookError", "Runtime.UnmarshalError"]


def test_the_cause_is_one_line_of_ascii() -> None:
    done = run(ours(), "results.fail", [event(b'"unicode"')])
    cause = done.posts[0].headers["lambda-runtime-function-xray-error-cause"]
    assert cause.isascii()
    assert json.loads(cause)["exceptions"][0]["message"] == "Zürich\n東京 🎉 \x00"


def test_an_event_without_content_type_is_bytes() -> None:
    done = run(ours(), "results.described", [event(b"{}", Content_Type=None)])
    assert json.loads(done.posts[0].body) == {"type": "bytes", "repr": "b'{}'"}


@pytest.mark.parametrize("text", ["[]", "5", '"text"', "null"])
def test_a_client_context_that_is_no_object_is_a_context_error(text: str) -> None:
    done = run(ours(), "contexts.fields", [event(b"{}", Lambda_Runtime_Client_Context=text)])
    assert json.loads(done.posts[0].body)["errorType"] == "Runtime.LambdaContextUnmarshalError"


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_a_traceback_may_be_asked_for_where_there_is_none(log_format: str) -> None:
    done = run(ours(), "others.no_exception", [event()], AWS_LAMBDA_LOG_FORMAT=log_format)
    assert "calm" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.posts[0].path == "invocation/id-0/response"


def test_the_context_shows_itself() -> None:
    done = run(ours(), "others.shown", [event()])
    text = json.loads(done.posts[0].body)
    assert text.startswith("LambdaContext(function_name='app', ")
    assert "aws_request_id='id-0'" in text
    assert "_deadline" not in text


def test_text_in_error_types_cannot_forge_headers(tmp_path: object) -> None:
    source = 'raise type("A\\r\\nEvil: 1\\r\\n", (Exception,), {})("x")\n'
    with open(f"{tmp_path}/init.py", "w") as file:  # noqa: PTH123
        file.write(source)
    done = run(ours(), "init.handler", [], PYTHONPATH=str(tmp_path))
    assert not done.errors
    assert "evil" not in done.posts[0].headers
