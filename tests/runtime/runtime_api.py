"""A Runtime API server that records every byte and answers as a script says, and runs of clients.

Facts of the protocol: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = Path(__file__).parents[2] / "template"
BOOTSTRAP = TEMPLATE / "{{ custom_layer }}" / "runtime" / "bootstrap"
HANDLERS = Path(__file__).parent / "handlers"
API = "/2018-06-01/runtime/"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:app"
TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"


def answer(status: str, body: bytes = b"", **headers: str | None) -> bytes:
    """An HTTP answer; underscores in header names stand for hyphens, None leaves a header out."""
    lines = {"Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    for name, value in headers.items():
        if value is None:
            lines.pop(name.replace("_", "-"), None)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def event(body: bytes = b"{}", request_id: str = "id-0", **headers: str | None) -> bytes:
    """An answer to `next` with the headers that Lambda always sends; others may replace them."""
    always: dict[str, str | None] = {
        "Content_Type": "application/json",
        "Lambda_Runtime_Aws_Request_Id": request_id,
        "Lambda_Runtime_Deadline_Ms": str(int(time.time() * 1000) + 30_000),
        "Lambda_Runtime_Invoked_Function_Arn": ARN,
        "Lambda_Runtime_Trace_Id": TRACE,
    }
    return answer("200 OK", body, **(always | headers))


def chunked(reply: bytes, *sizes: int, trailer: bytes = b"") -> bytes:
    """The same answer with its body in chunks of these sizes; what is left is the last chunk."""
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    parts = []
    for size in (*sizes, len(body)):
        part, body = body[:size], body[size:]
        if part:
            parts.append(b"%x\r\n%b\r\n" % (len(part), part))
    head = b"\r\n".join([*lines, b"Transfer-Encoding: chunked"])
    return head + b"\r\n\r\n" + b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


ACCEPTED = answer("202 Accepted", b'{"status":"OK"}\n', Content_Type="application/json")


@dataclass
class Step:
    """One turn: the answer to `next`, then the answer to what the runtime posts for it."""

    reply: bytes = b""  # to `next`, as it goes over the line
    drop: bool = False  # close the connection after it
    pieces: int = 0  # send it in pieces of so many bytes
    accept: bytes = ACCEPTED  # the answer to the post
    drop_post: bool = False  # close the connection after that
    read_only: int | None = None  # close the connection after so many bytes of the posted body
    early: bytes = b""  # answer the post with this before its body is read, then close


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str  # below API
    headers: dict[str, str]  # names in lower case
    body: bytes  # chunks joined
    raw: bytes  # everything after the head
    trailers: dict[str, str] = field(default_factory=dict)
    at: float = 0.0  # time.monotonic()


class RuntimeApi:
    """The server, on a port of its own, one thread for each connection."""

    def __init__(self, steps: list[Step]) -> None:
        """Begin to listen."""
        self.steps = list(steps)
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self.connections = 0
        self.idle = threading.Event()  # `next` was asked for after the last step
        self.asked = threading.Condition()
        self.current = Step()
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        for sock in (self.listener, *self.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def drop_connections(self) -> None:
        """Drop every connection, but go on listening."""
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def posts(self) -> list[Request]:
        """What the runtime posted, in order."""
        return [request for request in self.requests if request.method == "POST"]

    def wait(self, count: int, method: str = "GET", timeout: float = 20) -> None:
        """Wait until so many requests of a method have come."""
        with self.asked:
            came = self.asked.wait_for(
                lambda: sum(r.method == method for r in self.requests) >= count, timeout
            )
        assert came, f"{method} did not come {count} times: {self.requests}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self.open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, sock.makefile("rb") as stream:
                while self._turn(sock, stream):
                    pass
        except (OSError, ValueError) as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _turn(self, sock: socket.socket, stream: object) -> bool:
        """Read and answer one request; False when the connection is to end."""
        reader = _Reader(stream)
        first = reader.line()
        if not first:
            return False
        method, path, version = first.decode().split()
        assert version == "HTTP/1.1"
        assert path.startswith(API), path
        path = path.removeprefix(API)
        headers = reader.headers()
        if method == "POST" and path.startswith("invocation/"):
            if self.current.early:
                sock.sendall(self.current.early)
                reader.body(headers)
                self._record(Request(method, path, headers, b"", bytes(reader.raw)))
                return False
            if self.current.read_only is not None:
                reader.exactly(self.current.read_only)
                self._record(Request(method, path, headers, b"", bytes(reader.raw)))
                return False
        body, trailers = reader.body(headers)
        request = Request(method, path, headers, body, bytes(reader.raw), trailers)
        request.at = time.monotonic()
        if path != "invocation/next":
            self._record(request)
            if path.startswith("invocation/"):
                sock.sendall(self.current.accept)
                return not self.current.drop_post
            sock.sendall(answer("200 OK") if method == "GET" else ACCEPTED)
            return True
        if not self.steps:
            self.idle.set()
            self._record(request)
            threading.Event().wait(60)
            return False
        step = self.current = self.steps.pop(0)
        self._record(request)
        size = step.pieces or max(len(step.reply), 1)
        for at in range(0, len(step.reply), size):
            sock.sendall(step.reply[at : at + size])
            if step.pieces:
                time.sleep(0.001)
        return not step.drop

    def _record(self, request: Request) -> None:
        with self.asked:
            self.requests.append(request)
            self.asked.notify_all()


class _Reader:
    """Reads a request strictly: anything that is not HTTP/1.1 as RFC 9112 has it raises."""

    def __init__(self, stream: object) -> None:
        self.stream = stream
        self.raw = bytearray()
        self.in_body = False

    def line(self) -> bytes:
        line: bytes = self.stream.readline()  # type: ignore[attr-defined]
        if self.in_body:
            self.raw += line
        if line and not line.endswith(b"\r\n"):
            raise ValueError(f"a line without its end: {line!r}")
        return line[:-2]

    def exactly(self, count: int) -> bytes:
        data: bytes = self.stream.read(count)  # type: ignore[attr-defined]
        self.raw += data
        if len(data) != count:
            raise ValueError(f"the connection ended {count - len(data)} bytes too early")
        return data

    def headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while line := self.line():
            name, colon, value = line.decode().partition(":")
            if not colon or name.lower() in found or name != name.strip():
                raise ValueError(f"not a header, or one that came twice: {line!r}")
            found[name.lower()] = value.strip()
        return found

    def body(self, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        self.in_body = True
        if "transfer-encoding" not in headers:
            return self.exactly(int(headers.get("content-length", "0"))), {}
        if headers["transfer-encoding"] != "chunked" or "content-length" in headers:
            raise ValueError(f"a length and chunks: {headers}")
        chunks = []
        while size := int(self.line(), 16):
            chunks.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise ValueError("a chunk that does not end where its size says")
        return b"".join(chunks), self.headers()


@dataclass
class Run:
    """What a client did."""

    posts: list[Request]
    requests: list[Request]
    stdout: str
    stderr: str
    code: int | None  # exit status; None: it was idle and has been killed
    connections: int
    errors: list[str]


@functools.cache
def interpreters() -> dict[str, str]:
    """This interpreter, and every other python3.11 to 3.14 on PATH that works, by version."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for minor in range(11, 15):
        path = shutil.which(f"python3.{minor}")
        if path and f"3.{minor}" not in found:
            code = "import sys; print(sys.version_info[1], sys.base_prefix)"
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.startswith(str(minor)):
                found[f"3.{minor}"] = path
    return found


