"""A local AWS Lambda: it runs functions with their real runtime, without Docker or AWS.

`LambdaServer` answers the two calls of the Lambda API that an application needs at its desk,
`Invoke` and `GetAccountSettings`, on a loopback port: the endpoint URL for an SDK or the AWS CLI.
A function runs in *execution environments*. Each is a process of the runtime (awslambdaric or
`runtime/bootstrap`) with a Runtime API of its own, which hands it one event at a time.

What is not as in AWS: memory is reported but not limited, any qualifier means the code on disk,
a failed asynchronous event is not tried again, and nothing checks permissions.

Sources: "Invoke" and "GetAccountSettings" in the AWS Lambda API Reference; "Using the Lambda
runtime API for custom runtimes", "Understanding the Lambda execution environment lifecycle",
"Working with Lambda environment variables" and "Lambda quotas" in the AWS Lambda Developer Guide.
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
import tempfile
import threading
import time
import urllib.parse
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TextIO

ACCOUNT_ID = "123456789012"
CONCURRENCY = 10  # events that one function works on at once
INIT_SECONDS = 10  # what the init phase may take, besides the function's timeout
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

# All that functions see of the caller's environment: no AWS settings, no credentials, no secrets.
PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "SSL_CERT_FILE")

_LOOPBACK = "127.0.0.1"
_FUNCTION_NAME = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:[a-z0-9-]+:)?(?:\d{12}:)?(?:function:)?"
    r"(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?"
)
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_NOT_CODE = {"__pycache__", "node_modules", "cdk.out"}
_BAD_BODY = (ValueError, http.client.HTTPException)
_BAD_JSON = (ValueError, RecursionError)


class LambdaServerError(Exception):
    """The server cannot start; the text is one sentence for the user."""


@dataclass(frozen=True)
class Function:
    """A function that the server runs.

    Attributes:
        name: The function's name.
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
    """The Lambda API at `endpoint_url`; a context manager that leaves no process behind."""

    def __init__(
        self,
        functions: Sequence[Function],
        runtime: Sequence[str],
        task_root: Path,
        *,
        port: int = 0,
        output: TextIO | None = None,
    ) -> None:
        """Listen; an environment starts with the first event for its function.

        Args:
            functions: What it serves, each name once.
            runtime: The command of the runtime client. The handler is appended, as AWS's entry
                points do. It runs in `task_root`, so a path in it should be absolute.
            task_root: The directory of the code and the functions' working directory.
            port: A port of 127.0.0.1; 0 takes a free one.
            output: Where the functions' logs go, standard output by default.

        Raises:
            LambdaServerError: The port is in use.
        """
        self.functions = {function.name: function for function in functions}
        self.runtime = list(runtime)
        self.task_root = task_root.resolve()
        regions = (os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
        self.region = next(filter(None, regions), "us-east-1")
        self._output = output or sys.stdout
        self._output_lock = threading.Lock()
        self._changed = threading.Condition()  # guards what follows
        self._closed = False
        self._busy: Counter[str] = Counter()
        self._idle: defaultdict[str, list[_Environment]] = defaultdict(list)  # last used last
        self._environments: set[_Environment] = set()
        try:
            self._server = _HTTPServer(port, self._answer)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            message = f"cannot listen on {_LOOPBACK}:{port} ({reason}); choose another port"
            raise LambdaServerError(message) from error
        self.endpoint_url = f"http://{self._server.address}"

    def __enter__(self) -> Self:
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
        """Serve until Ctrl-C, SIGTERM or SIGHUP, then close; for the main thread of a script."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, signal.default_int_handler) for number in numbers]
        try:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        finally:
            for number in numbers:  # a second Ctrl-C must not interrupt this
                signal.signal(number, signal.SIG_IGN)
            self.close()
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def close(self) -> None:
        """Stop listening and end the environments: SIGTERM, and after two seconds SIGKILL."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            environments = list(self._environments)
        self._server.close()
        _stop(environments)

    def log(self, line: str) -> None:
        """Write a line to the output, whole, however many threads write."""
        encoding = getattr(self._output, "encoding", None) or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        with self._output_lock, contextlib.suppress(OSError, ValueError):  # nobody reads it
            self._output.write(line + "\n")
            self._output.flush()

    def _answer(self, request: _Request) -> _Response:
        """Answer a request to the Lambda API."""
        call = f"{request.method} {request.path.rstrip('/')}"
        try:
            if "Origin" in request.headers:
                message = "This local Lambda does not answer web pages."
                raise _ApiError(403, "AccessDeniedException", message)
            if match := re.fullmatch(r"POST /2015-03-31/functions/([^/]+)/invocations", call):
                return self._invoke(request, urllib.parse.unquote(match[1]))
            if call == "GET /2016-08-19/account-settings":
                size = sum(status.st_size for _, status in _files(self.task_root))
                usage = {"TotalCodeSize": size, "FunctionCount": len(self.functions)}
                return _json({"AccountLimit": ACCOUNT_LIMIT, "AccountUsage": usage})
            message = f"This local Lambda answers Invoke and GetAccountSettings, not {call}."
            raise _ApiError(404, "UnknownOperationException", message)
        except _ApiError as error:
            return error.response

    def _invoke(self, request: _Request, name: str) -> _Response:
        """Answer an Invoke call."""
        parsed = _FUNCTION_NAME.fullmatch(name)
        function = self.functions.get(parsed["name"]) if parsed else None
        if parsed is None or function is None:
            message = f"Function not found: {name}; there are: {', '.join(self.functions)}"
            raise _ApiError(404, "ResourceNotFoundException", message)
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "DryRun":
            return _Response(204, headers={"X-Amz-Executed-Version": "$LATEST"})
        if kind not in MAX_EVENT_BYTES:
            message = f"Invocation type {kind} is not RequestResponse, Event or DryRun."
            raise _ApiError(400, "InvalidParameterValueException", message)
        arn = f"arn:aws:lambda:{self.region}:{ACCOUNT_ID}:function:{function.name}"
        qualifier = parsed["qualifier"] or request.query.get("Qualifier")
        invocation = _Invocation(
            event=_event(request.body, MAX_EVENT_BYTES[kind]),
            arn=f"{arn}:{qualifier}" if qualifier else arn,
            trace_id=request.headers.get("X-Amzn-Trace-Id") or _trace_id(),
            client_context=_client_context(request.headers.get("X-Amz-Client-Context", "")),
        )
        headers = {"x-amzn-RequestId": invocation.id, "X-Amzn-Trace-Id": invocation.trace_id}
        if kind == "Event":
            queued = threading.Thread(target=self._run_later, args=(function, invocation))
            queued.daemon = True
            queued.start()
            return _Response(202, headers=headers)
        result = self._run(function, invocation)
        headers["X-Amz-Executed-Version"] = "$LATEST"
        if result.error_type:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(result.log).decode()
        return _Response(200, result.payload, headers)

    def _run(self, function: Function, invocation: _Invocation, *, wait: bool = False) -> _Result:
        """Run an invocation in an environment of the function."""
        try:
            with self._environment(function, wait=wait) as environment:
                return environment.invoke(invocation)
        except OSError as error:  # the runtime does not start
            return invocation.failure("Runtime.InvalidEntrypoint", str(error))

    def _run_later(self, function: Function, invocation: _Invocation) -> None:
        """Run an asynchronous invocation, as soon as the function is not too busy."""
        with contextlib.suppress(_ApiError):  # the server closes
            self._run(function, invocation, wait=True)

    @contextlib.contextmanager
    def _environment(self, function: Function, *, wait: bool) -> Iterator[_Environment]:
        """Lend the idle environment that was used last, or a new one.

        Environments that run older code end here. At the concurrency limit it waits or raises
        `_ApiError`; it raises OSError where the runtime does not start.
        """
        name = function.name
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._closed or self._busy[name] < CONCURRENCY)
            if self._closed:
                raise _ApiError(500, "ServiceException", "This local Lambda shuts down.")
            if self._busy[name] >= CONCURRENCY:
                message = f"Rate Exceeded: {name} works on {CONCURRENCY} events."
                reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
                raise _ApiError(429, "TooManyRequestsException", message, Reason=reason)
            files = _files(self.task_root)
            sources = frozenset(
                (path, status.st_mtime_ns) for path, status in files if path.suffix == ".py"
            )
            idle = [each for each in self._idle[name] if each.alive]
            outdated = [each for each in idle if each.sources != sources]
            idle = [each for each in idle if each.sources == sources]
            environment = idle.pop() if idle else None
            self._idle[name] = idle
            self._busy[name] += 1
        try:
            if outdated:
                self.log(f"{name} restarted, the code has changed")
                _stop(outdated)
            environment = environment or _Environment(self, function, sources)
            with self._changed:
                self._environments = {each for each in self._environments if each.alive}
                self._environments.add(environment)
                closed = self._closed
            if closed:
                _stop([environment])
            yield environment
        finally:
            with self._changed:
                self._busy[name] -= 1
                if environment and environment.alive:
                    self._idle[name].append(environment)
                self._changed.notify_all()


