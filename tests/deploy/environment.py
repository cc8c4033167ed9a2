"""The virtual environment of a rendered project."""

from __future__ import annotations

import sys
from pathlib import Path


def virtual_environment(project: Path) -> None:
    """Lend the project the environment that runs the tests, as `make` would have made one."""
    directory = project / ".venv"
    directory.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (directory / name).symlink_to(Path(sys.prefix) / name)
    (directory / "ready").touch()
