"""Copy the interpreter that AWS built, and no more than runs: `interpreter.py PYTHON OS DIRECTORY`.

PYTHON is the root of AWS's Python image, OS that of the OS-only image that the copy will run on.
They may be of another architecture than this machine: nothing in them is executed.
"""

import shutil
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# What serves to develop with, to draw windows, to install, or to test Python itself.
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.a", "pkgconfig", "config-*",
    "test", "tests", "_test*.so", "_ctypes_test*.so", "xxlimited*.so", "_xxtestfuzz*.so",
    "idlelib", "tkinter", "_tkinter*.so", "turtle.py", "turtledemo",
    "ensurepip", "venv", "lib2to3", "pydoc_data",
)  # fmt: skip

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def needed(path: Path) -> list[str]:
    """Return the names of the shared libraries that an ELF file asks for; none for other files.

    Source: "Tool Interface Standard (TIS) Executable and Linking Format Specification" 1.2, book 3,
    for 64 bits, least significant byte first.
    """
    data = path.read_bytes()
    if not data.startswith(b"\x7fELF"):
        return []
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, table + size * n) for n in range(count)]
    loads = [header for header in headers if header[0] == PT_LOAD]
    entries: list[tuple[int, int]] = []
    for kind, _, offset, _, _, length in headers:
        if kind == PT_DYNAMIC:
            entries.extend(struct.iter_unpack("<QQ", data[offset : offset + length]))
    if (DT_NULL, 0) in entries:
        entries = entries[: entries.index((DT_NULL, 0))]
    strings = next((value for tag, value in entries if tag == DT_STRTAB), 0)
    for _, _, offset, address, _, length in loads:
        if address <= strings < address + length:
            strings += offset - address
            break
    starts = [strings + value for tag, value in entries if tag == DT_NEEDED]
    return [data[start : data.index(b"\0", start)].decode() for start in starts]


def libraries(roots: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries below some directories by name."""
    return {path.name: path for root in roots for path in root.rglob("*.so*") if path.is_file()}


def system(root: Path) -> Iterator[Path]:
    """Return the directories in which an image's own libraries lie."""
    return (root / name for name in ("lib64", "usr/lib64", "lib", "usr/lib"))


def copy(python: Path, target: Path) -> None:
    """Copy the interpreter and its standard library."""
    (version,) = {path.name for path in (python / "lib").glob("python3.*") if path.is_dir()}
    (target / "bin").mkdir(parents=True)
    for path in (python / "bin").glob("python*"):
        if not path.name.endswith("-config"):
            shutil.copy2(path, target / "bin" / path.name, follow_symlinks=False)
    shutil.copytree(python / "lib", target / "lib", symlinks=True, ignore=LEFT_OUT)
    # Packages come from requirements.txt alone: neither pip, nor AWS's client, nor its boto3.
    shutil.rmtree(target / "lib" / version / "site-packages")
    (target / "lib" / version / "site-packages").mkdir()


def complete(target: Path, python: Path, os_only: Path) -> None:
    """Add the shared libraries that an extension module asks for and the OS-only image lacks."""
    present = libraries([target / "lib", *system(os_only)])
    available = libraries(system(python))
    queue = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
    while queue:
        path = queue.pop()
        for name in needed(path):
            if name in present:
                continue
            if name not in available:
                print(f"NOTE: {path.name} needs {name}, which AWS's Python image lacks, too")
                continue
            present[name] = target / "lib" / name
            shutil.copy2(available[name], present[name])
            queue.append(present[name])
            print(f"added {name} for {path.name}")


def main() -> None:
    """Copy the interpreter to var/lang in the directory."""
    python, os_only, directory = map(Path, sys.argv[1:])
    target = directory / "var" / "lang"
    copy(python / "var" / "lang", target)
    complete(target, python, os_only)


if __name__ == "__main__":
    main()
