"""A rendered project does what its README says: `make` lints, tests, formats and runs it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from combinations import CORE, Combination
from conftest import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Render

VENV_SCRIPT = TEMPLATE / "template" / "scripts" / "venv.sh"

# Of the environment that these tests run in, a user of a project has nothing.
OURS = ("AWS_", "COPIER_", "EVENT", "HANDLER", "MAKE", "MFLAGS", "PYTEST_", "STAGE", "VIRTUAL_ENV")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
ENVIRONMENT["UV_PYTHON_DOWNLOADS"] = "never"


class Project:
    """A project of the test's own, with an environment that it shares with those of equal locks."""

    def __init__(self, directory: Path, venv: Path) -> None:
        self.directory = directory
        self.command = ["make", "--no-print-directory", f"VENV={venv}"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a make, whatever comes of it; standard error goes to the output."""
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def make(self, *arguments: str) -> str:
        """Run a make that must succeed, and return what it prints."""
        result = self.run(*arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def git(self, *arguments: str) -> str:
        """Run git."""
        identity = ["-c", "user.name=A User", "-c", "user.email=user@example.com"]
        command = ["git", *identity, *arguments]
        result = subprocess.run(
            command, cwd=self.directory, check=True, capture_output=True, text=True
        )
        return result.stdout


class NewProject(Protocol):
    """Makes a project of the test's own."""

    def __call__(self, **answers: Any) -> Project:
        """Copy the project with these answers."""


@pytest.fixture
def new_project(render: Render, tmp_path: Path, shared_directory: Path) -> NewProject:
    """A function that makes a project of the test's own."""

    def new_project(**answers: Any) -> Project:
        directory = tmp_path / "app"
        shutil.copytree(render(**answers), directory)
        lock = (directory / "requirements-dev.txt").read_bytes()
        version = str(answers.get("python_version", "3.14")).encode()
        venv = shared_directory / "venvs" / hashlib.sha256(lock + version).hexdigest()[:12]
        venv.parent.mkdir(exist_ok=True)
        project = Project(directory, venv)
        with venv.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # one worker makes it, the others wait
            if not (venv / "ready").exists():
                project.make(str(venv / "ready"))
            (venv / "ready").touch()  # newer than this project's lock, which is the same
        return project

    return new_project


# ---------------------------------------------------------------- lint, format and test


@pytest.mark.parametrize("row", CORE, ids=str)
def test_lint_format_and_test(new_project: NewProject, row: Combination) -> None:
    project = new_project(**row.answers)
    project.git("init", "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message=Start")
    project.make("lint")
    project.make("format")
    output = project.make("test")
    passed = re.search(r"= (\d+) passed in ", output)
    assert passed, output
    assert int(passed[1]) >= 20
    running = re.search(r"Python (3\.\d+)", output)
    assert running
    told = f"these tests run on Python {running[1]}; the functions run on {row.python_version}"
    assert (told in output) == (running[1] != row.python_version)
    assert project.git("status", "--porcelain") == "", "a formatter or a test changed the project"


def test_demo() -> None:
    """The README's first command, from nothing but a checkout."""
    demo = subprocess.run(
        ["./demo.sh"], cwd=TEMPLATE, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert re.search(r"= \d+ passed in ", demo.stdout)
    assert '"FunctionCount": 1' in demo.stdout
    assert re.search(
        r"^REPORT RequestId: .*Duration: .* Memory Used: \d+ MB", demo.stdout, re.MULTILINE
    )


def test_make_lists_the_targets(new_project: NewProject) -> None:
    output = new_project().make()
    for verb in ("test", "lint", "dev", "invoke", "build", "deploy", "logs", "rollback", "destroy"):
        assert re.search(rf"^  make {verb} +\w", output, re.MULTILINE), output


def test_targets_of_ones_own(new_project: NewProject) -> None:
    project = new_project()
    (project.directory / "project.mk").write_text("greet: ## say hello\n\t@echo hello\n")
    assert "make greet" in project.make()
    assert project.make("greet") == "hello\n"


# ---------------------------------------------------------------- the local run


@pytest.fixture(params=["managed", "custom"])
def running(request: pytest.FixtureRequest, new_project: NewProject) -> Iterator[Project]:
    """A project with two functions in which `make dev` runs."""
    project = new_project(runtime_style=request.param, handler_mode="multi")
    dev = subprocess.Popen(
        [*project.command, "dev", "PORT=0"],
        cwd=project.directory,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert dev.stdout is not None
    assert "Lambda is at http://127.0.0.1:" in dev.stdout.readline()
    yield project
    os.killpg(dev.pid, signal.SIGINT)  # as Ctrl-C does
    output, _ = dev.communicate(timeout=20)
    assert "KeyboardInterrupt" not in output
    assert not (project.directory / ".local" / "endpoint").exists()


def test_invoke_of_the_local_run(running: Project) -> None:
    output = running.make("invoke")
    assert '{"refresh": false}' in output
    for line in ("START RequestId: ", "END RequestId: ", "REPORT RequestId: "):
        assert line in output
    assert json.loads(output.splitlines()[-1])["FunctionCount"] == 2
    assert "Answering from" in running.make("invoke")
    assert "-local-worker" in running.make("invoke", "HANDLER=worker")

    (running.directory / "bad.json").write_text('{"refresh": "often"}')
    failed = running.run("invoke", "EVENT=bad.json")
    assert failed.returncode != 0
    assert '"errorType": "ValueError"' in failed.stdout

    for argument, sentence in {
        "HANDLER=nobody": "error: no handler 'nobody'; set HANDLER to one of: api, worker",
        "EVENT=missing.json": "error: cannot read missing.json (No such file or directory); set",
        "EVENT=Makefile": "error: Makefile is no JSON",
    }.items():
        refused = running.run("invoke", argument)
        assert refused.returncode != 0
        assert sentence in refused.stdout


def test_local_run_takes_changes_and_new_handlers(running: Project) -> None:
    running.make("invoke")
    [handlers] = (running.directory / "src").glob("*/handlers")
    code = (handlers / "api.py").read_text()
    (handlers / "api.py").write_text(code.replace("Answering from", "Changed, answering from"))
    running.make("invoke")
    assert "Changed, answering from" in running.make("invoke")


def test_port_in_use_is_told_in_a_sentence(running: Project) -> None:
    endpoint = (running.directory / ".local" / "endpoint").read_text()
    port = endpoint.rpartition(":")[2]
    refused = running.run("dev", f"PORT={port}")
    assert refused.returncode != 0
    assert f"error: cannot listen on 127.0.0.1:{port}" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert "FunctionCount" in running.make("invoke"), "the first one runs on"


def test_invoke_after_a_crash_of_the_local_run(new_project: NewProject) -> None:
    project = new_project()
    endpoint = project.directory / ".local" / "endpoint"
    endpoint.parent.mkdir()
    endpoint.write_text("http://127.0.0.1:9")
    refused = project.run("invoke")
    assert refused.returncode != 0
    assert "error: `make dev` no longer runs; start it, or say STAGE=dev" in refused.stdout
    assert not endpoint.exists()


# ---------------------------------------------------------------- the environment's script


def venv_script(directory: Path, version: str, path: Path | None = None) -> Any:
    """Run scripts/venv.sh for a lock that pins nothing."""
    directory.mkdir(exist_ok=True)
    (directory / "requirements.txt").write_text("")
    return subprocess.run(
        [VENV_SCRIPT, directory / "venv", version, directory / "requirements.txt"],
        env=ENVIRONMENT | ({"PATH": str(path)} if path else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory to be the whole PATH, with no Python in it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in ("bash", "cat", "env"):
        (directory / tool).symlink_to(str(shutil.which(tool)))
    return directory


def test_missing_python_is_replaced_by_the_newest_found(tmp_path: Path, path: Path) -> None:
    running = f"3.{sys.version_info.minor}"
    (path / f"python{running}").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (path / f"python{running}").chmod(0o755)
    result = venv_script(tmp_path / "app", "3.99", path)
    assert result.returncode == 0, result.stderr
    assert f"NOTE: Python 3.99 was not found; taking python{running}." in result.stderr
    assert (tmp_path / "app" / "venv" / "bin" / "python").exists()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_environment_is_made_and_refreshed(tmp_path: Path, path: Path, installer: str) -> None:
    running = f"3.{sys.version_info.minor}"
    (path / f"python{running}").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (path / f"python{running}").chmod(0o755)
    if installer == "uv":
        (path / "uv").symlink_to(str(shutil.which("uv")))
    old = tmp_path / "app" / "venv" / "bin" / "python"  # of a Python that is no longer wanted
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho 3.8\n")
    old.chmod(0o755)
    (old.parent.parent / "pyvenv.cfg").write_text("version = 3.8\n")
    for _ in range(2):
        result = venv_script(tmp_path / "app", running, path)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr
    version = subprocess.run([old, "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith(f"Python {running}.")


def test_no_python_at_all_is_told_in_a_sentence(tmp_path: Path, path: Path) -> None:
    result = venv_script(tmp_path / "app", "3.14", path)
    assert result.returncode == 1
    assert "error: no Python from 3.11 on" in result.stderr
    assert not (tmp_path / "app" / "venv").exists()


def test_venv_script_tells_its_usage() -> None:
    result = subprocess.run([VENV_SCRIPT], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: scripts/venv.sh ")