class _Environment:
    """An execution environment: a process of the runtime and the Runtime API that feeds it."""

    def __init__(
        self, server: LambdaServer, function: Function, sources: frozenset[tuple[Path, int]]
    ) -> None:
        self.sources = sources
        self._server = server
        self._function = function
        self._log_lock = threading.RLock()  # guards the next two
        self._unlogged = b""
        self._tail = b""
        self._changed = threading.Condition()  # guards what follows
        self._exited = False
        self._polls = 0  # how often the runtime asked for an event
        self._waiting = False  # whether it waits for one
        self._init_seconds: float | None = None
        self._invocation: _Invocation | None = None
        self._result: _Result | None = None
        self._tmp = tempfile.TemporaryDirectory(prefix="lambda-", ignore_cleanup_errors=True)
        self._api = _HTTPServer(0, self._answer)
        command = [*server.runtime, function.handler]
        self._log(f"INIT_START Runtime Version: {' '.join([Path(command[0]).name, *command[1:]])}")
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (the project's own runtime)
                command,
                cwd=server.task_root,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a signal reaches its children, Ctrl-C does not reach it
            )
        except OSError:
            self._api.close()
            self._tmp.cleanup()
            raise
        assert self._process.stdout is not None  # noqa: S101 (a pipe, for the type checker)
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._exited

    def invoke(self, invocation: _Invocation) -> _Result:
        """Hand over an event and wait until the runtime asks for the next one, exits or is late.

        In the first case the environment lives on, otherwise it is gone.
        """
        timeout = self._function.timeout
        with self._changed:
            cold = self._init_seconds is None
            if cold:
                self._changed.wait_for(self._init_is_over, INIT_SECONDS + timeout)
            self._read_output()
            self._log(f"START RequestId: {invocation.id} Version: $LATEST")
            init = self._init_seconds
            started = self._started if init is None else time.monotonic()
            if self._waiting:
                invocation.deadline_ms = int((time.time() + timeout) * 1000)
                self._invocation, self._waiting = invocation, False
                self._changed.notify_all()
                self._changed.wait_for(self._invocation_is_over, timeout)
            seconds = time.monotonic() - started
            result, healthy, exited = self._result, self._waiting, self._exited
            self._invocation = self._result = None
        memory = self._peak_memory()
        if not healthy:
            self.stop(1 if result else 0)  # after an init error it exits by itself
        self._read_output(flush=True)
        # An init error leaves the process little time to exit, which is not the function's timeout.
        timed_out = not (healthy or exited) and (result is None or init is not None)
        if timed_out:
            message = f"Task timed out after {timeout:.2f} seconds"
            result = result or invocation.failure("Sandbox.Timedout", message)
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._log(f"{now.removesuffix('+00:00')}Z {invocation.id} {message}")
        elif result is None:
            result = invocation.failure("Runtime.ExitError", self._exit_reason())
        self._log(f"END RequestId: {invocation.id}")
        report = [
            f"REPORT RequestId: {invocation.id}",
            f"Duration: {seconds * 1000:.2f} ms",
            f"Billed Duration: {math.ceil((seconds + (init or 0) * cold) * 1000)} ms",
            f"Memory Size: {self._function.memory_size} MB",
        ]
        if memory:
            report.append(f"Max Memory Used: {memory} MB")
        if cold and init:
            report.append(f"Init Duration: {init * 1000:.2f} ms")
        if timed_out:
            report.append("Status: timeout")
        elif not healthy:
            report.append(f"Status: error\tError Type: {result.error_type or 'Runtime.ExitError'}")
        self._log("\t".join(report))
        result.log, self._tail = self._tail, b""
        return result

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(OSError):  # they are gone
            os.killpg(self._process.pid, number)

    def stop(self, seconds: float) -> None:
        """Grant the process so long to exit, then kill it."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._exited, seconds):
                self.send(signal.SIGKILL)
                self._changed.wait_for(lambda: self._exited)

    def _watch(self) -> None:
        """Log the output of the process until it exits, and tell those who wait for that."""
        reader = threading.Thread(target=self._copy_output, daemon=True)
        reader.start()
        self._process.wait()
        self.send(signal.SIGKILL)  # what it left behind
        reader.join(1)
        with self._changed:
            self._exited, self._waiting = True, False
            self._changed.notify_all()
        self._api.close()
        self._tmp.cleanup()

    def _copy_output(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while self._read_output():
                selector.select()
        with self._log_lock:
            self._output.close()

    def _read_output(self, *, flush: bool = False) -> bool:
        """Log the lines that wait in the pipe; with flush an unfinished one, too.

        What the process wrote before it called the Runtime API is in the pipe by then, and one read
        empties a pipe: so the END line stands below all that the handler printed. Returns whether
        the pipe is open.
        """
        with self._log_lock:
            data = None
            if not self._output.closed:
                with contextlib.suppress(BlockingIOError):
                    data = os.read(self._output.fileno(), 1024**2)
            self._unlogged += data or b""
            if flush or data == b"":
                end = len(self._unlogged)
            elif data and b"\n" in data:
                end = self._unlogged.rindex(b"\n") + 1
            else:
                end = 0
            for line in self._unlogged[:end].splitlines():
                self._log(line.decode(errors="replace"))
            self._unlogged = self._unlogged[end:]
            return data != b""

    def _log(self, line: str) -> None:
        with self._log_lock:
            self._tail = (self._tail + line.encode() + b"\n")[-LOG_TAIL_BYTES:]
            self._server.log(line)

    def _variables(self) -> dict[str, str]:
        """Return the environment variables of the process."""
        function, server = self._function, self._server
        stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid.uuid4().hex}"
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
            "TMPDIR": self._tmp.name,  # /tmp in AWS, where each environment has its own, too
            "TZ": ":UTC",
            "_HANDLER": function.handler,
            **function.environment,
        }

    def _init_is_over(self) -> bool:
        return self._exited or self._waiting or self._result is not None

    def _invocation_is_over(self) -> bool:
        return self._exited or (self._waiting and self._result is not None)

    def _exit_reason(self) -> str:
        status = self._process.returncode
        if status == 0:
            return "Runtime exited without providing a reason"
        if status > 0:
            return f"Runtime exited with error: exit status {status}"
        return f"Runtime exited with error: signal: {signal.strsignal(-status) or -status}".lower()

    def _peak_memory(self) -> int:
        """Return the MB that the process used at most, 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
            if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                return math.ceil(int(peak[1]) / 1024)
        return 0

    def _answer(self, request: _Request) -> _Response:
        """Answer a request of the process to its Runtime API."""
        call = f"{request.method} {request.path.removeprefix('/2018-06-01/runtime')}"
        if call == "GET /invocation/next":
            return self._next()
        match = re.fullmatch(r"POST /(?:init|invocation/([^/]+))/(response|error)", call)
        if match is None or call == "POST /init/response":
            return _runtime_error(404, "NotFound", f"The Runtime API has no call {call}.")
        with self._changed:
            if match[1] and (self._invocation is None or self._invocation.id != match[1]):
                return _runtime_error(400, "InvalidRequestID", "Invalid request ID")
            if self._result or (match[1] is None and self._init_seconds is not None):
                return _runtime_error(403, "InvalidStateTransition", f"Too late for {call}.")
            return self._finish(request, failed=match[2] == "error")

    def _next(self) -> _Response:
        """Wait for an event and hand it over."""
        with self._changed:
            if self._invocation and not self._result:
                return _runtime_error(403, "InvalidStateTransition", "An event is unanswered.")
            if self._init_seconds is None:
                self._init_seconds = time.monotonic() - self._started
            self._polls += 1
            poll = self._polls
            self._waiting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting or poll != self._polls)
            invocation = self._invocation
        if poll != self._polls or invocation is None:  # it asked again, or is gone
            raise ConnectionAbortedError
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        if invocation.client_context:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        return _Response(200, invocation.event, headers)

    def _finish(self, request: _Request, *, failed: bool) -> _Response:
        """Take the answer to an event, or the error of an event or of the init phase."""
        payload, error_type = request.body, ""
        answer = _json({"status": "OK"}, 202)
        if failed:
            error_type = request.headers.get(_ERROR_TYPE) or "Unhandled"
        elif _ERROR_TYPE in request.trailers:  # a streamed response broke off
            error_type = request.trailers[_ERROR_TYPE] or "Unhandled"
            with contextlib.suppress(ValueError):
                payload = base64.b64decode(request.trailers.get(_ERROR_BODY, ""))
        elif len(payload) > MAX_RESPONSE_BYTES:
            limit = f"exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            error_type = "Function.ResponseSizeTooLarge"
            error = {"errorMessage": f"Response payload size {limit}", "errorType": error_type}
            payload = _json(error).body
            answer = _runtime_error(413, "RequestEntityTooLarge", limit.capitalize())
        self._result = _Result(payload, error_type)
        self._changed.notify_all()
        return answer


