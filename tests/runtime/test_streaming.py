"""Streamed responses, byte for byte."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from runtime_api import Request, Step, answer, event, interpreters, ours, run

EACH = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
KINDS = pytest.mark.parametrize(
    "kind", ["generator", "returned", "async_generator", "awaited_stream"]
)
NEXT = event(b'["next"]', "id-1")


def streamed(handler: str, value: Any, python: str | None = None, **env: str) -> Request:
    """Stream one response, see that the next invocation works, and return the first."""
    command = ours(python) if python else ours()
    follow = event(b'{"chunks": ["next"]}', "id-1") if handler == "others.http" else NEXT
    done = run(command, handler, [event(json.dumps(value).encode()), follow], **env)
    assert done.code is None, done.stderr
    assert not done.errors
    assert [post.path for post in done.posts] == [
        "invocation/id-0/response"
        if done.posts[0].path.endswith("response")
        else "invocation/id-0/error",
        "invocation/id-1/response",
    ]
    assert done.posts[1].body.endswith(b"next")
    return done.posts[0]


@EACH
@KINDS
def test_chunks_go_out_as_they_are_yielded(kind: str, python: str) -> None:
    value = ["a", "bytes", "", "bytearray", "view", "Zürich"]
    post = streamed(f"others.{kind}", value, python)
    assert post.raw == (
        b"1\r\na\r\n2\r\n\x00\xff\r\n5\r\narray\r\n4\r\nview\r\n"
        b"7\r\nZ\xc3\xbcrich\r\n0\r\n\r\n"
    )  # fmt: skip
    assert post.trailers == {}
    assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert post.headers["transfer-encoding"] == "chunked"
    assert post.headers["content-type"] == "application/octet-stream"
    assert post.headers["trailer"] == (
        "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
    )


@KINDS
def test_an_empty_stream_is_an_empty_body(kind: str) -> None:
    assert streamed(f"others.{kind}", []).raw == b"0\r\n\r\n"


def test_large_chunks() -> None:
    post = streamed("others.generator", ["large"] * 8)
    assert post.raw == b"f4240\r\n%b\r\n" % (b"x" * 1_000_000) * 8 + b"0\r\n\r\n"


@EACH
@KINDS
def test_an_error_in_mid_stream_goes_out_in_trailers(kind: str, python: str) -> None:
    value = json.dumps(["a", "raise", "b"]).encode()
    done = run(ours(python), f"others.{kind}", [event(value), NEXT])
    post = done.posts[0]
    assert post.raw.startswith(b"1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: ValueError\r\n")
    body = json.loads(b64decode(post.trailers["lambda-runtime-function-error-body"], validate=True))
    assert post.trailers["lambda-runtime-function-error-type"] == "ValueError"
    assert body["errorMessage"] == "in mid-stream Zürich"
    assert body["errorType"] == "ValueError"
    assert body["requestId"] == "id-0"
    assert "in generator" in "".join(body["stackTrace"])
    assert "lambda_runtime" not in "".join(body["stackTrace"])
    assert done.stdout.startswith("[ERROR] ValueError: in mid-stream Zürich\rTraceback")
    assert done.posts[1].body == b"next"


@KINDS
def test_an_error_before_the_first_chunk_is_an_error_of_the_invocation(kind: str) -> None:
    post = streamed(f"others.{kind}", ["raise"])
    assert post.path == "invocation/id-0/error"
    assert json.loads(post.body)["errorType"] == "ValueError"


def test_a_chunk_of_another_type_is_an_error() -> None:
    post = streamed("others.generator", ["a", 1])
    assert post.trailers["lambda-runtime-function-error-type"] == "TypeError"
    assert json.loads(streamed("others.generator", [None, "a"]).body)["errorType"] == "TypeError"


@EACH
@pytest.mark.parametrize("asynchronous", [False, True])
def test_http_prelude(asynchronous: bool, python: str) -> None:
    value = {
        "chunks": ["a", "b"],
        "status": 201,
        "headers": {"Content-Type": "text/csv"},
        "cookies": ["a=1; Secure"],
        "async": asynchronous,
    }
    post = streamed("others.http", value, python)
    prelude = (
        b'{"statusCode": 201, "headers": {"Content-Type": "text/csv"}, "cookies": ["a=1; Secure"]}'
        + bytes(8)
    )
    assert post.raw == b"%x\r\n%b\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n" % (len(prelude), prelude)
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"


@pytest.mark.parametrize(("chunks", "body"), [("text", b"text"), ([], b""), (["a"], b"a")])
def test_http_defaults(chunks: Any, body: bytes) -> None:
    post = streamed("others.http", {"chunks": chunks})
    prelude, _, rest = post.body.partition(bytes(8))
    assert json.loads(prelude) == {"statusCode": 200, "headers": {}, "cookies": []}
    assert rest == body


def test_an_http_error_in_mid_stream() -> None:
    post = streamed("others.http", {"chunks": ["a", "raise"]})
    assert post.body.endswith(bytes(8) + b"a")
    assert post.trailers["lambda-runtime-function-error-type"] == "ValueError"


def test_the_invocation_id_is_echoed() -> None:
    step = event(b'["a"]', "id-0", Lambda_Runtime_Invocation_Id="invocation")
    done = run(ours(), "others.generator", [step])
    assert done.posts[0].headers["lambda-runtime-invocation-id"] == "invocation"


def test_output_between_chunks_is_written() -> None:
    done = run(ours(), "others.generator", [event(b'["a", "print", "b"]')])
    assert done.stdout == "between chunks"


def test_a_stream_that_is_refused_does_not_end_the_runtime() -> None:
    steps = [Step(event(b'["large", "a"]'), accept=answer("413 Too Large")), Step(NEXT)]
    done = run(ours(), "others.generator", steps)
    assert [post.path.split("/")[1] for post in done.posts] == ["id-0", "id-1"]
    assert "413" in done.stderr


def test_a_stream_that_breaks_off_ends_the_runtime_and_is_not_sent_again() -> None:
    steps = [Step(event(json.dumps(["large"] * 9).encode()), read_only=10), Step(NEXT)]
    done = run(ours(), "others.generator", steps)
    assert len(done.posts) == 1
    assert done.code == 1
