"""Finish a directory that becomes a layer of the image: `layer.py KIND DIRECTORY`.

What it holds afterwards depends on its sources alone, neither on when nor on whose machine nor with
which umask it was made: the same sources give the same layer, and a registry that has it already is
sent nothing.
"""

import compileall
import os
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode


def strip(packages: Path) -> None:
    """Delete what pip leaves behind and nobody imports: scripts, tests, bytecode."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for root, directories, _ in os.walk(packages):
        for name in {"tests", "__pycache__"}.intersection(directories):
            shutil.rmtree(Path(root, name))
            directories.remove(name)


def compile_all(root: Path) -> bool:
    """Compile the Python under `root`, the future `/`; returns whether all of it compiles."""
    # Checked by the source's hash, because its date is not the one that it has in a checkout.
    return bool(
        compileall.compile_dir(
            root,
            maxlevels=100,
            quiet=1,
            stripdir=str(root),
            prependdir="/",
            invalidation_mode=PycInvalidationMode.CHECKED_HASH,
        )
    )


def seal(root: Path, timestamp: int) -> None:
    """Make modes and times uniform; Lambda's user, who owns nothing here, must read it all."""
    for directory, names, files in os.walk(root, topdown=False):
        for path in [Path(directory, name) for name in (*names, *files)]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (timestamp, timestamp), follow_symlinks=False)


def main() -> None:
    """Finish the directory."""
    kind, root = sys.argv[1], Path(sys.argv[2])
    if kind == "packages":
        strip(root / "var" / "task")
    # A package may hold Python for other versions, which it never imports; the project may not.
    if not compile_all(root) and kind == "code":
        sys.exit(f"error: Python {sys.version.split()[0]} cannot compile the files named above")
    seal(root, int(os.environ["SOURCE_DATE_EPOCH"]))


if __name__ == "__main__":
    main()
