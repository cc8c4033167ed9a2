"""A local AWS Lambda: it runs the functions with their real runtime, without Docker or AWS.

`LambdaServer` answers the two calls of the Lambda API that an application needs at its desk,
`Invoke` and `GetAccountSettings`, on a loopback port: the endpoint URL for an SDK or the AWS CLI.
Each function runs in *execution environments*: a process of the runtime (awslambdaric or
`runtime/bootstrap`) and a Runtime API of its own, which hands it one event at a time.

Sources: the pages "Invoke" and "GetAccountSettings" of the AWS Lambda API Reference; "Using the
Lambda runtime API for custom runtimes", "Understanding the Lambda execution environment lifecycle",
"Defined runtime environment variables" and "Lambda quotas" of the AWS Lambda Developer Guide.

What is not as in AWS: memory is reported but not limited, any qualifier means the code on disk,
a failed asynchronous event is not tried again, and nothing checks permissions.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import math
import os
import re
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TextIO

ACCOUNT_ID = "123456789012"
CONCURRENCY = 10  # environments of one function that may be busy at once
INIT_SECONDS = 10  # what the init phase may take; the function's timeout is added
SHUTDOWN_SECONDS = 2  # from SIGTERM to SIGKILL
LOG_TAIL_BYTES = 4096
MAX_EVENT_BYTES = {"RequestResponse": 6 * 1024**2, "Event": 1024**2}
MAX_RESPONSE_BYTES = 6 * 1024**2 + 100
ACCOUNT_LIMIT = {
    "TotalCodeSize": 75 * 1024**3,
    "CodeSizeUnzipped": 250 * 1024**2,
    "CodeSizeZipped": 50 * 1024**2,
    "ConcurrentExecutions": 1000,
    "UnreservedConcurrentExecutions": 1000,
}

# All that a function sees of the caller's environment; AWS_* settings and credentials stay outside.
PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "TMPDIR")

_LOOPBACK = "127.0.0.1"
_FUNCTION_NAME = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_BAD_JSON = (ValueError, RecursionError)
_NOT_CODE = {"__pycache__", "node_modules", "cdk.out"}


class LambdaServerError(Exception):
    """The server cannot start; the text is one sentence for the user."""


@dataclass(frozen=True)
class Function:
    """A function that the server runs.

    Attributes:
        name: The function's name, up to 64 letters, digits, `-` and `_`.
        handler: The handler, e.g. `myapp.handlers.main.handler`.
        environment: More environment variables; they win over those that Lambda sets.
        memory_size: MB, reported only.
        timeout: Seconds that one invocation may take.
    """

    name: str
    handler: str
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_size: int = 256
    timeout: float = 30


class LambdaServer:
    """The Lambda API on `endpoint_url`; a context manager that leaves no process behind.

    Args:
        functions: What it serves, at least one function, each name once.
        runtime: The command of the runtime; the handler is appended, and `_HANDLER` is set. It runs
            in `task_root`, so paths in it should be absolute.
        task_root: The directory of the code, the functions' working directory (LAMBDA_TASK_ROOT).
        port: The port on 127.0.0.1; 0 takes a free one.
        output: Where the functions' logs go; standard output by default.

    Raises:
        LambdaServerError: The port is not free.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        runtime: Sequence[str],
        task_root: Path,
        *,
        port: int = 0,
        output: TextIO | None = None,
    ) -> None:
        self.functions = {function.name: function for function in functions}
        self.runtime = list(runtime)
        self.task_root = task_root.resolve()
        regions = (os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
        self.region = next(filter(None, regions), "us-east-1")
        self._output = output or sys.stdout
        self._output_lock = threading.Lock()
        self._changed = threading.Condition()  # guards what follows
        self._closed = False
        self._busy: defaultdict[str, int] = defaultdict(int)
        self._idle: defaultdict[str, list[_Environment]] = defaultdict(list)
        self._environments: set[_Environment] = set()
        try:
            self._server = _HTTPServer(port, self._answer)
        except OSError as error:
            reason = error.strerror or str(error)
            raise LambdaServerError(
                f"Cannot listen on {_LOOPBACK}:{port} ({reason}): choose another port."
            ) from error
        self.endpoint_url = f"http://{self._server.address}"

    def __enter__(self) -> LambdaServer:
        """Return the server, which listens already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    def serve_forever(self) -> None:
        """Serve until Ctrl-C or SIGTERM, then close; for a script's main thread."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, signal.default_int_handler) for number in numbers]
        try:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        finally:
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)
            self.close()
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def close(self) -> None:
        """Stop listening and end all environments: SIGTERM, and after two seconds SIGKILL."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            environments = list(self._environments)
        self._server.close()
        _stop(environments)

    def log(self, line: str) -> None:
        """Print a line whole, however many threads print."""
        encoding = getattr(self._output, "encoding", None) or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        with self._output_lock, contextlib.suppress(OSError, ValueError):
            self._output.write(line + "\n")
            self._output.flush()

    def arn(self, function: Function, qualifier: str | None = None) -> str:
        """Return the ARN of a function, in an account that does not exist."""
        arn = f"arn:aws:lambda:{self.region}:{ACCOUNT_ID}:function:{function.name}"
        return f"{arn}:{qualifier}" if qualifier else arn

    def _answer(self, request: _Request) -> _Response:
        """Answer a request to the Lambda API."""
        path = request.path.rstrip("/")
        call = re.fullmatch(r"/2015-03-31/functions/([^/]+)/invocations", path)
        try:
            if call and request.method == "POST":
                return self._invoke_call(request, urllib.parse.unquote(call[1]))
            if path == "/2016-08-19/account-settings" and request.method == "GET":
                usage = {
                    "TotalCodeSize": sum(stat.st_size for _, stat in _files(self.task_root)),
                    "FunctionCount": len(self.functions),
                }
                return _json({"AccountLimit": ACCOUNT_LIMIT, "AccountUsage": usage})
            raise _ApiError(
                404,
                "UnknownOperationException",
                f"{request.method} {request.path} is not one of Invoke and GetAccountSettings, "
                "the calls that this local Lambda answers.",
            )
        except _ApiError as error:
            return error.response

    def _invoke_call(self, request: _Request, name: str) -> _Response:
        """Answer an Invoke call."""
        parsed = _FUNCTION_NAME.fullmatch(name)
        function = self.functions.get(parsed["name"]) if parsed else None
        if parsed is None or function is None:
            known = ", ".join(self.functions)
            message = f"Function not found: {name}. The functions here are: {known}"
            raise _ApiError(404, "ResourceNotFoundException", message)
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return _Response(204, headers={"X-Amz-Executed-Version": "$LATEST"})
        if kind not in MAX_EVENT_BYTES:
            message = f"Invocation type {kind} is not RequestResponse, Event or DryRun."
            raise _ApiError(400, "InvalidParameterValueException", message)
        qualifier = parsed["qualifier"] or request.query.get("Qualifier")
        invocation = _Invocation(
            payload=_event(request.body, MAX_EVENT_BYTES[kind]),
            arn=self.arn(function, qualifier),
            trace_id=request.headers.get("X-Amzn-Trace-Id") or _trace_id(),
            client_context=_client_context(request.headers.get("X-Amz-Client-Context", "")),
        )
        headers = {"x-amzn-RequestId": invocation.id, "X-Amzn-Trace-Id": invocation.trace_id}
        if kind == "Event":
            task = threading.Thread(target=self._invoke_later, args=(function, invocation))
            task.daemon = True
            task.start()
            return _Response(202, headers=headers)
        result = self._invoke(function, invocation, self._acquire(function))
        headers["X-Amz-Executed-Version"] = "$LATEST"
        if result.error_type:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(result.log).decode()
        return _Response(200, result.payload, headers)

    def _invoke_later(self, function: Function, invocation: _Invocation) -> None:
        """Invoke a function with an event of the queue, once an environment may take it."""
        with contextlib.suppress(_ApiError):
            self._invoke(function, invocation, self._acquire(function, wait=True))

    def _invoke(
        self, function: Function, invocation: _Invocation, environment: _Environment | None
    ) -> _Result:
        """Invoke a function in an environment, a new one where it is None."""
        try:
            if environment is None:
                environment = _Environment(self, function)
                with self._changed:
                    self._environments.add(environment)
                    closed = self._closed
                if closed:
                    _stop([environment])
            return environment.invoke(invocation)
        except OSError as error:  # from starting the process
            return invocation.failure("Runtime.InvalidEntrypoint", str(error))
        finally:
            with self._changed:
                self._busy[function.name] -= 1
                if environment and environment.alive:
                    self._idle[function.name].append(environment)
                elif environment:
                    self._environments.discard(environment)
                self._changed.notify_all()

    def _acquire(self, function: Function, *, wait: bool = False) -> _Environment | None:
        """Count a busy environment and return the idle one last used, or None where one must start.

        Environments that run older code end here. Raises `_ApiError` at the concurrency limit,
        unless it may wait.
        """
        sources = self.sources()
        with self._changed:
            if wait:
                self._changed.wait_for(
                    lambda: self._closed or self._busy[function.name] < CONCURRENCY
                )
            if self._closed:
                raise _ApiError(500, "ServiceException", "The local Lambda shuts down.")
            if self._busy[function.name] >= CONCURRENCY:
                raise _ApiError(
                    429,
                    "TooManyRequestsException",
                    f"Rate Exceeded: {CONCURRENCY} environments of {function.name} are busy.",
                    Reason="ReservedFunctionConcurrentInvocationLimitExceeded",
                )
            self._busy[function.name] += 1
            idle = [each for each in self._idle[function.name] if each.alive]
            changed = [each for each in idle if each.sources != sources]
            self._idle[function.name] = [each for each in idle if each.sources == sources]
            self._environments.difference_update(changed)
            environment = self._idle[function.name].pop() if len(idle) > len(changed) else None
        if changed:
            self.log(f"{function.name} restarted, the code has changed")
            _stop(changed)
        return environment

    def sources(self) -> frozenset[tuple[Path, int]]:
        """Return what tells one state of the code from another: Python files and their mtime."""
        return frozenset(
            (path, stat.st_mtime_ns)
            for path, stat in _files(self.task_root)
            if path.suffix == ".py"
        )


class _Environment:
    """An execution environment: a process of the runtime and the Runtime API that feeds it."""

    def __init__(self, server: LambdaServer, function: Function) -> None:
        self.server = server
        self.function = function
        self.sources = server.sources()
        self._log_lock = threading.RLock()  # guards the next two
        self._partial_line = b""
        self._tail = b""
        self._changed = threading.Condition()  # guards what follows
        self._exited = False
        self._polls = 0  # how often the runtime asked for the next event
        self._waiting = False  # whether it waits for one
        self._init_seconds: float | None = None
        self._invocation: _Invocation | None = None
        self._result: _Result | None = None
        self._api = _HTTPServer(0, self._answer)
        command = [*server.runtime, function.handler]
        self._log(f"INIT_START Runtime Version: {' '.join([Path(command[0]).name, *command[1:]])}")
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the project's own runtime
                command,
                cwd=server.task_root,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the server's, and a signal reaches all children
            )
        except OSError:
            self._api.close()
            raise
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._exited

    def invoke(self, invocation: _Invocation) -> _Result:
        """Hand over an event and wait until the runtime asks for the next one, exits or is late.

        The environment lives on in the first case only.
        """
        timeout = self.function.timeout
        with self._changed:
            cold = self._init_seconds is None
            if cold:
                self._changed.wait_for(self._init_is_over, INIT_SECONDS + timeout)
            self._read_output()
            init = self._init_seconds
            started = self._started if init is None else time.monotonic()
            self._log(f"START RequestId: {invocation.id} Version: $LATEST")
            if self._waiting:
                invocation.deadline_ms = int((time.time() + timeout) * 1000)
                self._invocation, self._waiting = invocation, False
                self._changed.notify_all()
                self._changed.wait_for(self._invocation_is_over, timeout)
            seconds = time.monotonic() - started
            result, healthy, late = self._result, self._waiting, not self._exited
            self._invocation = self._result = None
        memory = self._peak_memory()
        if not healthy:
            self.stop(1 if result else 0)  # after an init error it exits by itself
        self._read_output(flush=True)
        if result is None and late:
            message = f"Task timed out after {timeout:.2f} seconds"
            result = invocation.failure("Sandbox.Timedout", message)
            self._log(f"{_utc_now():%Y-%m-%dT%H:%M:%SZ} {invocation.id} {message}")
        elif result is None:
            result = invocation.failure("Runtime.ExitError", self._exit_reason())
        status = ""
        if not healthy and late and result.error_type in ("", "Sandbox.Timedout"):
            status = "\tStatus: timeout"
        elif not healthy:
            status = f"\tStatus: error\tError Type: {result.error_type or 'Runtime.ExitError'}"
        init = init if cold else None
        self._log(f"END RequestId: {invocation.id}")
        self._log(
            f"REPORT RequestId: {invocation.id}\tDuration: {seconds * 1000:.2f} ms"
            f"\tBilled Duration: {math.ceil((seconds + (init or 0)) * 1000)} ms"
            f"\tMemory Size: {self.function.memory_size} MB{memory}"
            + (f"\tInit Duration: {init * 1000:.2f} ms" if init else "")
            + status
        )
        result.log, self._tail = self._tail, b""
        return result

    def stop(self, seconds: float) -> None:
        """Wait so long for the end of the process, then kill it and all that it started."""
        if not self.wait(seconds):
            self.send(signal.SIGKILL)
            self.wait(None)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(OSError):  # they are gone already
            os.killpg(self._process.pid, number)

    def wait(self, seconds: float | None) -> bool:
        """Wait for the end of the process and return whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._exited, seconds)

    def _watch(self) -> None:
        """Copy the output of the process until it exits, and tell those who wait for that."""
        reader = threading.Thread(target=self._copy_output, daemon=True)
        reader.start()
        self._process.wait()
        self.send(signal.SIGKILL)  # its children
        reader.join(1)
        with self._changed:
            self._exited, self._waiting = True, False
            self._changed.notify_all()
        self._api.close()

    def _copy_output(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while self._read_output():
                selector.select()
            with self._log_lock:
                self._output.close()

    def _read_output(self, *, flush: bool = False) -> bool:
        """Log the lines that wait in the pipe, with flush an unfinished one, too; false at its end.

        What the process wrote before a request to the Runtime API is in the pipe by then, and one
        read empties a pipe: the END line stands below all that the handler printed.
        """
        with self._log_lock:
            data = None
            if not self._output.closed:
                with contextlib.suppress(BlockingIOError):
                    data = os.read(self._output.fileno(), 1024**2)
            flush = flush or data == b""
            *lines, self._partial_line = re.split(rb"\r?\n|\r", self._partial_line + (data or b""))
            if flush and self._partial_line:
                lines.append(self._partial_line)
                self._partial_line = b""
            for line in lines:
                self._log(line.decode(errors="replace"))
            return data != b""

    def _log(self, line: str) -> None:
        with self._log_lock:
            self._tail = (self._tail + line.encode() + b"\n")[-LOG_TAIL_BYTES:]
            self.server.log(line)

    def _variables(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        function, server = self.function, self.server
        stream = f"{_utc_now():%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
        return {
            "LANG": "en_US.UTF-8",
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_LAMBDA": server.endpoint_url,
            "AWS_REGION": server.region,
            "AWS_DEFAULT_REGION": server.region,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "AWS_XRAY_DAEMON_ADDRESS": f"{_LOOPBACK}:2000",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LAMBDA_TASK_ROOT": str(server.task_root),
            "TZ": ":UTC",
            "_HANDLER": function.handler,
            **function.environment,
        }

    def _init_is_over(self) -> bool:
        return self._exited or self._waiting or self._result is not None

    def _invocation_is_over(self) -> bool:
        return self._exited or (self._waiting and self._result is not None)

    def _exit_reason(self) -> str:
        code = self._process.returncode
        if code == 0:
            return "Runtime exited without providing a reason"
        if code > 0:
            return f"Runtime exited with error: exit status {code}"
        return f"Runtime exited with error: signal: {(signal.strsignal(-code) or '?').lower()}"

    def _peak_memory(self) -> str:
        """Return the process's part of the REPORT line, nothing where the system does not tell."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
            if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                return f"\tMax Memory Used: {math.ceil(int(peak[1]) / 1024)} MB"
        return ""

    def _answer(self, request: _Request) -> _Response:
        """Answer a request of the process to its Runtime API."""
        call = f"{request.method} {request.path.removeprefix('/2018-06-01/runtime')}"
        if call == "GET /invocation/next":
            return self._next()
        with self._changed:
            if call == "POST /init/error" and self._init_seconds is None:
                return self._finish(request, failed=True)
            match = re.fullmatch(r"POST /invocation/([^/]+)/(response|error)", call)
            if match and (self._invocation is None or self._invocation.id != match[1]):
                return _runtime_error(400, "InvalidRequestID", "Invalid request ID")
            if match and self._result is None:
                return self._finish(request, failed=match[2] == "error")
        if match or call == "POST /init/error":
            return _runtime_error(403, "InvalidStateTransition", f"It is too late for {call}.")
        return _runtime_error(404, "NotFound", f"{call} is no call of the Runtime API.")

    def _next(self) -> _Response:
        """Wait for an event and hand it over."""
        with self._changed:
            if self._invocation and not self._result:
                return _runtime_error(
                    403, "InvalidStateTransition", "An event waits for an answer."
                )
            if self._init_seconds is None:
                self._init_seconds = time.monotonic() - self._started
            self._polls += 1
            poll = self._polls
            self._waiting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._exited or poll != self._polls or not self._waiting)
            invocation = self._invocation
            if self._exited or poll != self._polls or invocation is None:
                raise ConnectionAbortedError  # nobody is there, or it asked again
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        if invocation.client_context:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        return _Response(200, invocation.payload, headers)

    def _finish(self, request: _Request, *, failed: bool) -> _Response:
        """Take the answer to the invocation, or an error of the init phase."""
        status, payload, error_type = 202, request.body, ""
        if failed:
            error_type = request.headers.get(_ERROR_TYPE, "Unhandled")
        elif error_type := request.trailers.get(_ERROR_TYPE, ""):
            payload = base64.b64decode(request.trailers.get(_ERROR_BODY, ""))
        elif len(payload) > MAX_RESPONSE_BYTES:
            limit = f"maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            message = f"Response payload size exceeded {limit}"
            status, error_type = 413, "Function.ResponseSizeTooLarge"
            payload = _json({"errorMessage": message, "errorType": error_type}).body
        self._result = _Result(payload, error_type)
        self._changed.notify_all()
        if status == 413:
            return _runtime_error(status, "RequestEntityTooLarge", f"Exceeded {limit}")
        return _json({"status": "OK"}, status)


@dataclass
class _Invocation:
    """An event on its way; the deadline in milliseconds since the epoch."""

    payload: bytes
    arn: str
    trace_id: str
    client_context: str
    deadline_ms: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def failure(self, error_type: str, message: str) -> _Result:
        """Return the result of an invocation that the function did not answer."""
        message = f"RequestId: {self.id} Error: {message}"
        return _Result(_json({"errorType": error_type, "errorMessage": message}).body, error_type)


@dataclass
class _Result:
    """What an invocation came to: the answer, or an error with its type; the tail of the log."""

    payload: bytes
    error_type: str = ""
    log: bytes = b""


@dataclass(frozen=True)
class _Request:
    """An HTTP request; of a very large body only the beginning."""

    method: str
    target: str
    headers: Message
    body: bytes
    trailers: Message

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query))


@dataclass(frozen=True)
class _Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class _ApiError(Exception):
    """An error of the Lambda API; the page "Invoke" of the API reference names the types."""

    def __init__(self, status: int, error_type: str, message: str, **more: str) -> None:
        super().__init__(message)
        key = "Message" if error_type == "ResourceNotFoundException" else "message"
        origin = "Service" if status >= 500 else "User"
        self.response = _json({"Type": origin, key: message, **more}, status, error_type)


class _HTTPServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 that answers each request with what a function returns."""

    daemon_threads = True
    allow_reuse_port = False
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[_Request], _Response]) -> None:
        self.answer = answer
        self._closed = False
        super().__init__((_LOOPBACK, port), _RequestHandler)
        self.address = f"{_LOOPBACK}:{self.server_port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that http.server does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):  # wakes the thread
            socket.create_connection((_LOOPBACK, self.server_port)).close()
        self._thread.join()
        self.server_close()

    def _accept(self) -> None:
        while not self._closed:
            self.handle_request()


