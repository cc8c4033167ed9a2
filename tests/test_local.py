"""The local Lambda of rendered projects behaves as AWS does, with both runtimes."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import lambda_server
from conftest import TEMPLATE
from lambda_server import Function, LambdaServer, LambdaServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[..., "Local"]

BOOTSTRAP = TEMPLATE / "template" / "{{ custom_layer }}" / "runtime" / "bootstrap"
SESSION = boto3.Session("test", "test", region_name="us-east-1")
CONFIG = Config(proxies={}, retries={"total_max_attempts": 1})
CODE = """
import os, pathlib, signal, sys, threading, time

HERE = pathlib.Path(__file__).parent
calls = 0
print("Loaded")

def handler(event, context):
    global calls
    calls += 1
    return {"event": event, "calls": calls, "pid": os.getpid(), "arn": context.invoked_function_arn}

def context_handler(event, context):
    return {
        "name": context.function_name,
        "id": context.aws_request_id,
        "milliseconds": context.get_remaining_time_in_millis(),
        "custom": context.client_context and context.client_context.custom,
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
    }

def fail(event, context):
    raise ValueError("no such thing")

def leave(event, context):
    os._exit(3)

def hang(event, context):
    threading.Event().wait()

def large(event, context):
    return "x" * event

def talk(event, context):
    print("x" * 5000)
    print("the end", end="")

def meet(event, context):
    (HERE / event["me"]).touch()
    while not (HERE / event["other"]).exists():
        time.sleep(0.005)
    return os.getpid()