@dataclass
class _Invocation:
    """An event on its way; the deadline in milliseconds since the epoch."""

    event: bytes
    arn: str
    trace_id: str
    client_context: str
    deadline_ms: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def failure(self, error_type: str, message: str) -> _Result:
        """Return the result where the function gave none."""
        message = f"RequestId: {self.id} Error: {message}"
        return _Result(_json({"errorType": error_type, "errorMessage": message}).body, error_type)


@dataclass
class _Result:
    """What an invocation came to, an error where it has a type, and the tail of its log."""

    payload: bytes
    error_type: str = ""
    log: bytes = b""


@dataclass(frozen=True)
class _Request:
    """An HTTP request; of a body that is larger than any limit only the beginning."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    trailers: Message


@dataclass(frozen=True)
class _Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class _ApiError(Exception):
    """An error of the Lambda API, of a type that the API reference names."""

    def __init__(self, status: int, error_type: str, message: str, **more: str) -> None:
        super().__init__(message)
        key = "Message" if error_type == "ResourceNotFoundException" else "message"
        body = _json({"Type": "Service" if status == 500 else "User", key: message, **more}).body
        self.response = _Response(status, body, {"x-amzn-ErrorType": error_type})


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
        """Bind without looking up the host's name, which http.server does and may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop listening, at once."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError), socket.create_connection((_LOOPBACK, self.server_port)):
            self._thread.join()
        self.server_close()

    def _accept(self) -> None:
        while not self._closed:
            self.handle_request()