class _RequestHandler(BaseHTTPRequestHandler):
    """Reads requests, whole or chunked, and writes responses, on connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HTTPServer

    def do_GET(self) -> None:
        """Answer a GET request."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST request."""
        self._answer()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP that this server speaks, as JSON, and close."""
        self.close_connection = True
        text = explain or message or http.client.responses.get(code, "")
        self._send(_ApiError(code, "InvalidRequestException", text).response)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no access log."""

    def _answer(self) -> None:
        try:
            body, trailers = self._read_body()
        except ValueError as error:
            return self.send_error(400, f"The length of the body is wrong: {error}")
        request = _Request(self.command, self.path, self.headers, body, trailers)
        return self._send(self.server.answer(request))

    def _send(self, response: _Response) -> None:
        self.send_response(response.status)
        headers = {"Content-Type": "application/json", **response.headers}
        if response.status != 204:
            headers["Content-Length"] = str(len(response.body))
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if response.body:
            self.wfile.write(response.body)

    def _read_body(self) -> tuple[bytes, Message]:
        """Return the body and its trailers.

        Raises ValueError for lengths that are none and ConnectionError when the body stops short.
        """
        kept = bytearray()
        trailers = Message()
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := _length(self.rfile.readline(1024).split(b";")[0].decode(), 16):
                self._read(size, kept)
                if self.rfile.readline(3).strip():
                    raise ValueError("a chunk is longer than announced")
            trailers = http.client.parse_headers(self.rfile)
        else:
            self._read(_length(self.headers.get("Content-Length", "0"), 10), kept)
        return bytes(kept), trailers

    def _read(self, size: int, kept: bytearray) -> None:
        """Read so many bytes and keep them, as long as the body is no larger than any limit."""
        while size:
            data = self.rfile.read(min(size, 1024**2))
            if not data:
                raise ConnectionAbortedError
            size -= len(data)
            if len(kept) <= MAX_RESPONSE_BYTES:
                kept += data