def stubborn(event, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getpid()
"""


class Local:
    """A server, a client for it and what it printed."""

    def __init__(self, server: LambdaServer, output: io.StringIO) -> None:
        self.server = server
        self.output = output
        url = server.endpoint_url
        self.client: Any = SESSION.client("lambda", endpoint_url=url, config=CONFIG)

    def invoke(self, name: str = "handler", event: object = None, **more: object) -> Any:
        """Invoke a function and return what it answered."""
        return json.load(self.response(name, event, **more)["Payload"])

    def response(self, name: str = "handler", event: object = None, **more: object) -> Any:
        """Invoke a function and return the whole response."""
        return self.client.invoke(FunctionName=name, Payload=json.dumps(event), **more)

    def log(self, name: str, event: object = None) -> str:
        """Invoke a function and return the tail of its log."""
        return base64.b64decode(self.response(name, event, LogType="Tail")["LogResult"]).decode()

    def connect(self) -> socket.socket:
        """Return a connection to the server."""
        address = self.server.endpoint_url.removeprefix("http://").split(":")
        return socket.create_connection((address[0], int(address[1])), timeout=10)


@pytest.fixture(
    params=[["-m", "awslambdaric"], ["-ISB", str(BOOTSTRAP)]], ids=["managed", "custom"]
)
def runtime(request: pytest.FixtureRequest) -> list[str]:
    """The command of the runtime client that runs the handlers."""
    return [sys.executable, *request.param]


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever region the tests run with, the server takes its own default."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve(runtime: list[str], tmp_path: Path) -> Iterator[Serve]:
    """Serves the functions of `CODE`, or others."""
    with contextlib.ExitStack() as stack:

        def serve(
            *handlers: str, command: list[str] | None = None, port: int = 0, **options: Any
        ) -> Local:
            (tmp_path / "app.py").write_text(CODE)
            functions = [
                Function(name.rpartition(".")[2], name, **options)
                for name in handlers or ["app.handler"]
            ]
            output = io.StringIO()
            server = LambdaServer(functions, command or runtime, tmp_path, port=port, output=output)
            return Local(stack.enter_context(server), output)

        yield serve


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait up to ten seconds for a condition."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def is_gone(pid: int) -> bool:
    """Return whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_environment_is_reused(serve: Serve) -> None:
    local = serve()
    first, second = local.invoke(event={"a": "é"}), local.invoke(event=[1])
    assert first["event"] == {"a": "é"}
    assert second == {**first, "event": [1], "calls": 2}
    report = (
        r"REPORT RequestId: \S+\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256"
    )
    assert len(re.findall(report, local.output.getvalue())) == 2
    assert local.output.getvalue().count("Init Duration") == 1


@pytest.mark.parametrize(
    ("name", "qualifier"),
    [
        ("handler", ""),
        ("handler:live", ":live"),
        ("123456789012:function:handler", ""),
        ("function:handler:$LATEST", ":$LATEST"),
        ("arn:aws:lambda:us-east-1:123456789012:function:handler", ""),
        ("arn:aws:lambda:us-east-1:123456789012:function:handler:7", ":7"),
    ],
)
def test_every_form_of_a_name(serve: Serve, name: str, qualifier: str) -> None:
    local = serve()
    arn = "arn:aws:lambda:us-east-1:123456789012:function:handler"
    assert local.invoke(name)["arn"] == arn + qualifier
    response = local.response("handler", Qualifier="live")
    assert json.load(response["Payload"])["arn"] == f"{arn}:live"
    assert response["ExecutedVersion"] == "$LATEST"


def test_the_context(serve: Serve, tmp_path: Path) -> None:
    local = serve("app.context_handler", timeout=7, memory_size=512, environment={"STAGE": "x"})
    client_context = base64.b64encode(json.dumps({"custom": {"a": "日本"}}).encode()).decode()
    response = local.response("context_handler", ClientContext=client_context)
    answer = json.load(response["Payload"])
    assert answer["name"] == "context_handler"
    assert answer["id"] == response["ResponseMetadata"]["RequestId"]
    assert 5000 < answer["milliseconds"] <= 7000
    assert answer["custom"] == {"a": "日本"}
    assert Path(answer["cwd"]) == tmp_path.resolve()
    environment = answer["environment"]
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "context_handler"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert environment["_HANDLER"] == "app.context_handler"
    assert environment["TZ"] == ":UTC"
    assert environment["STAGE"] == "x"


def test_the_callers_credentials_stay_outside(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    local = serve("app.context_handler")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    environment = local.invoke("context_handler")["environment"]
    assert "a-secret" not in environment.values()
    assert environment["AWS_ACCESS_KEY_ID"]
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_tmp_belongs_to_an_environment(serve: Serve) -> None:
    local = serve("app.context_handler")
    directories = {local.invoke("context_handler")["environment"]["TMPDIR"] for _ in range(2)}
    [directory] = map(Path, directories)
    assert directory.is_dir()
    local.server.close()
    assert eventually(lambda: not directory.exists())


def test_an_error_of_the_function(serve: Serve) -> None:
    local = serve("app.fail")
    response = local.response("fail")
    error = json.load(response["Payload"])
    assert response["StatusCode"] == 200
    assert response["FunctionError"] == "Unhandled"
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "no such thing"
    assert "in fail" in error["stackTrace"][-1]


def test_an_error_at_init(serve: Serve, tmp_path: Path) -> None:
    local = serve("missing.handler")
    response = local.response("handler")
    assert response["FunctionError"] == "Unhandled"
    assert json.load(response["Payload"])["errorType"] == "Runtime.ImportModuleError"
    assert "Error Type: Runtime.ImportModuleError" in local.output.getvalue()
    (tmp_path / "missing.py").write_text("def handler(event, context): return 'here'")
    assert local.invoke("handler") == "here"


def test_a_timeout_ends_the_environment(serve: Serve) -> None:
    local = serve("app.hang", "app.handler", timeout=0.3)
    response = local.response("hang")
    request_id = response["ResponseMetadata"]["RequestId"]
    assert response["FunctionError"] == "Unhandled"
    assert json.load(response["Payload"]) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 0.30 seconds",
    }
    assert "Status: timeout" in local.output.getvalue()
    assert local.output.getvalue().count("INIT_START") == 1
    local.response("hang")
    assert local.output.getvalue().count("INIT_START") == 2


def test_an_exit_ends_the_environment(serve: Serve) -> None:
    local = serve("app.leave")
    for environments in (1, 2):
        error = local.invoke("leave")
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("Runtime exited with error: exit status 3")
        assert local.output.getvalue().count("INIT_START") == environments


def test_a_runtime_that_does_not_start(serve: Serve, tmp_path: Path) -> None:
    local = serve(command=[str(tmp_path / "no-runtime")])
    assert local.invoke()["errorType"] == "Runtime.InvalidEntrypoint"
    assert local.invoke()["errorType"] == "Runtime.InvalidEntrypoint"


def test_a_response_over_the_limit(serve: Serve) -> None:
    local = serve("app.large")
    limit = lambda_server.MAX_RESPONSE_BYTES
    assert len(local.invoke("large", limit - 2)) == limit - 2
    error = local.invoke("large", limit - 1)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert local.invoke("large", 1) == "x"


def test_the_log_tail(serve: Serve) -> None:
    local = serve("app.talk")
    tail = local.log("talk")
    assert len(tail.encode()) == 4096
    assert re.search(r"x\nthe end\nEND RequestId: \S+\nREPORT RequestId: .*\n\Z", tail)
    lines = local.output.getvalue().splitlines()
    assert [line[:10] for line in lines if line[0].isupper()] == [
        "INIT_START",
        "Loaded",
        "START Requ",
        "END Reques",
        "REPORT Req",
    ]
    assert local.log("talk").count("REPORT") == 1


def test_an_asynchronous_event(serve: Serve) -> None:
    local = serve()
    response = local.response(event=1, InvocationType="Event")
    assert response["StatusCode"] == 202
    assert response["Payload"].read() == b""
    report = f"REPORT RequestId: {response['ResponseMetadata']['RequestId']}"
    assert eventually(lambda: report in local.output.getvalue())


def test_a_dry_run(serve: Serve) -> None:
    local = serve()
    assert local.response(InvocationType="DryRun")["StatusCode"] == 204
    assert local.output.getvalue() == ""


@pytest.mark.parametrize(
    ("name", "payload", "status", "code", "words"),
    [
        ("absent", "{}", 404, "ResourceNotFoundException", "handler"),
        ("handler", "{'a': 1}", 400, "InvalidRequestContentException", "parse"),
        ("handler", "NaN", 400, "InvalidRequestContentException", "NaN"),
        ("handler", "[" * 100_000, 400, "InvalidRequestContentException", "parse"),
        ("handler", '"' + "x" * 6 * 1024**2 + '"', 413, "RequestTooLargeException", "6291456"),
    ],
    ids=["unknown", "no-json", "nan", "deep", "large"],
)
def test_a_wrong_call(
    serve: Serve, name: str, payload: str, status: int, code: str, words: str
) -> None:
    local = serve()
    with pytest.raises(ClientError, match=words) as caught:
        local.client.invoke(FunctionName=name, Payload=payload)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == code


def test_account_settings(serve: Serve, tmp_path: Path) -> None:
    local = serve("app.handler", "app.fail")
    for path in (".hidden/file", "venv/pyvenv.cfg", "venv/file", "__pycache__/file"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("no code of the application")
    settings = local.client.get_account_settings()
    assert settings["AccountUsage"] == {"FunctionCount": 2, "TotalCodeSize": len(CODE)}
    assert settings["AccountLimit"]["ConcurrentExecutions"] == 1000


def test_concurrent_events_get_environments_of_their_own(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lambda_server, "CONCURRENCY", 2)
    local = serve("app.meet")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(local.invoke, "meet", {"me": "a", "other": "go"})
        second = pool.submit(local.invoke, "meet", {"me": "b", "other": "go"})
        assert eventually(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
        with pytest.raises(local.client.exceptions.TooManyRequestsException) as caught:
            local.invoke("meet", {"me": "c", "other": "go"})
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        local.response("meet", {"me": "d", "other": "go"}, InvocationType="Event")
        assert not (tmp_path / "d").exists()
        (tmp_path / "go").touch()
        assert first.result() != second.result()
    assert eventually(lambda: local.output.getvalue().count("REPORT") == 3)
    again = [local.invoke("meet", {"me": "e", "other": "go"}) for _ in range(3)]
    assert len(set(again)) == 1, "the environment that was used last is used again"
    assert again[0] in (first.result(), second.result())


def test_changed_code_is_used(serve: Serve, tmp_path: Path) -> None:
    local = serve()
    before = local.invoke()
    code = tmp_path / "app.py"
    code.write_text("def handler(event, context):\n    return 'new'\n")
    os.utime(code, (2_000_000_000, 2_000_000_000))
    assert local.invoke() == "new"
    assert "handler restarted, the code has changed" in local.output.getvalue()
    assert is_gone(before["pid"])


def test_closing_ends_all_processes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_server, "SHUTDOWN_SECONDS", 0.1)
    local = serve("app.handler", "app.stubborn")
    pids = [local.invoke("handler")["pid"], local.invoke("stubborn")]
    local.server.close()
    assert all(is_gone(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        local.connect()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_ends_cleanly(runtime: list[str], tmp_path: Path, number: int) -> None:
    (tmp_path / "app.py").write_text(CODE)
    script = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(lambda_server.__file__).parent)!r})
from lambda_server import Function, LambdaServer
functions = [Function("handler", "app.handler")]
with LambdaServer(functions, {runtime!r}, pathlib.Path({str(tmp_path)!r})) as server:
    print(server.endpoint_url, flush=True)
    server.serve_forever()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        client = SESSION.client("lambda", endpoint_url=url, config=CONFIG)
        pid = json.load(client.invoke(FunctionName="handler")["Payload"])["pid"]
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors == ""
    assert "END RequestId" in output
    assert is_gone(pid)


def test_a_port_in_use(serve: Serve) -> None:
    port = int(serve().server.endpoint_url.rpartition(":")[2])
    with pytest.raises(
        LambdaServerError, match=rf"^cannot listen on 127\.0\.0\.1:{port} \(.*port$"
    ):
        serve(port=port)


def test_only_loopback_is_bound(serve: Serve) -> None:
    local = serve("app.context_handler")
    api = local.invoke("context_handler")["environment"]["AWS_LAMBDA_RUNTIME_API"]
    for address in (local.server.endpoint_url.removeprefix("http://"), api):
        host, port = address.split(":")
        assert host == "127.0.0.1"
        with pytest.raises(OSError, match=r"refused|timed out|assign"):
            socket.create_connection(("127.0.0.2", int(port)), timeout=1)


INVOKE = b"POST /2015-03-31/functions/handler/invocations HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (INVOKE + b"\r\n", 200),
        (INVOKE + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", 200),
        (INVOKE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", 400),
        (INVOKE + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400),
        (INVOKE + b"Content-Length: many\r\n\r\n", 400),
        (INVOKE + b"Content-Length: -1\r\n\r\n", 400),
        (INVOKE + b"X-Amz-Invocation-Type: Maybe\r\n\r\n", 400),
        (INVOKE + b"X-Amz-Client-Context: e30x\r\n\r\n", 400),
        (INVOKE + b"Origin: http://example.com\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"PUT / HTTP/1.1\r\n\r\n", 501),
    ],
)
def test_requests_good_and_bad(serve: Serve, request_: bytes, status: int) -> None:
    with serve().connect() as connection:
        connection.sendall(request_)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = json.loads(response.read())
    assert response.status == status
    if status != 200:
        assert body["message"]
        assert response.headers["x-amzn-ErrorType"].endswith("Exception")


def test_connections_stay_open_and_may_break(serve: Serve) -> None:
    local = serve()
    with local.connect() as connection:
        for calls in (1, 2):
            connection.sendall(INVOKE + b"Content-Length: 2\r\n\r\n{}")
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert json.loads(response.read())["calls"] == calls
    with local.connect() as connection:
        connection.sendall(INVOKE + b"Content-Length: 2\r\n\r\n{}")
    with local.connect() as connection:
        connection.sendall(INVOKE + b"Content-Length: 200\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"", "an unfinished request is answered"
    assert eventually(lambda: local.output.getvalue().count("REPORT") == 3)
    assert local.invoke()["calls"] == 4


# A runtime that tries what it must not do and then answers with the bytes that are the event.
RUNTIME = """
import http.client, json, os

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def call(method, path):
    api.request(method, "/2018-06-01/runtime/" + path)
    response = api.getresponse()
    return response, response.status, response.read()

while True:
    response, _, event = call("GET", "invocation/next")
    answer = f"invocation/{response.headers['Lambda-Runtime-Aws-Request-Id']}/response"
    for wrong in ("POST invocation/x/response", "POST init/error", "GET x", "GET invocation/next"):
        print(call(*wrong.split())[1])
    api.sock.sendall(f"POST /2018-06-01/runtime/{answer} HTTP/1.1\\r\\n".encode())
    api.sock.sendall(json.loads(event).encode())
    response = http.client.HTTPResponse(api.sock)
    response.begin()
    print(response.status, response.read())
    print(call("POST", answer)[1])
"""
BROKEN_OFF = (
    "Lambda-Runtime-Function-Error-Type: Broken\r\n"
    "Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiAiQnJva2VuIn0=\r\n"
)


@pytest.mark.parametrize(
    ("trailers", "error", "payload"),
    [("", None, "first second"), (BROKEN_OFF, "Unhandled", '{"errorType": "Broken"}')],
    ids=["whole", "broken-off"],
)
def test_the_runtime_api(
    serve: Serve, tmp_path: Path, trailers: str, error: str | None, payload: str
) -> None:
    stream = (
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"6\r\nfirst \r\n6\r\nsecond\r\n0\r\n{trailers}\r\n"
    )
    (tmp_path / "runtime.py").write_text(RUNTIME)
    local = serve(command=[sys.executable, "-u", str(tmp_path / "runtime.py")])
    response = local.response(event=stream)
    assert response["Payload"].read().decode() == payload
    assert response.get("FunctionError") == error
    statuses = re.findall(r"^\d{3}", local.output.getvalue(), re.MULTILINE)
    assert statuses == ["400", "403", "404", "403", "202", "403"]