class _RequestHandler(BaseHTTPRequestHandler):
    """Reads requests and writes responses, on connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HTTPServer

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            body, trailers = self._read_body()
        except _BAD_BODY as error:
            self.send_error(400, explain=f"The body is malformed: {error}")
            return
        target = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(target.query))
        request = _Request(self.command, target.path, query, self.headers, body, trailers)
        self._send(self.server.answer(request))

    def do_POST(self) -> None:
        """Answer a request."""
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer as JSON what is no HTTP that this server speaks, and hang up."""
        self.close_connection = True
        text = explain or message or http.client.responses[code]
        self._send(_ApiError(code, "InvalidRequestException", text).response)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (inherited)
        """Write no access log."""

    def _send(self, response: _Response) -> None:
        headers = {"Content-Type": "application/json", **response.headers}
        if response.status != 204:
            headers["Content-Length"] = str(len(response.body))
        if self.close_connection:
            headers["Connection"] = "close"
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _read_body(self) -> tuple[bytes, Message]:
        """Return the body, whole or chunked, and its trailers.

        Raises ValueError or HTTPException for a malformed body, ConnectionError for an unfinished.
        """
        body = bytearray()
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            self._read(_length(self.headers.get("Content-Length", "0"), 10), body)
            return bytes(body), Message()
        while size := _length(self.rfile.readline(1024).decode().split(";")[0], 16):
            self._read(size, body)
            if self.rfile.readline(3).strip():
                raise ValueError("a chunk is longer than announced")
        return bytes(body), http.client.parse_headers(self.rfile)

    def _read(self, size: int, body: bytearray) -> None:
        """Read so many bytes, and keep them until the body is larger than any limit."""
        while size:
            data = self.rfile.read(min(size, 1024**2))
            if not data:
                raise ConnectionAbortedError
            size -= len(data)
            if len(body) <= MAX_RESPONSE_BYTES:
                body += data


