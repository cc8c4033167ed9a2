"""The hot path: start, then `next`, handler, response, for ever.

Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

What is imported here decides how soon the first `next` is asked for: built-in modules, `_json` and
`_socket` take half a millisecond, `json`, `logging`, `os` and `socket` together ten.
"""

from __future__ import annotations

import posix
import sys
from _json import encode_basestring, make_encoder, make_scanner
from _signal import SIG_DFL, SIGTERM, getsignal, signal  # type: ignore[import-not-found]
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_PEEK,
    TCP_NODELAY,
    socket,
)
from gc import get_referents
from time import time

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from lambda_runtime.streaming import Stream

    Handler = Callable[[Any, "LambdaContext"], Any]

API = "/2018-06-01/runtime/"
IDLE = 0  # first byte of the buffer while `next` waits: no response begins with it
ONE_SEND = 65536  # a body up to this size goes out with its head: 16 % of a small invocation
CO_COROUTINE, CO_ASYNC_GENERATOR = 0x80, 0x200
PLAIN = frozenset((dict, list, tuple, str, int, float, bool, type(None)))


def env(name: bytes) -> str | None:
    """Value of an environment variable, None when it is not set; `os` is not imported for it."""
    value = posix.environ.get(name)
    return None if value is None else value.decode("utf-8", "surrogateescape")


class CognitoIdentity:
    """Who called through the AWS Mobile SDK; both fields are None for everyone else."""

    def __init__(self) -> None:
        """Make an identity without values."""
        self.cognito_identity_id: str | None = None
        self.cognito_identity_pool_id: str | None = None

    def __repr__(self) -> str:
        """Show both fields."""
        return (
            f"CognitoIdentity(cognito_identity_id={self.cognito_identity_id!r}, "
            f"cognito_identity_pool_id={self.cognito_identity_pool_id!r})"
        )


