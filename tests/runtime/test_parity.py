"""The same handlers and events under awslambdaric and under the bootstrap give the same.

What is meant to differ stands in the runtime's README; each such point is undone in `normal`, or has
a test of its own in test_differences.py.
"""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime_api import Run, event, ours, run, theirs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed (it is for Linux)")
pytest.importorskip("runtime_client", reason="awslambdaric's C++ client does not load")

IDENTITY = {"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool", "other": 1}
CLIENT = {
    "client": {"installation_id": "i", "app_title": "t", "unknown": 1},
    "custom": {"a": [1]},
    "env": {"locale": "de"},
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


@dataclass
class Case:
    """Events for one handler, in one process."""

    handler: str
    events: list[bytes]
    env: dict[str, str] = field(default_factory=dict)
    source: str = ""  # of a module `init`, for errors at import

    def __str__(self) -> str:
        """Name the test."""
        return self.handler


def named(handler: str, *names: str) -> Iterator[Any]:
    """One case for each name, which is the event."""
    for name in names:
        yield pytest.param(Case(handler, [event(json.dumps(name).encode())]), id=f"{handler}-{name}")


def bodies(handler: str, **events: bytes) -> Iterator[Any]:
    """One case for each answer to `next`."""
    for name, reply in events.items():
        yield pytest.param(Case(handler, [reply]), id=f"{handler}-{name}")


VALUES = (
    "none true number float float_exponent float_small big_integer nan infinity text text_empty "
    "text_unicode text_escapes bytes bytes_empty bytes_nested bytes_nested_bad bytes_key bytearray "
    "list tuple object object_keys object_bad_key decimal decimal_nested decimal_long decimal_nan "
    "decimal_infinity decimal_key namedtuple namedtuple_nested as_dict ordered defaultdict mapping "
    "user_dict int_enum str_subclass set frozenset datetime date enum dataclass object_instance "
    "function class circular deep large"
).split()
ERRORS = (
    "plain empty custom unicode deep multi_line chained group syntax arguments recursion "
    "assertion long caret no_such_name"
).split()
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

CASES = [
    *named("results.value", *VALUES),
    *named("results.fail", *ERRORS),
    *bodies(
        "results.described",
        null=event(b"null"),
        object=event(b'{"a": [1, -2.5, 1e3, true, false, null, "\\u00e9\\ud83c\\udf89"]}'),
        unicode=event('{"ü": "東京 🎉"}'.encode()),
        text=event(b'"text"'),
        number=event(b" 12 "),
        white_space=event(b'\r\n\t {"a" : 1 }\n'),
        byte_order_mark=event(b'\xef\xbb\xbf{"a": 1}'),
        duplicate_keys=event(b'{"a": 1, "a": 2}'),
        big_number=event(b"123456789012345678901234567890"),
        big_exponent=event(b"[1e999, -1e999]"),
        lone_surrogate=event(b'"\\ud800"'),
        empty=event(b""),
        nan=event(b"NaN"),
        infinity=event(b'{"a": -Infinity}'),
        broken=event(b'{"a": '),
        trailing=event(b"{} {}"),
        control_character=event(b'"\x01"'),
        single_quotes=event(b"{'a': 1}"),
        bad_utf8=event(b'"\xff"'),
        text_type=event(b"plain \xff", Content_Type="text/plain"),
        no_type=event(b"{}", Content_Type=None),
        with_charset=event(b"{}", Content_Type="application/json; charset=utf-8"),
        octets=event(bytes(range(256)), Content_Type="application/octet-stream"),
    ),
    *bodies("contexts.fields", **{n: event(b"{}", **h) for n, h in HEADERS.items()}),
    *bodies("contexts.trace", some=event(), none=event(b"{}", Lambda_Runtime_Trace_Id=None)),
    *bodies("contexts.remaining", past=event(b"{}", Lambda_Runtime_Deadline_Ms="1000")),
    *bodies("contexts.assign", once=event()),
    *bodies("results.wrong_signature", once=event()),
    *bodies("results.huge_cause", once=event()),
    *bodies("package.module.handler", once=event()),
    *bodies("package/module.handler", once=event()),
    *bodies("package.module.instance", once=event()),
    *bodies("package.module.text", once=event()),
    pytest.param(Case("contexts.assign", [event(), event(request_id="id-1")]), id="assign-twice"),
    pytest.param(
        Case("contexts.trace", [event(), event(b"{}", "id-1", Lambda_Runtime_Trace_Id=None)]),
        id="trace-then-none",
    ),
    pytest.param(
        Case("results.fail", [event(b'"plain"', "a"), event(b'"deep"', "b"), event(b"1", "c")]),
        id="three-errors",
    ),
    *(
        pytest.param(Case(handler, [event()], source=source), id=f"init-{name}")
        for name, (handler, source) in INIT.items()
    ),
]

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
    # The import system's own frames are not shown.
    body["stackTrace"] = [line for line in body["stackTrace"] if "importlib" not in line]
    return body


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
                cause["paths"].sort()
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
        if isinstance(record, str) and "importlib" in record:
            record = "\r".join(part for part in record.split("\r") if "importlib" not in part)
        found.append(record)
    return found


def both(case: Case, directory: Path, handler: str = "") -> tuple[Run, Run]:
    """Run a case under both clients."""
    env: dict[str, str | None] = dict(case.env)
    if case.source:
        (directory / "init.py").write_text(case.source + "\n")
        env |= {"PYTHONPATH": os.pathsep.join([str(directory), *filter(None, [_site()])])}
        env["LAMBDA_TASK_ROOT"] = str(directory)
    return (
        run(theirs(), handler or case.handler, list(case.events), **env),
        run(ours(), handler or case.handler, list(case.events), **env),
    )


def _site() -> str:
    import sysconfig

    return sysconfig.get_path("purelib")


@pytest.mark.parametrize("case", CASES)
def test_posts_and_logs_are_the_same(case: Case, tmp_path: Path) -> None:
    expected, got = both(case, tmp_path)
    assert normal(got) == normal(expected)
    assert normal_log(got.stdout) == normal_log(expected.stdout)
    assert not got.errors


@pytest.mark.parametrize("env", LOG_ENVIRONMENTS.values(), ids=LOG_ENVIRONMENTS)
@pytest.mark.parametrize("name", ["levels", "every_level", "values", "errors", "prints", "fail"])
def test_logging_is_the_same(name: str, env: dict[str, str], tmp_path: Path) -> None:
    events = [event(), event(b"{}", "id-1", Lambda_Runtime_Aws_Tenant_Id="tenant-1")]
    expected, got = both(Case(f"logs.{name}", events, env), tmp_path)
    assert normal(got) == normal(expected)
    # A line of text that ends with a traceback ends with a line end, too.
    assert normal_log(got.stdout) == normal_log(re.sub(r"(Error: inside)(?=\[)", "\\1\n", expected.stdout))
    assert got.stderr == expected.stderr


@pytest.mark.parametrize("name", ["handlers", "formatter"])
def test_the_root_logger_is_set_up_the_same(name: str, tmp_path: Path) -> None:
    expected, got = both(Case(f"logs.{name}", [event()]), tmp_path)
    assert normal(got) == normal(expected)
    assert got.stdout.splitlines()[1:] == expected.stdout.splitlines()[1:]


def frames(command: list[str], case: Case) -> tuple[Run, list[tuple[str, Any, bool]]]:
    """Run with a telemetry descriptor; returns type, message and whether the time is now."""
    reading, writing = os.pipe()
    data = bytearray()

    def collect() -> None:
        while part := os.read(reading, 65536):
            data.extend(part)

    thread = threading.Thread(target=collect)
    thread.start()
    env = case.env | {"_LAMBDA_TELEMETRY_LOG_FD": str(writing)}
    try:
        done = run(command, case.handler, list(case.events), fds=(writing,), **env)
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
@pytest.mark.parametrize("name", ["levels", "values", "errors", "prints", "fail"])
def test_telemetry_frames_are_the_same(name: str, env: dict[str, str]) -> None:
    case = Case(f"logs.{name}", [event(), event(request_id="id-1")], env)
    expected, expected_frames = frames(theirs(), case)
    got, got_frames = frames(ours(), case)
    assert len(got_frames) >= 2
    assert got_frames == [f for f in expected_frames if f[1]]
    assert normal(got) == normal(expected)
    assert got.stdout == expected.stdout


def test_the_descriptor_is_hidden_from_user_code() -> None:
    case = Case("contexts.variables", [event()])
    expected, _ = frames(theirs(), case)
    got, _ = frames(ours(), case)
    assert normal(got) == normal(expected)
    assert json.loads(got.posts[0].body)["_LAMBDA_TELEMETRY_LOG_FD"] is False