def _length(text: str, base: int) -> int:
    if not re.fullmatch(r"\s*[0-9a-fA-F]+\s*", text):
        raise ValueError(f"{text!r} is no length")
    return int(text, base)


def _json(value: object, status: int = 200) -> _Response:
    return _Response(status, json.dumps(value).encode())


def _runtime_error(status: int, error_type: str, message: str) -> _Response:
    return _json({"errorMessage": message, "errorType": error_type}, status)


def _event(body: bytes, limit: int) -> bytes:
    """Return the event of an Invoke call, `{}` where there is none. Raises `_ApiError`."""
    if len(body) > limit:
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
        raise _ApiError(413, "RequestTooLargeException", message)
    try:
        json.loads(body or b"{}", parse_constant=_reject)
    except _BAD_JSON as error:
        message = f"Could not parse request body into json: {error}"
        raise _ApiError(400, "InvalidRequestContentException", message) from error
    return body or b"{}"


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _client_context(encoded: str) -> str:
    """Return the JSON of a client context in one line of ASCII. Raises `_ApiError`."""
    try:
        return json.dumps(json.loads(base64.b64decode(encoded))) if encoded else ""
    except _BAD_JSON as error:
        message = "Client context must be a valid Base64-encoded JSON object."
        raise _ApiError(400, "InvalidRequestContentException", message) from error


def _trace_id() -> str:
    root = f"1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"
    return f"Root={root};Parent={uuid.uuid4().hex[:16]};Sampled=0"


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files under a directory, without hidden, built and virtual environments' ones."""
    for folder, folders, names in os.walk(root):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] != "." and name not in _NOT_CODE]
        for path in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):  # it went away meanwhile
                yield path, path.stat()


def _stop(environments: Sequence[_Environment]) -> None:
    """End environments: SIGTERM, and after two seconds SIGKILL."""
    for environment in environments:
        environment.send(signal.SIGTERM)
    end = time.monotonic() + SHUTDOWN_SECONDS
    for environment in environments:
        environment.stop(max(0, end - time.monotonic()))
