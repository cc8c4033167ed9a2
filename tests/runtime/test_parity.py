"""The same handlers and events under awslambdaric and under the bootstrap give the same.

What is meant to differ stands in the runtime's README; each such point is undone in `normal`, or
has a test of its own in test_differences.py.
"""

from __future__ import annotations

import functools
import json
import os
import re
import runpy
import socket
import sysconfig
import threading
from typing import TYPE_CHECKING, Any

import pytest
from runtime_api import HANDLERS, Run, chunked, event, ours, run, theirs

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed (it is for Linux)")
pytest.importorskip("runtime_client", reason="awslambdaric's C++ client does not load")

IDENTITY = {"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool", "other": 1}
CLIENT = {
    "client": {"installation_id": "i", "app_title": "t", "unknown": 1},
    "custom": {"a": [1]},
    "env": {"locale": "de"},
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


VALUES = list(runpy.run_path(str(HANDLERS / "results.py"))["VALUES"])
ERRORS = [
    "plain",
    "empty",
    "custom",
    "unicode",
    "deep",
    "multi_line",
    "chained",
    "group",
    "syntax",
    "arguments",
    "assertion",
    "long",
    "caret",
    "no_such_name",
]
INIT = {
    "value": ("init.handler", "raise ValueError('at import')"),
    "deep": ("init.handler", "def f():\n    raise KeyError('x')\n\n\nf()"),
    "import": ("init.handler", "import no_such_module"),
    "import_from": ("init.handler", "from os import no_such_name"),
    "os": ("init.handler", "open('/no/such/file')"),
    "syntax": ("init.handler", "def handler(event, context)\n    return 1"),
    "indentation": ("init.handler", "def handler(event, context):\nreturn 1"),
    "no_module": ("no_such_module.handler", ""),
    "no_package": ("no/such/module.handler", ""),
    "no_function": ("init.no_such_function", "x = 1"),
    "no_dot": ("handler", ""),
    "built_in": ("time.handler", ""),
    "built_in_part": ("sys.path.handler", ""),
    "empty_module": (".handler", ""),
}
HEADERS: dict[str, dict[str, str | None]] = {
    "nothing": {},
    "client": {"Lambda_Runtime_Client_Context": json.dumps(CLIENT)},
    "client_empty": {"Lambda_Runtime_Client_Context": "{}"},
    "client_broken": {"Lambda_Runtime_Client_Context": "{broken"},
    "client_null": {"Lambda_Runtime_Client_Context": '{"client": null, "custom": null}'},
    "w3c": {"Lambda_Runtime_Client_Context": '{"w3c": {"traceparent": "00-1", "x": "y"}}'},
    "w3c_bad": {"Lambda_Runtime_Client_Context": '{"w3c": {"baggage": 1}, "custom": {}}'},
    "w3c_no_object": {"Lambda_Runtime_Client_Context": '{"w3c": "text"}'},
    "cognito": {"Lambda_Runtime_Cognito_Identity": json.dumps(IDENTITY)},
    "cognito_part": {"Lambda_Runtime_Cognito_Identity": '{"cognitoIdentityId": "id"}'},
    "cognito_broken": {"Lambda_Runtime_Cognito_Identity": "nope"},
    "tenant": {"Lambda_Runtime_Aws_Tenant_Id": "tenant-1"},
    "invocation": {"Lambda_Runtime_Invocation_Id": "invocation-1"},
    "no_trace": {"Lambda_Runtime_Trace_Id": None},
    "all": {
        "Lambda_Runtime_Client_Context": json.dumps(CLIENT),
        "Lambda_Runtime_Cognito_Identity": json.dumps(IDENTITY),
        "Lambda_Runtime_Aws_Tenant_Id": "tenant-1",
    },
}


def named(*names: str) -> dict[str, bytes]:
    """Events that are no more than a name, which is their request id, too."""
    return {name: event(json.dumps(name).encode(), name) for name in names}


# Handler to events: each handler has one process, each event is a case.
BATCHES: dict[str, dict[str, bytes]] = {
    "results.value": named(*VALUES),
    "results.fail": named(*ERRORS),
    "results.described": {
        "null": event(b"null", "null"),
        "object": event(b'{"a": [1, -2.5, 1e3, true, false, null, "\\u00e9\\ud83c"]}', "object"),
        "unicode": event('{"ü": "東京 🎉"}'.encode(), "unicode"),
        "text": event(b'"text"', "text"),
        "number": event(b" 12 ", "number"),
        "white_space": event(b'\r\n\t {"a" : 1 }\n', "white_space"),
        "byte_order_mark": event(b'\xef\xbb\xbf{"a": 1}', "byte_order_mark"),
        "duplicate_keys": event(b'{"a": 1, "a": 2}', "duplicate_keys"),
        "big_number": event(b"123456789012345678901234567890", "big_number"),
        "big_exponent": event(b"[1e999, -1e999]", "big_exponent"),
        "lone_surrogate": event(b'"\\ud800"', "lone_surrogate"),
        "empty": event(b"", "empty"),
        "nan": event(b"NaN", "nan"),
        "infinity": event(b'{"a": -Infinity}', "infinity"),
        "broken": event(b'{"a": ', "broken"),
        "trailing": event(b"{} {}", "trailing"),
        "control_character": event(b'"\x01"', "control_character"),
        "single_quotes": event(b"{'a': 1}", "single_quotes"),
        "bad_utf8": event(b'"\xff"', "bad_utf8"),
        "large": event(b"[%b]" % b", ".join([b'{"a": 1.25}'] * 20_000), "large"),
        "chunks": chunked(event(b'{"a": "' + b"x" * 9000 + b'"}', "chunks"), 1, 2, 5000),
        "text_type": event(b"plain \xff", "text_type", Content_Type="text/plain"),
        "charset": event(b"{}", "charset", Content_Type="application/json; charset=utf-8"),
        "octets": event(bytes(range(256)), "octets", Content_Type="application/octet-stream"),
    },
    "contexts.fields": {name: event(b"{}", name, **more) for name, more in HEADERS.items()},
    "contexts.trace": {
        "some": event(b"{}", "some"),
        "none": event(b"{}", "none", Lambda_Runtime_Trace_Id=None),
        "again": event(b"{}", "again"),
    },
    "contexts.remaining": {"past": event(b"{}", "past", Lambda_Runtime_Deadline_Ms="1000")},
    "contexts.assign": named("first", "second"),
    "results.wrong_signature": named("once"),
    "results.huge_cause": named("once"),
    "package.module.handler": named("once"),
    "package/module.handler": named("once"),
    "package.module.instance": named("once"),
    "package.module.text": named("once"),
}

LOG_ENVIRONMENTS = {
    "text": {},
    "text-warn": {"AWS_LAMBDA_LOG_LEVEL": "WARN"},
    "text-trace": {"AWS_LAMBDA_LOG_LEVEL": "TRACE"},
    "text-debug": {"AWS_LAMBDA_LOG_LEVEL": "debug"},
    "text-error": {"AWS_LAMBDA_LOG_LEVEL": "ERROR"},
    "text-bad": {"AWS_LAMBDA_LOG_LEVEL": "LOUD"},
    "json": {"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    "json-info": {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"},
    "json-fatal": {"AWS_LAMBDA_LOG_FORMAT": "json", "AWS_LAMBDA_LOG_LEVEL": "FATAL"},
    "format-bad": {"AWS_LAMBDA_LOG_FORMAT": "XML"},
}


def parsed(text: bytes | str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def normal_error(body: Any) -> Any:
    """Take out of an error body what is meant to differ."""
    if str(body.get("errorType")).startswith("Runtime."):
        body["errorMessage"] = bool(body["errorMessage"])  # its own words
    body["stackTrace"] = [line for line in body["stackTrace"] if not hidden(line)]
    return body


def hidden(line: str) -> bool:
    """Whether a line of a stack trace is of the import system, or of awslambdaric itself."""
    return any(
        part in line for part in ("importlib", "_gcd_import", "awslambdaric", "request_handler(")
    )


def normal(run: Run) -> list[Any]:
    """Reduce a run to what its posts mean."""
    found: list[Any] = []
    for post in run.posts:
        body = parsed(post.body)
        headers = {
            name: value
            for name, value in post.headers.items()
            if name in ("content-type", "lambda-runtime-invocation-id")
        }
        raw: Any = post.body
        if post.path.endswith("/error"):
            raw = normal_error(body)
            cause = parsed(post.headers.get("lambda-runtime-function-xray-error-cause", ""))
            if cause:
                stack = cause["exceptions"][0]["stack"]
                stack[:] = [frame for frame in stack if not hidden(frame["path"])]
                cause["paths"] = sorted(path for path in cause["paths"] if not hidden(path))
                if cause["exceptions"][0]["type"] == "LambdaValidationError":
                    cause["exceptions"][0]["message"] = "its own words"
            headers["cause"] = cause
            if post.path == "init/error":
                headers["type"] = post.headers["lambda-runtime-function-error-type"]
                headers.pop("content-type", None)  # awslambdaric sends none
        found.append((post.path, headers, raw))
    return [*found, run.code]


def normal_log(text: str) -> list[Any]:
    """Reduce a log to lines without times, JSON parsed."""
    text = STAMP.sub("<time>", text)
    lines = [line for line in text.split("\n") if line and "LAMBDA_WARNING" not in line]
    found = []
    for line in lines:
        record = parsed(line)
        if isinstance(record, dict) and "stackTrace" in record:
            record = {k: v for k, v in record.items() if k != "timestamp"}
        if str(line).startswith("[ERROR] Runtime."):
            line = re.sub(r"^(\[ERROR\] Runtime\.\w+): [^\r]*", r"\1: its own words", line)
            record = line
        if isinstance(record, dict) and str(record.get("errorType")).startswith("Runtime."):
            record["errorMessage"] = "its own words"
        if isinstance(record, str):
            record = "\r".join(part for part in record.split("\r") if not hidden(part))
        elif isinstance(record, dict) and "stackTrace" in record:
            record["stackTrace"] = [line for line in record["stackTrace"] if not hidden(line)]
        found.append(record)
    return found


@functools.cache
def batch(handler: str) -> tuple[Run, Run]:
    """Run all events of a handler under both clients."""
    events = list(BATCHES[handler].values())
    return run(theirs(), handler, events), run(ours(), handler, events)


@pytest.mark.parametrize(
    ("handler", "name"), [(handler, name) for handler, names in BATCHES.items() for name in names]
)
def test_answers_are_the_same(handler: str, name: str) -> None:
    index = list(BATCHES[handler]).index(name)
    expected, got = batch(handler)
    assert normal(got)[index] == normal(expected)[index]
    assert got.posts[index].path.split("/")[1] in (name, "id-0")
    assert not got.errors


@pytest.mark.parametrize("handler", BATCHES)
def test_logs_of_answers_are_the_same(handler: str) -> None:
    expected, got = batch(handler)
    assert normal_log(got.stdout) == normal_log(expected.stdout)
    assert got.code is expected.code is None


@pytest.mark.parametrize(("handler", "source"), INIT.values(), ids=INIT)
def test_init_errors_are_the_same(handler: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "init.py").write_text(source + "\n")
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])
    env = {"PYTHONPATH": path, "LAMBDA_TASK_ROOT": str(tmp_path)}
    expected = run(theirs(), handler, [], **env)
    got = run(ours(), handler, [], **env)
    assert normal(got) == normal(expected)
    assert normal_log(got.stdout) == normal_log(expected.stdout)
    assert got.code == 1


