"""What `copier update` makes of a project."""

from __future__ import annotations

import filecmp
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import copier
import pytest

from combinations import CORE, Combination

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = ["-c", "user.name=A User", "-c", "user.email=user@example.com"]


def git(directory: Path, *arguments: str) -> str:
    """Run git as some user."""
    command = ["git", *IDENTITY, *arguments]
    result = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return result.stdout


def commit(directory: Path, message: str) -> None:
    """Commit everything."""
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", f"--message={message}")


@pytest.fixture
def template(snapshot: Path, tmp_path: Path) -> Path:
    """A template with two releases: v1.0.0 as it is now, and v1.1.0 with changes in many files."""
    template = tmp_path / "template"
    shutil.copytree(snapshot, template)
    git(tmp_path, "init", "--quiet", "template")
    commit(template, "Release v1.0.0")
    git(template, "tag", "--annotate", "--message=v1.0.0", "v1.0.0")
    rendered = template / "template"
    for path in sorted(rendered.rglob("*")):
        if path.suffix in {".jinja", ".py", ".sh", ".md"} and path.is_file():
            if "answers_file" in path.name:
                continue
            text = path.read_text()
            first, newline, rest = text.partition("\n")
            mark = "# Improved.\n" if path.suffix != ".md" else "\n"
            path.write_text(f"{first}{newline}{mark}{rest}")
    (rendered / "NEWS.md").write_text("# News\n")
    commit(template, "Release v1.1.0")
    git(template, "tag", "--annotate", "--message=v1.1.0", "v1.1.0")
    return template


def copy(template: Path, project: Path, release: str, answers: dict[str, Any]) -> Path:
    """A fresh copy of a release."""
    copier.run_copy(
        str(template), project, data=answers, vcs_ref=release, defaults=True, quiet=True
    )
    return project


def update(project: Path, release: str, **answers: Any) -> None:
    """Update as users do: with no trust in the template, and the recorded answers as defaults."""
    copier.run_update(
        project, data=answers, vcs_ref=release, defaults=True, overwrite=True, quiet=True
    )


def differences(one: Path, other: Path) -> list[str]:
    """Paths that are not the same in both directories, in content or in mode."""

    def files(root: Path) -> dict[str, Path]:
        paths = (path for path in root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(root)): path
            for path in paths
            if ".git" not in path.relative_to(root).parts
        }

    left, right = files(one), files(other)
    return sorted(left.keys() ^ right.keys()) + [
        name
        for name in sorted(left.keys() & right.keys())
        if not filecmp.cmp(left[name], right[name], shallow=False)
        or left[name].stat().st_mode != right[name].stat().st_mode
    ]


@pytest.mark.parametrize("row", CORE[::4], ids=str)
def test_update_equals_a_fresh_copy(template: Path, tmp_path: Path, row: Combination) -> None:
    answers = {"project_name": "app", **row.answers}
    project = copy(template, tmp_path / "project", "v1.0.0", answers)
    git(project, "init", "--quiet")
    commit(project, "Start")
    update(project, "v1.1.0")
    fresh = copy(template, tmp_path / "fresh", "v1.1.0", answers)
    assert differences(project, fresh) == []
    assert (project / "NEWS.md").exists()
    commit(project, "Update")
    update(project, "v1.1.0")
    assert git(project, "status", "--porcelain") == "", "the second update changed something"


def test_update_keeps_what_the_user_did(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "project", "v1.0.0", {"project_name": "app"})
    handler = project / "src" / "app" / "handlers" / "main.py"
    handler.write_text(handler.read_text().replace("lifetime=60", "lifetime=3600"))
    (project / "src" / "app" / "orders.py").write_text('"""Orders."""\n')
    (project / "tests" / "test_cache.py").unlink()
    git(project, "init", "--quiet")
    commit(project, "Start")
    update(project, "v1.1.0")
    assert "lifetime=3600" in handler.read_text()
    assert "# Improved." in handler.read_text()
    assert (project / "src" / "app" / "orders.py").exists()
    assert not (project / "tests" / "test_cache.py").exists()
    status = git(project, "status", "--porcelain")
    assert "UU" not in status


def test_update_with_other_answers_equals_a_copy_with_them(template: Path, tmp_path: Path) -> None:
    before = {"project_name": "app", "iac": "sam", "handler_mode": "multi"}
    after = {
        "iac": "cdk",
        "runtime_style": "custom",
        "handlers": {"api": "direct", "new": "direct"},
    }
    project = copy(template, tmp_path / "project", "v1.0.0", before)
    git(project, "init", "--quiet")
    commit(project, "Start")
    update(project, "v1.0.0", **after)
    fresh = copy(template, tmp_path / "fresh", "v1.0.0", before | after)
    assert differences(project, fresh) == []
    assert (project / "src" / "app" / "handlers" / "new.py").exists()


def test_handlers_come_and_go_without_conflicts(template: Path, tmp_path: Path) -> None:
    answers = {"project_name": "app", "handler_mode": "multi", "iac": "cli"}
    handlers = {"worker": "direct", "api": "direct"}
    project = copy(template, tmp_path / "project", "v1.0.0", answers | {"handlers": handlers})
    git(project, "init", "--quiet")
    commit(project, "Start")
    for chosen in ({**handlers, "new": "direct"}, {"new": "direct", "worker": "direct"}):
        update(project, "v1.0.0", handlers=chosen)
        assert "UU" not in git(project, "status", "--porcelain")
        commit(project, "Update")
        fresh = tmp_path / "-".join(chosen)
        copy(template, fresh, "v1.0.0", answers | {"handlers": chosen})
        assert differences(project, fresh) == []


def test_hostile_description_survives_an_update(template: Path, tmp_path: Path) -> None:
    hostile = """{{ braces }} {% tags %} "quotes" \\ 'more' # : $(touch owned) 日本語"""
    answers = {"project_name": "app", "description": hostile}
    project = copy(template, tmp_path / "project", "v1.0.0", answers)
    git(project, "init", "--quiet")
    commit(project, "Start")
    update(project, "v1.1.0")
    assert differences(project, copy(template, tmp_path / "fresh", "v1.1.0", answers)) == []
