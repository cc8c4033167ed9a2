"""Renders the template once for each set of answers, for all tests and all workers."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from pytest_copie.plugin import Copie

TEMPLATE = Path(__file__).parent.parent


class Render(Protocol):
    """Renders a project and returns its directory, which is shared: read it, and copy it to change it."""

    def __call__(self, **answers: Any) -> Path: ...


@pytest.fixture(scope="session", autouse=True)
def _no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings of whoever runs the tests out of the renders."""
    settings = tmp_path_factory.mktemp("settings") / "settings.yml"
    settings.write_text("{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(settings))
        yield


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without its git history, which Copier would clone for each render."""
    directory = tmp_path_factory.mktemp("template")
    shutil.copy(TEMPLATE / "copier.yml", directory)
    for part in ("includes", "template"):
        shutil.copytree(TEMPLATE / part, directory / part)
    return directory


@pytest.fixture(scope="session")
def render(
    copie_session: Copie, snapshot: Path, tmp_path_factory: pytest.TempPathFactory
) -> Render:
    """A function that renders the template with the given answers, once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if base.parent.name.startswith("pytest-of-") else base.parent) / "renders"
    shared.mkdir(exist_ok=True)

    def render(**answers: Any) -> Path:
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:12]
        project = shared / key
        if not project.exists():
            result = copie_session.copy(extra_answers=answers, template_dir=snapshot)
            assert result.exception is None, result.exception
            assert result.answers.items() >= answers.items(), "an answer was not taken"
            try:
                result.project_dir.rename(project)
            except OSError:  # another worker was quicker
                shutil.rmtree(result.project_dir)
        return project

    return render
