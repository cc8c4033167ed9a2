"""git, as some user runs it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = ("-c", "user.name=A User", "-c", "user.email=user@example.com")


def git(directory: Path, *arguments: str) -> str:
    """Run git, and return what it prints."""
    command = ["git", *IDENTITY, *arguments]
    result = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return result.stdout


def commit(directory: Path, message: str) -> None:
    """Commit everything, and be it nothing."""
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", f"--message={message}")


def start(directory: Path) -> None:
    """Make a repository of the directory, with all that is in it."""
    git(directory, "init", "--quiet")
    commit(directory, "Start")


def release(template: Path, version: str) -> None:
    """Commit the template as it stands, and tag it."""
    commit(template, f"Release {version}")
    git(template, "tag", "--annotate", f"--message={version}", version)


def conflicts(project: Path) -> set[str]:
    """The files that an update left in conflict."""
    return set(git(project, "diff", "--name-only", "--diff-filter=U").split())
