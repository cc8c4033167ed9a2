"""Measure how long `copier copy --defaults` takes: `python benchmarks/render/run.py`.

The template is copied in turn with one of a single file, each by a process of its own and from a
git repository with one release, as users do. Prints the medians and their ratio; the goal is 1.5
or less.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEMPLATE = Path(__file__).parents[2]
GOAL = 1.5


def release(template: Path) -> None:
    """Make a directory a git repository with one release."""
    identity = ["-c", "user.name=A User", "-c", "user.email=user@example.com"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=v1.0.0"],
        ["tag", "--annotate", "--message=v1.0.0", "v1.0.0"],
    ):
        subprocess.run(["git", *identity, *command], cwd=template, check=True)


def seconds(template: Path, project: Path) -> float:
    """Copy a template, and return the wall time in seconds."""
    command = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults"]
    start = time.perf_counter()
    subprocess.run([*command, str(template), str(project)], check=True)
    elapsed = time.perf_counter() - start
    shutil.rmtree(project)
    return elapsed


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="of interleaved copies (15)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        one_file = work / "one-file"
        one_file.mkdir()
        (one_file / "copier.yml").write_text("name:\n  type: str\n  default: one\n")
        (one_file / "file.txt.jinja").write_text("{{ name }}\n")
        ours = work / "ours"
        ours.mkdir()
        shutil.copy(TEMPLATE / "copier.yml", ours)
        for part in ("includes", "template"):
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
            shutil.copytree(TEMPLATE / part, ours / part, ignore=ignored)
        release(one_file)
        release(ours)
        times: dict[Path, list[float]] = {one_file: [], ours: []}
        for _ in range(options.pairs):
            for template, measured in times.items():
                measured.append(seconds(template, work / "project"))
    medians = {template.name: statistics.median(measured) for template, measured in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times[one_file], times[ours], strict=True))
    print("| `copier copy --defaults` of | median |")
    print("| --- | ---: |")
    print(f"| a template of one file | {medians['one-file']:.2f} s |")
    print(f"| lambda-template | {medians['ours']:.2f} s |")
    print(f"| ratio of the pairs (goal: {GOAL} or less) | {ratio:.2f} |")


if __name__ == "__main__":
    main()
