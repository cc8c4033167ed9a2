"""Each rendered handler under AWS's Runtime Interface Emulator, with both runtimes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from lambda_server import Function, LambdaServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Render

EMULATOR = os.environ.get("AWS_LAMBDA_RIE")
pytestmark = pytest.mark.skipif(
    EMULATOR is None, reason="AWS_LAMBDA_RIE does not name a Runtime Interface Emulator"
)

REQUEST = "2015-03-31/functions/function/invocations"


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


class Emulated:
    """A function under the emulator, which calls a local Lambda where it calls AWS."""

    def __init__(
        self, project: Path, handler: str, lambda_url: str, environment: dict[str, str]
    ) -> None:
        bootstrap = project / "runtime" / "bootstrap"
        runtime = ["-ISB", str(bootstrap)] if bootstrap.exists() else ["-m", "awslambdaric"]
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [
                str(EMULATOR),
                f"--runtime-interface-emulator-address={self.address}",
                f"--runtime-api-address=127.0.0.1:{free_port()}",
                sys.executable,
                *runtime,
                handler,
            ],
            cwd=project / "src",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": sysconfig.get_path("platlib"),
                "LAMBDA_TASK_ROOT": str(project / "src"),
                "_HANDLER": handler,
                "TMPDIR": str(project / "tmp"),
                "AWS_ENDPOINT_URL_LAMBDA": lambda_url,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "3",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def invoke(self, event: Any) -> Any:
        """Send an event as soon as the emulator listens; an answer that is no JSON is a string."""
        body = json.dumps(event).encode()
        request = urllib.request.Request(f"http://{self.address}/{REQUEST}", body)
        end = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                    text = answer.read().decode()
                break
            except urllib.error.HTTPError as error:  # of the init phase
                text = error.read().decode()
                break
            except urllib.error.URLError:  # it does not listen yet
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def stop(self) -> str:
        """Stop the emulator and return all that it and the function have printed."""
        if self.process.returncode is None:
            self.process.kill()
            self.output = self.process.communicate()[0]
        return self.output


@pytest.fixture(scope="session")
def lambda_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a local Lambda that knows three functions."""
    names = ("one", "two", "three")
    functions = [Function(name, "nobody.invokes_it") for name in names]
    with LambdaServer(functions, ["none"], tmp_path_factory.mktemp("lambda")) as server:
        yield server.endpoint_url


class Emulate(Protocol):
    """Starts a function under the emulator."""

    def __call__(self, handler: str, **environment: str) -> Emulated:
        """Start the handler (`<package>` in it is filled in) with more environment variables."""


@pytest.fixture(params=["managed", "custom"])
def emulate(
    request: pytest.FixtureRequest, render: Render, tmp_path: Path, lambda_url: str
) -> Iterator[Emulate]:
    """Starts handlers of a project of two functions, and of one's own code in it."""
    project = tmp_path / "project"
    answers = {"project_name": "app", "handler_mode": "multi", "runtime_style": request.param}
    shutil.copytree(render(**answers), project)
    (project / "tmp").mkdir()
    (project / "src" / "app" / "handlers" / "broken.py").write_text("raise OSError('no disk')\n")
    (project / "src" / "app" / "handlers" / "slow.py").write_text(SLOW)
    with contextlib.ExitStack() as stack:

        def emulate(handler: str, **environment: str) -> Emulated:
            emulated = Emulated(project, handler, lambda_url, environment)
            stack.callback(emulated.stop)
            return emulated

        yield emulate


SLOW = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    return context.get_remaining_time_in_millis()
"""


@pytest.mark.parametrize("name", ["api", "worker"])
def test_handler_answers(emulate: Emulate, name: str) -> None:
    by_command = emulate(f"app.handlers.{name}.handler")
    by_environment = emulate("app.dispatcher.handler", HANDLER=name)
    for emulated in (by_command, by_environment):
        assert emulated.invoke({"refresh": True})["FunctionCount"] == 3
        assert emulated.invoke({})["FunctionCount"] == 3
        output = emulated.stop()
        assert "Answering from" in output
        assert "REPORT RequestId: " in output


def test_error_of_the_function(emulate: Emulate) -> None:
    emulated = emulate("app.handlers.api.handler")
    error = emulated.invoke({"refresh": "often"})
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "refresh must be true or false, not 'often'"
    assert "/app/handlers/api.py" in "".join(error["stackTrace"])
    assert error["requestId"]
    assert emulated.invoke({"refresh": True})["FunctionCount"] == 3, "it lives on"


def test_error_at_init(emulate: Emulate) -> None:
    emulated = emulate("app.handlers.broken.handler")
    error = emulated.invoke({})
    assert error["errorType"] == "OSError"
    assert error["errorMessage"] == "no disk"


def test_wrong_choice_of_a_handler(emulate: Emulate) -> None:
    error = emulate("app.dispatcher.handler", HANDLER="nobody").invoke({})
    assert error["errorType"] == "LookupError"
    assert error["errorMessage"].endswith("set it to one of: api, broken, slow, worker")


def test_timeout(emulate: Emulate) -> None:
    emulated = emulate("app.handlers.slow.handler", AWS_LAMBDA_FUNCTION_TIMEOUT="1")
    assert "Task timed out after 1.00 seconds" in emulated.invoke({"seconds": 5})
    left = emulated.invoke({"seconds": 0})
    assert 0 < left <= 1000, "a new process answers, and knows its deadline"


def test_large_event(emulate: Emulate) -> None:
    emulated = emulate("app.handlers.api.handler", LOG_LEVEL="WARNING")
    event = {"refresh": True, "payload": "x" * 5_900_000}
    assert emulated.invoke(event)["FunctionCount"] == 3