def _length(text: str, base: int) -> int:
    if not re.fullmatch(r"\s*[0-9a-fA-F]+\s*", text):
        raise ValueError(repr(text))
    return int(text, base)


def _json(value: object, status: int = 200, error_type: str = "") -> _Response:
    headers = {"x-amzn-ErrorType": error_type} if error_type else {}
    return _Response(status, json.dumps(value).encode(), headers)


def _runtime_error(status: int, error_type: str, message: str) -> _Response:
    return _json({"errorMessage": message, "errorType": error_type}, status)


def _event(body: bytes, limit: int) -> bytes:
    """Return the event of an Invoke call, `{}` when there is none. Raises `_ApiError`."""
    if len(body) > limit:
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
        raise _ApiError(413, "RequestTooLargeException", message)
    try:
        json.loads(body or b"{}", parse_constant=_reject)
    except _BAD_JSON as error:
        message = f"Could not parse request body into json: {error}"
        raise _ApiError(400, "InvalidRequestContentException", message) from error
    return body or b"{}"


def _client_context(encoded: str) -> str:
    """Return the JSON of a client context, as one line of ASCII. Raises `_ApiError`."""
    try:
        return json.dumps(json.loads(base64.b64decode(encoded))) if encoded else ""
    except _BAD_JSON as error:
        message = "Client context must be a valid Base64-encoded JSON object."
        raise _ApiError(400, "InvalidRequestContentException", message) from error


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _trace_id() -> str:
    root = f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    return f"Root={root};Parent={uuid.uuid4().hex[:16]};Sampled=0"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files under a directory, but no hidden, built or virtual environment's ones."""
    for folder, folders, names in os.walk(root):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] != "." and name not in _NOT_CODE]
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):  # it went away meanwhile
                yield path, path.stat()


def _stop(environments: Sequence[_Environment]) -> None:
    """End environments: SIGTERM, after two seconds SIGKILL."""
    for environment in environments:
        environment.send(signal.SIGTERM)
    end = time.monotonic() + SHUTDOWN_SECONDS
    for environment in environments:
        environment.stop(max(0, end - time.monotonic()))
