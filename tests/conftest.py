"""Renders the template once for each set of answers, for all tests and all workers."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from copier._main import Worker
from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pytest_copie.plugin import Copie

TEMPLATE = Path(__file__).parent.parent


class Render(Protocol):
    """Renders a project and returns its directory, which is shared: copy it to change it."""

    def __call__(self, **answers: Any) -> Path:
        """Render with these answers, and the defaults of all others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no worker is left alone with it in the end."""
    slow = ["test_deploy.py", "test_update.py", "test_image.py"]
    order = {name: rank for rank, name in enumerate(slow)}
    items.sort(key=lambda item: order.get(item.path.name, len(slow)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is at hand (SKIPS_FAIL=1), a test that is skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("SKIPS_FAIL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report


@functools.cache
def python_versions() -> dict[str, Callable[[str], str]]:
    """The Pythons from 3.11 on that work on this machine: version to a function that runs code."""

    def run(python: str, code: str) -> str:
        command = [python, "-c", code]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    found: dict[str, Callable[[str], str]] = {}
    for version in ("3.11", "3.12", "3.13", "3.14"):
        python = shutil.which(f"python{version}")
        with contextlib.suppress(subprocess.CalledProcessError):  # a pyenv shim of another version
            if python and run(python, "print('works')"):
                found[version] = functools.partial(run, python)
    return found


def git_files(directory: Path, *paths: str) -> list[str]:
    """Files that git tracks, or would track, below a directory."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return result.stdout.rstrip("\0").split("\0")


@pytest.fixture(scope="session", autouse=True)
def _no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of the renders."""
    settings = tmp_path_factory.mktemp("settings") / "settings.yml"
    settings.write_text("{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(settings))
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_copier() -> Iterator[None]:
    """Spare Copier work that comes to nothing new.

    It compiles the same expressions for every render, asks git for every file whether that ignores
    modes, which no git on this side of Windows does, and clones and renders to a disk.
    """
    compiled: dict[Any, Any] = {}
    compile_anew = Environment.compile

    def compile_once(self: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str):
            return compile_anew(self, source, *arguments, **options)
        extensions = tuple(sorted(self.extensions))
        settings = (self.trim_blocks, self.lstrip_blocks, self.keep_trailing_newline, extensions)
        key = (source, arguments, tuple(options.items()), settings)
        if key in compiled:
            self.preprocess(source)  # with which Copier's own tag begins anew
        else:
            compiled[key] = compile_anew(self, source, *arguments, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        patch.setattr(Worker, "_sync_git_index_executable_bit", lambda *_: None)
        if os.access("/dev/shm", os.W_OK):  # noqa: S108 (where it is, it is memory)
            patch.setattr(tempfile, "tempdir", "/dev/shm")  # noqa: S108
        yield


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it is now without its git history, which Copier would clone every time."""
    directory = tmp_path_factory.mktemp("template")
    for name in git_files(TEMPLATE, "copier.yml", "includes", "template"):
        if (TEMPLATE / name).exists():  # not deleted since the last commit
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, directory / name)
    return directory


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def render(copie_session: Copie, snapshot: Path, shared_directory: Path) -> Render:
    """A function that renders the template with the given answers, once for all workers."""
    renders = shared_directory / "renders"
    renders.mkdir(exist_ok=True)

    def render(**answers: Any) -> Path:
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:12]
        project = renders / key
        if not project.exists():
            result = copie_session.copy(extra_answers=answers, template_dir=snapshot)
            assert result.exception is None, result.exception
            assert result.project_dir is not None
            assert result.answers.items() >= answers.items(), "an answer was not taken"
            try:
                result.project_dir.rename(project)
            except OSError:  # another worker was quicker
                shutil.rmtree(result.project_dir)
        return project

    return render