TWO_EVENTS = [event(), event(b"{}", "id-1", Lambda_Runtime_Aws_Tenant_Id="tenant-1")]


@pytest.mark.parametrize("env", LOG_ENVIRONMENTS.values(), ids=LOG_ENVIRONMENTS)
def test_log_lines_are_the_same(env: dict[str, str]) -> None:
    expected = run(theirs(), "logs.everything", TWO_EVENTS, **env)
    got = run(ours(), "logs.everything", TWO_EVENTS, **env)
    assert normal(got) == normal(expected)
    # A line of text that ends with a traceback ends with a line end, too.
    log = re.sub(r"(Error: inside)(?=\[|printed)", "\\1\n", expected.stdout)
    assert normal_log(got.stdout) == normal_log(log)
    assert got.stderr == expected.stderr


@pytest.mark.parametrize("name", ["handlers", "formatter"])
def test_the_root_logger_is_set_up_the_same(name: str) -> None:
    expected = run(theirs(), f"logs.{name}", TWO_EVENTS)
    got = run(ours(), f"logs.{name}", TWO_EVENTS)
    assert normal(got) == normal(expected)
    assert got.stdout.splitlines()[1:] == expected.stdout.splitlines()[1:]


def frames(
    command: list[str], handler: str, **more: str | None
) -> tuple[Run, list[tuple[str, Any, bool]]]:
    """Run with a telemetry descriptor; returns type, message and whether the time is now."""
    reading, writing = os.pipe()
    data = bytearray()

    def collect() -> None:
        while part := os.read(reading, 65536):
            data.extend(part)

    thread = threading.Thread(target=collect)
    thread.start()
    env = more | {"_LAMBDA_TELEMETRY_LOG_FD": str(writing)}
    try:
        done = run(command, handler, TWO_EVENTS, **env)
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)
    found = []
    while data:
        size = int.from_bytes(data[4:8], "big")
        stamp = int.from_bytes(data[8:16], "big")
        text = data[16 : 16 + size].decode()
        found.append((data[:4].hex(), normal_log(text), stamp > 1_700_000_000_000_000))
        assert len(data) >= 16 + size
        del data[: 16 + size]
    return done, found


