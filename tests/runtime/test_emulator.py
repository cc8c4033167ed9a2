"""The runtime under AWS's own Runtime Interface Emulator: `AWS_LAMBDA_RIE` is the path to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runtime_api import environment, ours

if TYPE_CHECKING:
    from collections.abc import Iterator

RIE = os.environ.get("AWS_LAMBDA_RIE")
pytestmark = pytest.mark.skipif(
    not RIE, reason="AWS_LAMBDA_RIE does not name a Runtime Interface Emulator"
)
PATH = "/2015-03-31/functions/function/invocations"


def free_ports() -> list[int]:
    """Two ports that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        return [a.getsockname()[1], b.getsockname()[1]]


class Function:
    """A function under the emulator."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        """Take where it listens and what it writes."""
        self.port, self.process, self.log = port, process, log

    def invoke(self, event: Any) -> Any:
        """Send an event (bytes as they are, anything else as JSON); returns the parsed answer."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", PATH, body)
        answer = connection.getresponse().read()
        connection.close()
        try:
            return json.loads(answer)
        except ValueError:
            return answer

    def children(self) -> list[int]:
        """Process ids of the runtime."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(c) for t in tasks.iterdir() for c in (t / "children").read_text().split()]

    def resident_kb(self) -> int:
        """Resident memory of the runtime."""
        status = Path(f"/proc/{self.children()[0]}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def emulated(handler: str, directory: Path, **env: str) -> Iterator[Function]:
    """Start a function; the emulator is killed at the end, and its runtime with it."""
    assert RIE
    port, api_port = free_ports()
    log = directory / "log.txt"
    addresses = [
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api_port}"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [RIE, *addresses, *ours(), handler],
            env=environment(handler, "") | env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        function = Function(port, process, log)
        try:
            for _ in range(400):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield function
        finally:
            children = []
            with contextlib.suppress(OSError):
                children = function.children()
            process.kill()
            process.wait()
            for child in children:  # the emulator is gone: the runtime sees that, and need not
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 9)


def test_success_and_error(tmp_path: Path) -> None:
    with emulated("others.exits", tmp_path) as function:
        assert function.invoke({"ü": [1, None]}) == {"ü": [1, None]}
        error = function.invoke("error")
        assert (error["errorType"], error["errorMessage"]) == ("ValueError", "handled")
        assert "in exits" in error["stackTrace"][0]
        assert function.invoke("again") == "again"
    assert "REPORT RequestId" in function.log.read_text()


@pytest.mark.parametrize("how", ["sys", "os"])
def test_exits(how: str, tmp_path: Path) -> None:
    with emulated("others.exits", tmp_path) as function:
        assert function.invoke("fine") == "fine"
        assert function.invoke(how)["errorType"] == "Runtime.ExitError"
        assert function.invoke("a new process") == "a new process"


def test_init_error(tmp_path: Path) -> None:
    with emulated("no_such_module.handler", tmp_path) as function:
        error = function.invoke({})
        assert error["errorType"] == "Runtime.ImportModuleError"
        assert "no_such_module" in error["errorMessage"]


def test_timeout(tmp_path: Path) -> None:
    with emulated("others.slow", tmp_path, AWS_LAMBDA_FUNCTION_TIMEOUT="1") as function:
        assert b"timed out after 1" in function.invoke(5)
        assert function.invoke(0) == 0


def test_large_bodies(tmp_path: Path) -> None:
    with emulated("results.echo", tmp_path) as function:
        for size in (10, 2_000, 5_000, 70_000, 1_000_000, 6_000_000):
            event = [{"id": i, "name": "Zürich"} for i in range(size // 40)]
            assert function.invoke(event) == event


def test_a_response_over_the_limit(tmp_path: Path) -> None:
    with emulated("others.repeat", tmp_path) as function:
        assert len(function.invoke(6_000_000)) == 6_000_000
        assert "size" in json.dumps(function.invoke(7_000_000)).lower()
        before = function.children()
        assert function.invoke(5) == "xxxxx"
        assert function.children() == before, "the same process goes on"


def test_a_thousand_invocations_do_not_grow(tmp_path: Path) -> None:
    with emulated("results.echo", tmp_path) as function:
        event = {"text": "x" * 5000}
        for _ in range(200):
            assert function.invoke(event) == event
        before = function.resident_kb()
        for _ in range(1000):
            assert function.invoke(event) == event
        assert function.resident_kb() - before <= 64


def test_streams_arrive_whole(tmp_path: Path) -> None:
    with emulated("others.generator", tmp_path) as function:
        assert function.invoke(["a", "bytes", "b"]) == b"a\x00\xffb"
        assert function.invoke(["raise"])["errorType"] == "ValueError"


def test_json_logs(tmp_path: Path) -> None:
    with emulated("logs.values", tmp_path, AWS_LAMBDA_LOG_FORMAT="JSON") as function:
        assert function.invoke({}) is None
    lines = function.log.read_text().splitlines()
    assert any('"message": "text with 2"' in line and '"requestId": "' in line for line in lines)
