"""Measure the custom runtime against awslambdaric: `python benchmarks/runtime/run.py`.

Needs a C compiler (cc), and awslambdaric 4.2.2 with boto3, which pip installs into a temporary directory.
No root, no network but loopback. A Runtime API server in C (server.c) spawns both clients, and the
floor (floor.py), in turn: one process after another on one CPU, each in an environment that holds
nothing but what Lambda sets. Every figure is the median over interleaved runs, every ratio the
median of the ratios of neighbouring runs, so that a busy machine slows both sides of a pair.

Writes results.md and results.svg next to this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "template" / "{{ custom_layer }}" / "runtime"
REQUIREMENTS = ["awslambdaric==4.2.2", "boto3==1.44.5"]

HANDLERS = {
    "trivial": "",
    "typical": "import datetime\nimport json\nimport logging\n",
    "with_boto3": "import boto3\n",
}
HANDLER = "\n\ndef handler(event, context):\n    return event\n"


@dataclass
class Case:
    """One row: which handler, event (bytes of JSON) and number of invocations, and what counts."""

    name: str
    unit: str
    goal: float | None = None
    handler: str = "trivial"
    size: int = 100
    rounds: int = 0
    column: int = 0  # of the server's output: init, invoke, peak
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Ours to theirs, median over the pairs."""
        return median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    def floor_ratio(self) -> float | None:
        """Ours to the floor, median over the pairs; None where it has no such thing."""
        if not self.floor:
            return None
        return median(a / b for a, b in zip(self.ours, self.floor, strict=True))


def cases() -> list[Case]:
    """All rows of the table; goals are ratios to awslambdaric."""
    return [
        Case("init, trivial handler", "ms", 0.33),
        Case("init, handler imports json, logging, datetime", "ms", 0.85, "typical"),
        Case("init, handler imports boto3", "ms", None, "with_boto3"),
        Case("invocation, 100 B", "µs", 0.50, rounds=3000, column=1),
        Case("invocation, 10 kB of objects", "µs", 0.65, size=10_000, rounds=600, column=1),
        Case("invocation, 1 MB of objects", "µs", 0.85, size=1_000_000, rounds=20, column=1),
        Case("invocation, 6 MB of objects", "µs", 1.05, size=6_000_000, rounds=7, column=1),
        Case("peak memory, trivial handler", "MB", 0.67, rounds=100, column=2),
    ]


def event_of(size: int) -> bytes:
    """Make a JSON event of about so many bytes: a list of small objects."""
    if size <= 100:
        return json.dumps({"id": 1, "name": "x" * 30, "ratio": 0.5, "tags": ["a", "b"]}).encode()
    one = {
        "id": 12345,
        "name": "A product with a name",
        "price": 19.95,
        "active": True,
        "tags": ["new", "sale"],
        "address": {"city": "Zürich", "zip": None},
    }
    count = size // (len(json.dumps(one, ensure_ascii=False).encode()) + 2)
    return json.dumps([one | {"id": i} for i in range(count)], ensure_ascii=False).encode()


def prepare(python: str, work: Path) -> dict[str, list[str]]:
    """Set up both clients for an interpreter; returns their command lines without the handler."""
    packages = work / "packages"
    install = [python, "-m", "pip", "install", "--quiet", "--target", str(packages), *REQUIREMENTS]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    runtime = work / "runtime"
    shutil.copytree(RUNTIME, runtime, ignore=shutil.ignore_patterns("__pycache__"))
    task = work / "task"
    task.mkdir()
    for name, text in HANDLERS.items():
        (task / f"{name}.py").write_text(text + HANDLER)
    for directory, mode in ((runtime, "checked-hash"), (task, "timestamp")):
        compile_all = [python, "-m", "compileall", "-q", "--invalidation-mode", mode]
        subprocess.run([*compile_all, str(directory)], check=True)
    flags = (runtime / "bootstrap").read_text().partition("\n")[0].split()[1:]
    return {
        "ours": [python, *flags, str(runtime / "bootstrap")],
        "theirs": [python, "-m", "awslambdaric"],
        "floor": [python, *flags, str(HERE / "floor.py")],
    }


def measure(server: Path, cpu: int, case: Case, command: list[str], work: Path) -> float:
    """Run one process; returns the case's figure in its unit."""
    handler = f"{case.handler}.handler"
    event = work / f"{case.size}.json"
    if not event.exists():
        event.write_bytes(event_of(case.size))
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(work / "task"),
        "PYTHONPATH": f"{work / 'packages'}",
        "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_REGION": "us-east-1",
    }
    line = [str(server), str(cpu), str(event), str(case.rounds), *command, handler]
    done = subprocess.run(
        line, env=environment, cwd=work / "task", check=True, capture_output=True, text=True
    )
    value = float(done.stdout.split()[case.column])
    return value / 1000 if case.unit in ("ms", "MB") else value


def table(version: str, rows: list[Case]) -> str:
    """Make the Markdown table of one interpreter."""
    lines = [
        f"### Python {version}",
        "",
        "| | this runtime | awslambdaric | ratio | goal | floor | to the floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        goal = f"≤ {row.goal:.2f}" if row.goal else ""
        floor = f"{median(row.floor):.2f} {row.unit}" if row.floor else ""
        to_floor = f"{row.floor_ratio():.2f}" if row.floor else ""
        lines.append(
            f"| {row.name} | {median(row.ours):.2f} {row.unit} | {median(row.theirs):.2f} {row.unit} "
            f"| **{row.ratio():.2f}** | {goal} | {floor} | {to_floor} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=31, help="interleaved runs of each case")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="cases whose name contains this text")
    parser.add_argument("--dry", action="store_true", help="print, write no files")
    parser.add_argument("python", nargs="*", default=[sys.executable], help="interpreters")
    arguments = parser.parse_args()
    if shutil.which("cc") is None:
        sys.exit("The benchmark needs a C compiler named cc for its server; install one.")
    texts = []
    charts: dict[str, list[Case]] = {}
    with tempfile.TemporaryDirectory() as directory:
        server = Path(directory, "server")
        subprocess.run(["cc", "-O2", "-o", str(server), str(HERE / "server.c")], check=True)
        for python in arguments.python:
            ask = (
                "import sys; print(sys.executable); print('.'.join(map(str, sys.version_info[:3])))"
            )
            shown = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
            path, version = shown.stdout.split()
            work = Path(directory, version)
            work.mkdir()
            commands = prepare(path, work)
            rows = [case for case in cases() if arguments.only in case.name]
            for row in rows:
                sides = ["ours", "theirs"] + (["floor"] if row.handler == "trivial" else [])
                for pair in range(arguments.pairs):
                    for side in sides if pair % 2 else reversed(sides):
                        getattr(row, side).append(
                            measure(server, arguments.cpu, row, commands[side], work)
                        )
            charts[version] = rows
            texts.append(table(version, rows))
            print(texts[-1], flush=True)


if __name__ == "__main__":
    main()