def ours(python: str = sys.executable) -> list[str]:
    """The command line of the bootstrap, with the flags that its first line asks for."""
    flags = BOOTSTRAP.read_text().partition("\n")[0].split()[1:]
    return [python, *flags, str(BOOTSTRAP)]


def theirs() -> list[str]:
    """The command line of awslambdaric."""
    return [sys.executable, "-m", "awslambdaric"]


def environment(handler: str, address: str, **more: str | None) -> dict[str, str]:
    """What Lambda sets, and what a test adds; None takes a variable away."""
    values: dict[str, str | None] = {
        "_HANDLER": handler,
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "app",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/app",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0",
        # awslambdaric leaves text beyond ASCII as it is only where this says 3.12 or newer.
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "PYTHONPATH": os.pathsep.join([str(HANDLERS), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "PATH": os.environ["PATH"],
        **more,
    }
    return {name: value for name, value in values.items() if value is not None}


@contextlib.contextmanager
def started(
    command: list[str],
    handler: str,
    api: RuntimeApi,
    stdout: IO[bytes],
    stderr: IO[bytes],
    **env: str | None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a client; it is killed at the end if it still runs.

    Its output goes to files: nobody has to read it for the client to go on.
    """
    log = env.get("_LAMBDA_TELEMETRY_LOG_FD")
    process = subprocess.Popen(
        [*command, handler],
        env=environment(handler, api.address, **env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=[int(log)] if log else [],
        cwd=HANDLERS,
        start_new_session=True,  # so that workers can be killed with their parent
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(
    command: list[str],
    handler: str,
    steps: list[Step] | list[bytes],
    **env: str | None,
) -> Run:
    """Run a client until it has gone through all steps and is idle, or ends by itself."""
    api = RuntimeApi([Step(s) if isinstance(s, bytes) else s for s in steps])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            with started(command, handler, api, out, err, **env) as process:
                deadline = time.monotonic() + 20
                while not api.idle.wait(0.005) and process.poll() is None:
                    assert time.monotonic() < deadline, f"neither idle nor ended: {api.requests}"
                code = None if api.idle.is_set() else process.wait()
        finally:
            api.close()
        return Run(api.posts, api.requests, text(out), text(err), code, api.connections, api.errors)


def text(output: IO[bytes]) -> str:
    """Everything that was written to a file."""
    output.seek(0)
    return output.read().decode()
