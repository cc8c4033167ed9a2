"""Measure the custom runtime against awslambdaric: `python benchmarks/runtime/run.py`.

    python benchmarks/runtime/run.py python3.12 python3.13 python3.14

measures these interpreters; --help tells the rest. It needs a C compiler (cc), and pip, which puts
awslambdaric and boto3 into a temporary directory. No root.

A Runtime API server in C (server.c) spawns both clients, and the floor (floor.py), in turn: one
process after another on one CPU, each in an environment that holds nothing but what Lambda sets.
Every figure is the median over interleaved runs, every ratio the median of the ratios of
neighbouring runs, so that a busy machine slows both sides of a pair.

Writes results.md and results.svg next to this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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

HEAD = """\
# The runtime compared with awslambdaric

Made by `python benchmarks/runtime/run.py`: medians of {pairs} interleaved runs of each, on one CPU
({machine}). Ratios are medians over pairs. The floor is a bare interpreter that imports what
the handler does, connects and asks for `next` (floor.py); in the rows of invocations it copies the
event back and reads no JSON.
"""

# Handler to the modules that it imports.
HANDLERS = {
    "trivial": [],
    "typical": ["datetime", "json", "logging"],
    "with_boto3": ["boto3"],
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
        Case("invocation, 100 B", "µs", 0.50, rounds=1500, column=1),
        Case("invocation, 10 kB of objects", "µs", 0.65, size=10_000, rounds=300, column=1),
        Case("invocation, 1 MB of objects", "µs", 0.85, size=1_000_000, rounds=8, column=1),
        Case("invocation, 6 MB of objects", "µs", 1.05, size=6_000_000, rounds=3, column=1),
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
    for name, modules in HANDLERS.items():
        text = "".join(f"import {module}\n" for module in modules)
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


def shown(values: list[float], case: Case) -> str:
    """Write a median with its unit."""
    middle = median(values)
    return f"{middle:.{0 if middle >= 1000 else 1}f} {case.unit}"


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
        floor = shown(row.floor, row) if row.floor else ""
        to_floor = f"{row.floor_ratio():.2f}" if row.floor else ""
        figures = [shown(row.ours, row), shown(row.theirs, row), f"**{row.ratio():.2f}**"]
        lines.append(f"| {' | '.join([row.name, *figures, goal, floor, to_floor])} |")
    return "\n".join(lines) + "\n"


def chart(results: dict[str, list[Case]]) -> str:
    """Draw the ratios to awslambdaric as bars, a group for each case, a bar for each Python."""
    versions = list(results)
    left, right, bar, gap, top = 330, 380, 14, 16, 76
    group = bar * len(versions) + gap
    names = [row.name for row in results[versions[0]]]
    height = top + group * len(names) + 34
    colors = ["#9ecae1", "#4292c6", "#08519c", "#08306b"]
    width = left + right + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13">',
        "<style>text { font-family: system-ui, sans-serif }</style>",
        "<title>This runtime compared with awslambdaric 4.2.2; lower is better</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="16" y="26" font-size="16">This runtime ÷ awslambdaric 4.2.2</text>',
        '<text x="16" y="46" fill="#555">lower is better; a black mark is a goal</text>',
    ]
    for i, version in enumerate(versions):
        x = left + 110 * i
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{colors[i]}"/>')
        parts.append(f'<text x="{x + 18}" y="45">Python {version.rpartition(".")[0]}</text>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + right * tick
        parts.append(f'<line x1="{x}" y1="66" x2="{x}" y2="{height - 26}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height - 10}" text-anchor="middle">{tick:g}</text>')
    for i, name in enumerate(names):
        y = top + group * i
        middle = y + bar * len(versions) / 2
        parts.append(f'<text x="{left - 12}" y="{middle + 4}" text-anchor="end">{name}</text>')
        for j, version in enumerate(versions):
            ratio = results[version][i].ratio()
            long, at = right * min(ratio, 1.1), y + bar * j
            box = f'width="{long:.1f}" height="{bar - 2}" fill="{colors[j]}"'
            parts.append(f'<rect x="{left}" y="{at}" {box}/>')
            # Inside the bar, where the mark of the goal cannot cross it.
            place = f'x="{left + long - 6:.1f}" y="{at + 10}" text-anchor="end"'
            parts.append(f'<text {place} fill="{"#000" if j == 0 else "#fff"}">{ratio:.2f}</text>')
        if goal := results[versions[0]][i].goal:
            x = left + right * goal
            ends = f'x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + bar * len(versions) + 1}"'
            parts.append(f'<line {ends} stroke="#000" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


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
                line = commands | {"floor": [*commands["floor"], *HANDLERS[row.handler]]}
                sides = ["ours", "theirs", "floor"]
                for pair in range(arguments.pairs):
                    for side in sides if pair % 2 else reversed(sides):
                        getattr(row, side).append(
                            measure(server, arguments.cpu, row, line[side], work)
                        )
            charts[version] = rows
            texts.append(table(version, rows))
            print(texts[-1], flush=True)
    if not arguments.dry and not arguments.only:
        text = "\n".join([HEAD.format(pairs=arguments.pairs, machine=platform.machine()), *texts])
        (HERE / "results.md").write_text(text)
        (HERE / "results.svg").write_text(chart(charts))


if __name__ == "__main__":
    main()