# The same in every context: read once, which is 4 % of a small invocation.
FIXED = {
    "function_name": env(b"AWS_LAMBDA_FUNCTION_NAME"),
    "function_version": env(b"AWS_LAMBDA_FUNCTION_VERSION"),
    "memory_limit_in_mb": env(b"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    "log_group_name": env(b"AWS_LAMBDA_LOG_GROUP_NAME"),
    "log_stream_name": env(b"AWS_LAMBDA_LOG_STREAM_NAME"),
}


class LambdaContext:
    """The handler's second argument.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    function_name: str | None
    function_version: str | None
    memory_limit_in_mb: str | None
    log_group_name: str | None
    log_stream_name: str | None

    def __init__(self, headers: dict[str, str]) -> None:
        """Take the headers of `next`, names in lower case."""
        header = headers.get
        self.__dict__.update(FIXED)
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = header("lambda-runtime-invoked-function-arn")
        self.tenant_id = header("lambda-runtime-aws-tenant-id")
        self.client_context: Any = None
        self.identity = CognitoIdentity()
        self._deadline_ms = int(header("lambda-runtime-deadline-ms") or 0)
        self._w3c: dict[str, str] = {}

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, never below 0."""
        return max(int(self._deadline_ms - time() * 1000), 0)

    def w3c(self) -> dict[str, str]:
        """W3C trace context of the caller: traceparent, tracestate and baggage where given."""
        return dict(self._w3c)

    def log(self, message: object) -> None:
        """Write a message to the function's log as it is, with no line end added."""
        from lambda_runtime import telemetry

        telemetry.write(str(message))

    def __repr__(self) -> str:
        """Show every public field."""
        fields = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"LambdaContext({', '.join(fields)})"


class RuntimeApi:
    """One keep-alive connection to the Runtime API, and the buffer that answers are read into.

    The buffer is kept: a new one for each 6 MB event costs 4,400 page faults, and half as much time
    again. There is no timeout anywhere, because Lambda freezes the process between invocations.
    """

    def __init__(self, address: str) -> None:
        """Take `host:port`, as in AWS_LAMBDA_RUNTIME_API; nothing is sent yet."""
        host, _, port = address.rpartition(":")
        self.address = (host.strip("[]"), int(port or 80))
        self.family = AF_INET6 if ":" in self.address[0] else AF_INET
        self.host_header = f"Host: {address}\r\nUser-Agent: python-bootstrap\r\n"
        self.next_request = f"GET {API}invocation/next HTTP/1.1\r\n{self.host_header}\r\n".encode()
        self.sock: socket = None  # type: ignore[assignment]  # None: not connected
        self.drops = 0  # connections lost in a row, see failures.reconnect
        self.forgiving = False  # one of several workers, see failures.refused
        self._use(bytearray(65536))

    def _use(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.view = memoryview(buffer)

    def connect(self) -> None:
        """Open a new connection in place of the old one.

        Raises:
            OSError: nobody listens there.
        """
        self.close()
        sock = socket(self.family)
        sock.connect(self.address)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # or a body waits 40 ms behind its head
        self.sock = sock

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None  # type: ignore[assignment]

    def next(self) -> tuple[dict[str, str], memoryview]:
        """Wait for an event; returns its headers and its body, valid until the next call.

        A connection that is lost while nothing of the event has arrived is opened again.

        Raises:
            OSError: lost in the middle of an event, or too often.
            ValueError: not HTTP.
        """
        while True:
            self.buffer[0] = IDLE
            try:
                status, headers, body = self.get(self.next_request)
                break
            except OSError as error:
                from lambda_runtime import failures

                failures.reconnect(self, error)
        if status != "200":
            from lambda_runtime import failures

            failures.refused(self, "invocation/next", status, body)
        return headers, body

    def get(self, request: bytes) -> tuple[str, dict[str, str], memoryview]:
        """Send a request without a body and read the answer, see `read`."""
        if self.sock is None:
            self.connect()
        self.sock.sendall(request)
        return self.read()

    def post(self, path: str, body: bytes, headers: str) -> None:
        """Send a body, once, and check the answer.

        Args:
            path: below the API's version, for example `init/error`.
            body: as it goes over the line.
            headers: further lines, each with its line end.

        Raises:
            OSError: the connection was lost, and nobody knows what has arrived.
            ValueError: the answer is not HTTP.
        """
        head = self.post_head(path, f"{headers}Content-Length: {len(body)}\r\n")
        sock = self.ready()
        if len(body) <= ONE_SEND:
            sock.sendall(head + body)
        else:
            try:
                sock.sendall(head)
                sock.sendall(body)
            except OSError:
                if not self.has_input():  # as a 413 may be, sent before the whole body went out
                    raise
        self.check(path)

    def post_head(self, path: str, headers: str) -> bytes:
        """Make the head of a POST."""
        return f"POST {API}{path} HTTP/1.1\r\n{self.host_header}{headers}\r\n".encode()

    def ready(self) -> socket:
        """Give a connection to send a body on.

        One that was closed while the handler ran must be noticed before sending: after it nobody
        could tell whether the response has arrived.
        """
        if self.sock is None or self.has_input():
            self.connect()
        return self.sock

    def check(self, path: str) -> None:
        """Read the answer to a POST."""
        status, _, answer = self.read()
        if status[0] != "2":
            from lambda_runtime import failures

            failures.refused(self, path, status, answer)

    def has_input(self) -> bool:
        """Tell whether bytes, or the end of the connection, wait to be read."""
        try:
            self.sock.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def read(self) -> tuple[str, dict[str, str], memoryview]:
        """Read one answer; returns status, headers with names in lower case, and body.

        Raises:
            OSError: the connection ended before the answer did.
            ValueError: not HTTP.
        """
        filled = self.receive(0, 1)
        while (head_end := self.buffer.find(b"\r\n\r\n", 0, filled)) < 0:
            filled = self.receive(filled, filled + 1)
        status_line, *lines = str(self.view[:head_end], "utf-8", "replace").split("\r\n")
        version, _, status = status_line.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"not an HTTP answer: {status_line[:80]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        start = head_end + 4
        if "transfer-encoding" in headers:
            start, end, answer_end, filled = self._join_chunks(start, filled)
        else:
            end = answer_end = start + int(headers.get("content-length", 0))
            if end < start:
                raise ValueError("a body of negative length")
            if filled < end:
                filled = self.receive(filled, end)
        if filled != answer_end or headers.get("connection") == "close":
            self.close()  # more than the answer, or the last one: nothing to trust or to reuse
        return status[:3], headers, self.view[start:end]

    def receive(self, filled: int, need: int) -> int:
        """Read on until the buffer holds at least `need` bytes; returns how many it holds.

        Raises:
            OSError: the connection ended before.
        """
        if need > len(self.buffer):
            grown = bytearray(need + 65536)
            grown[:filled] = self.view[:filled]
            self._use(grown)
        sock, view = self.sock, self.view
        while filled < need:
            got = sock.recv_into(view[filled:])
            if not got:
                raise ConnectionResetError("the Runtime API closed the connection")
            filled += got
        return filled

    def _join_chunks(self, at: int, filled: int) -> tuple[int, int, int, int]:
        """Move the chunks from `at` on together, inside the buffer.

        The emulator, and Lambda for larger events, send one chunk: then nothing is moved.

        Returns:
            Start and end of the body, end of the answer, and bytes in the buffer.
        """
        start = end = 0
        while True:
            while (line_end := self.buffer.find(b"\r\n", at, filled)) < 0:
                filled = self.receive(filled, filled + 1)
            size = int(self.buffer[at:line_end].partition(b";")[0], 16)
            at = line_end + 2
            if size < 0:
                raise ValueError("a chunk of negative length")
            if size == 0:
                break
            filled = self.receive(filled, at + size + 2)
            if end == 0:
                start = end = at
            elif end != at:
                self.view[end : end + size] = self.view[at : at + size]
            end += size
            at += size + 2
        while (line_end := self.buffer.find(b"\r\n", at, filled)) != at:  # trailers
            if line_end < 0:
                filled = self.receive(filled, filled + 1)
            else:
                at = line_end + 2
        return start, end, at + 2, filled


def unusual_value(value: Any) -> Any:
    """Stand in for a value that the C encoder does not know.

    Raises:
        TypeError: nothing can stand in for it.
    """
    from lambda_runtime import codec

    return codec.stand_in(value)


def reject_constant(name: str) -> NoReturn:
    """Refuse NaN, Infinity and -Infinity, which JSON does not have.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is not JSON")


class ScannerOptions:
    """What the C scanner reads its settings from; `json` for it would double the time to start."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(reject_constant)


scan = make_scanner(ScannerOptions)  # type: ignore[arg-type]  # C reads the attributes alone
write = make_encoder(None, unusual_value, encode_basestring, None, ": ", ", ", False, False, True)


def decode(body: memoryview) -> Any:
    """Parse an event.

    Raises:
        Fault: Runtime.UnmarshalError.
    """
    try:
        text = str(body, "utf-8")
        event, end = scan(text, 0)
        whole = end == len(text)
    except Exception:
        whole = False
    if whole:
        return event
    from lambda_runtime import codec

    return codec.decode(bytes(body))  # or the error that says what is wrong


def encode(result: Any) -> bytes:
    """Write a result as JSON.

    Raises:
        Fault: Runtime.MarshalError.
    """
    try:
        body = "".join(write(result, 0)).encode()
        # The C encoder takes a namedtuple for a list, and does not tell. So look for one, level by
        # level and in C; this comes second because it would not end on a circular result.
        level = [result]
        while level and PLAIN.issuperset(map(type, level)):
            level = get_referents(*level)
        if level:
            from lambda_runtime import codec

            if codec.hides_namedtuple(level):
                return codec.encode(result)
    except Exception:
        from lambda_runtime import codec

        return codec.encode(result)  # or the error that says what is wrong
    return body


context: LambdaContext | None = None  # of the latest invocation; log records carry its ids
stopping = False  # SIGTERM came while an invocation was under way


def handle(api: RuntimeApi, handler: Handler) -> None:
    """Wait for one event and answer it."""
    global context
    headers, body = api.next()
    request_id = headers["lambda-runtime-aws-request-id"]
    api.drops = 0
    set_trace_id(headers.get("lambda-runtime-trace-id"))
    content_type = "application/json"
    answer: bytes | Stream
    try:
        context = LambdaContext(headers)
        if (
            "lambda-runtime-client-context" in headers
            or "lambda-runtime-cognito-identity" in headers
        ):
            from lambda_runtime import identity

            identity.fill(context, headers)
        event = decode(body) if headers.get("content-type") == content_type else bytes(body)
        result = handler(event, context)
        if type(result) in PLAIN:
            answer = encode(result)
        else:
            from lambda_runtime import results

            answer, content_type = results.prepare(result)
    except Exception as error:
        from lambda_runtime import failures

        failures.report(api, headers, error)
        return
    flush_output()
    invocation_id = headers.get("lambda-runtime-invocation-id")
    lines = f"Content-Type: {content_type}\r\n"
    if invocation_id:
        lines += f"Lambda-Runtime-Invocation-Id: {invocation_id}\r\n"
    if isinstance(answer, bytes):
        api.post(f"invocation/{request_id}/response", answer, lines)
    else:
        answer.send(api, request_id, lines)


def flush_output() -> None:
    """Write out lines that have no end yet: after the response the process may be frozen."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # the user's code has closed or replaced them
        return


def set_trace_id(trace_id: str | None) -> None:
    """Put the X-Ray trace id where SDKs look for it.

    `os.environ` is a view of `posix.environ`, and importing `os` is an eighth of the start.
    """
    if trace_id:
        value = trace_id.encode()
        posix.environ[b"_X_AMZN_TRACE_ID"] = value
        posix.putenv(b"_X_AMZN_TRACE_ID", value)
    elif posix.environ.pop(b"_X_AMZN_TRACE_ID", None):
        posix.unsetenv(b"_X_AMZN_TRACE_ID")


def find_handler(name: str) -> Handler:
    """Import `module.function`; a slash in it stands for a dot.

    Raises:
        Fault: no such thing.
        BaseException: whatever the import raised.
    """
    path, dot, function = name.rpartition(".")
    module = path.replace("/", ".")
    if not dot or module.partition(".")[0] in sys.builtin_module_names:
        from lambda_runtime import failures

        raise failures.bad_handler_name(name)
    __import__(module)
    handler: Handler | None = getattr(sys.modules[module], function, None)
    if handler is None:
        from lambda_runtime import failures

        raise failures.no_handler(module, function)
    return handler


class LoggingHook:
    """Sets up `logging` when user code imports it, not before: importing it takes 10 ms."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """Find `logging` as the other finders do, and have the root handler added to it."""
        if name != "logging":
            return None
        sys.meta_path.remove(cls)
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec: Any = next(filter(None, specs))
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            from lambda_runtime import logs

            logs.install()

        spec.loader.exec_module = exec_module
        return spec


def extend_path() -> None:
    """Put back on `sys.path` what -I and -S leave out, in the order of the managed runtimes."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    first = [env(b"LAMBDA_TASK_ROOT") or "/var/task"]
    first += filter(None, (env(b"PYTHONPATH") or "").split(":"))
    first += [f"/opt/python/lib/{python}/site-packages", "/opt/python"]
    sys.path[:0] = first
    sys.path.append(f"{sys.prefix}/lib/{python}/site-packages")


def start() -> None:
    """Import the handler and answer events until the environment ends."""
    api = RuntimeApi(env(b"AWS_LAMBDA_RUNTIME_API") or "127.0.0.1:9001")
    extend_path()
    if b"_LAMBDA_TELEMETRY_LOG_FD" in posix.environ:  # not for the eyes of user code
        from lambda_runtime import telemetry  # noqa: F401
    sys.meta_path.insert(0, LoggingHook)
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    if b"AWS_LAMBDA_MAX_CONCURRENCY" in posix.environ:
        from lambda_runtime import workers

        workers.fork(api)
    try:
        handler = find_handler(env(b"_HANDLER") or "")
    except BaseException as error:
        from lambda_runtime import failures

        failures.init_failed(api, error)
    code = getattr(handler, "__code__", None)
    if code and code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
        from lambda_runtime import coroutines  # in the init phase: asyncio takes 40 ms
    if env(b"AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from lambda_runtime import snapstart

        snapstart.cross(api)

    def on_sigterm(_number: int, _frame: Any) -> None:
        """Leave at once while idle (nothing of an event has arrived), else after the response."""
        global stopping
        stopping = True
        if api.buffer[0] == IDLE and not (api.sock and api.has_input()):
            sys.exit(0)

    if getsignal(SIGTERM) is SIG_DFL:
        signal(SIGTERM, on_sigterm)
    try:
        while not stopping:
            try:
                handle(api, handler)
            except Exception as error:
                from lambda_runtime import failures

                failures.lost(api, error)
    finally:
        if "lambda_runtime.coroutines" in sys.modules:
            from lambda_runtime import coroutines

            coroutines.close()