@pytest.mark.parametrize("env", LOG_ENVIRONMENTS.values(), ids=LOG_ENVIRONMENTS)
def test_telemetry_frames_are_the_same(env: dict[str, str]) -> None:
    expected, expected_frames = frames(theirs(), "logs.everything", **env)
    got, got_frames = frames(ours(), "logs.everything", **env)
    assert len(got_frames) >= 4
    assert got_frames == expected_frames
    assert normal(got) == normal(expected)
    assert got.stdout == expected.stdout


def test_the_descriptor_is_hidden_from_user_code() -> None:
    expected, _ = frames(theirs(), "contexts.variables")
    got, _ = frames(ours(), "contexts.variables")
    assert normal(got) == normal(expected)
    assert json.loads(got.posts[0].body)["_LAMBDA_TELEMETRY_LOG_FD"] is False


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_workers_answer_and_announce_the_same(level: str) -> None:
    env = {
        "AWS_LAMBDA_MAX_CONCURRENCY": "1",  # with more, who is idle first is chance
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": level,
    }
    expected = run(theirs(), "others.exits", [event(), event(b'"error"', "id-1")], **env)
    got = run(ours(), "others.exits", [event(), event(b'"error"', "id-1")], **env)
    assert normal(got) == normal(expected)
    assert normal_log(got.stdout) == normal_log(expected.stdout)


@pytest.mark.parametrize("command", [theirs(), ours()], ids=["awslambdaric", "ours"])
def test_workers_write_to_the_log_collector(command: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    if len(path) > 100:
        path = os.path.relpath(path)
    collected: list[bytes] = []

    def collect(connection: socket.socket) -> None:
        while part := connection.recv(65536):
            collected.append(part)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        env = {
            "AWS_LAMBDA_MAX_CONCURRENCY": "1",
            "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": path,
        }
        done = run(command, "logs.prints", [event()], **env)
        for _ in ("stdout", "stderr"):
            connection, _ = server.accept()
            with connection:
                collect(connection)
    text = b"".join(collected)
    assert b"printed 1\n" in text
    assert b"to stderr\n" in text
    assert done.stdout == done.stderr == ""
