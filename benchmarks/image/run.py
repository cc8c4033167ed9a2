"""Measure the images against the one that `sam init` renders: `python benchmarks/image/run.py`.

Needs Docker, Copier and an index of Python packages. All images hold the same handler (handler.py),
the same pinned packages and the same Python, and run under the emulator in them, with a read-only
root. Builds and runs take turns, and every figure is the median, so that a busy machine slows all
alike.

Writes results.md next to this file.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import copier

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parent.parent
NAME = f"image-benchmark-{uuid.uuid4().hex[:8]}"
POINTS = ("started", "first", "tenth")
BASES = "public.ecr.aws/lambda"

# Source: aws/aws-sam-cli-app-templates at ed18e7298f6864edd6c8c23b60fa47e12d83652b, file
# python3.14/hello-img/{{cookiecutter.project_name}}/hello_world/Dockerfile, which differs for other
# versions of Python in their number only.
SAM_DOCKERFILE = f"""\
FROM {BASES}/python:VERSION

COPY app.py requirements.txt ./

RUN pythonVERSION -m pip install -r requirements.txt -t .

# Command can be overwritten by providing a different command in the template directly.
CMD ["app.lambda_handler"]
"""


MADE: set[str] = set()  # all images, to be removed at the end
NOTES = """\
- Where a base image's own Python is not compiled, every start of a function compiles what it
  imports. The columns "base compiled" show the same images where it is. What `sam init` renders
  runs pip in the image, which leaves part of that behind, by accident.
- The custom style compiles its interpreter itself. On a compiled base its lead is what its runtime
  saves over awslambdaric; most of the time until the first answer is Docker's and the SDK's.
"""


@dataclass
class Contender:
    """A Dockerfile with what it needs, and the image that it stands on."""

    name: str
    directory: Path
    handler: Path
    base: str
    image: str = ""

    def build(self, *options: str) -> float:
        """Build the image and return the seconds that it took."""
        self.image = f"{NAME}:{self.name}"
        # What scripts/build.sh does, and `sam build` does for its own.
        command = ["build", "--provenance=false", "--quiet", *options, "--tag", self.image, "."]
        start = time.perf_counter()
        image = docker(*command, cwd=self.directory)
        seconds = time.perf_counter() - start
        MADE.add(image)
        return seconds


def docker(*arguments: str, **options: Any) -> str:
    """Run Docker's client and return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"docker {' '.join(arguments)}: {done.stderr}")
    return str(done.stdout).strip()


def contenders(directory: Path, version: str, architecture: str) -> list[Contender]:
    """Render the template in both styles, and write what `sam init` renders."""
    found = []
    for style in ("managed", "custom"):
        project = directory / style
        copier.run_copy(
            str(TEMPLATE),
            project,
            data={
                "project_name": NAME,
                "runtime_style": style,
                "python_version": version,
                "architecture": architecture,
            },
            defaults=True,
            quiet=True,
            vcs_ref="HEAD",
        )
        (handler,) = (project / "src").glob("*/handlers/main.py")
        shutil.copy(HERE / "handler.py", handler)
        base = f"python:{version}" if style == "managed" else "provided:al2023"
        found.append(Contender(style, project, handler, f"{BASES}/{base}"))
    sam = directory / "sam"
    sam.mkdir()
    (sam / "Dockerfile").write_text(SAM_DOCKERFILE.replace("VERSION", version))
    shutil.copy(HERE / "handler.py", sam / "app.py")
    shutil.copy(directory / "managed" / "requirements.txt", sam)
    found.append(Contender("sam-init", sam, sam / "app.py", f"{BASES}/python:{version}"))
    return found


def forget_downloads(contender: Contender) -> None:
    """Let the next build find no packages that an earlier one has downloaded."""
    path = contender.directory / "Dockerfile"
    new = f"type=cache,id={uuid.uuid4().hex},"
    path.write_text(re.sub(r"type=cache,(id=\w+,)?", new, path.read_text()))


def sizes(contender: Contender) -> dict[str, float]:
    """Return the MB that the image adds to its base: as files, and compressed as in a registry."""
    layers = json.loads(
        docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", contender.base)
    )
    saved = subprocess.run(["docker", "save", contender.image], stdout=subprocess.PIPE, check=True)
    files = packed = whole = 0
    with tarfile.open(fileobj=io.BytesIO(saved.stdout)) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for number, layer in enumerate(manifest["Layers"]):
            content = archive.extractfile(layer).read()  # type: ignore[union-attr]
            size = len(gzip.compress(content, 6))
            whole += size
            if number >= len(layers):
                packed += size
                with tarfile.open(fileobj=io.BytesIO(content)) as entries:
                    files += sum(entry.size for entry in entries)
    return {"files": files / 1e6, "packed": packed / 1e6, "whole": whole / 1e6}


def start_and_invoke(image: str) -> tuple[float, float, float]:
    """Return the seconds until `docker run` returns, and until the first and the tenth answer."""
    container = f"{NAME}-{uuid.uuid4().hex[:8]}"
    start = time.perf_counter()
    docker(
        "run",
        "--detach",
        f"--name={container}",
        "--read-only",
        "--tmpfs=/tmp",
        "--publish=127.0.0.1::8080",
        image,
    )
    started = time.perf_counter() - start
    try:
        port = int(docker("port", container, "8080/tcp").split()[0].rpartition(":")[2])
        invoke(port, 0)
        first = time.perf_counter() - start
        for number in range(1, 10):
            invoke(port, number)
        return started, first, time.perf_counter() - start
    finally:
        docker("rm", "--force", container)


def invoke(port: int, number: int) -> None:
    """Send an event as soon as the emulator listens, and check the answer."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            event = json.dumps({"number": number})
            connection.request("POST", "/2015-03-31/functions/function/invocations", event)
            answer = json.load(connection.getresponse())
            break
        except (OSError, http.client.HTTPException):
            time.sleep(0.005)
        finally:
            connection.close()
    if answer != {"number": number}:
        raise SystemExit(f"the function answered {answer}")


def with_bytecode(contender: Contender) -> str:
    """Build the image once more on a base whose own Python is compiled, and return its name."""
    image = f"{NAME}:{contender.name}-bytecode"
    script = (
        f"FROM {contender.image}\nUSER root\n"
        "RUN python3 -m compileall -q -f --invalidation-mode checked-hash /var/lang/lib || true\n"
    )
    MADE.add(docker("build", "--quiet", "--tag", image, "-", input=script))
    return image


def bytecode(image: str) -> str:
    """Say how many of the modules of an image's standard library and packages are compiled."""
    script = (
        "import pathlib; files = [*pathlib.Path('/var/lang/lib').rglob('*.py')];"
        "print(sum(any((f.parent / '__pycache__').glob(f.stem + '.*')) for f in files), len(files))"
    )
    compiled, modules = docker("run", "--rm", "--entrypoint=python3", image, "-c", script).split()
    return f"{compiled} of {modules}"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks/image/run.py", description=__doc__)
    parser.add_argument("--python", default="3.14", help="the version of Python (3.14)")
    parser.add_argument("--builds", type=int, default=3, help="cold and warm builds of each (3)")
    parser.add_argument("--runs", type=int, default=15, help="runs of each (15)")
    options = parser.parse_args()
    machine = docker("version", "--format", "{{.Server.Version}} {{.Server.Arch}}")
    architecture = "x86_64" if machine.endswith("amd64") else "arm64"
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)

    with tempfile.TemporaryDirectory() as directory:
        found = contenders(Path(directory), options.python, architecture)
        try:
            for _ in range(options.builds):
                for contender in found:
                    forget_downloads(contender)
                    seconds[contender.name, "cold"].append(contender.build("--no-cache"))
                for contender in found:
                    with contender.handler.open("a") as handler:
                        handler.write(f"# {uuid.uuid4().hex}\n")
                    seconds[contender.name, "warm"].append(contender.build())
            images = {contender.name: contender.image for contender in found}
            images |= {
                f"{contender.name}, base compiled": with_bytecode(contender)
                for contender in found
                if contender.name != "custom"
            }
            size = {contender.name: sizes(contender) for contender in found}
            compiled = {name: bytecode(image) for name, image in images.items()}
            for _ in range(options.runs):
                for name, image in images.items():
                    for point, value in zip(POINTS, start_and_invoke(image), strict=True):
                        seconds[name, point].append(value)
        finally:
            if MADE:
                docker("image", "rm", "--force", *MADE)

    median = {key: statistics.median(values) for key, values in seconds.items()}
    text = report(list(images), size, median, compiled)
    text = (
        f"# Images: Docker {machine}, Python {options.python}, {os.cpu_count()} CPUs\n\n"
        f"Medians of {options.builds} builds and {options.runs} runs, taking turns.\n\n"
        f"{text}\n{NOTES}"
    )
    (HERE / "results.md").write_text(text)
    print(text)


def report(
    names: list[str],
    size: dict[str, dict[str, float]],
    median: dict[tuple[str, str], float],
    compiled: dict[str, str],
) -> str:
    """Return the results as Markdown."""
    columns = {
        "over its base, files (MB)": lambda name: f"{size[name]['files']:.1f}",
        "over its base, compressed (MB)": lambda name: f"{size[name]['packed']:.1f}",
        "whole image, compressed (MB)": lambda name: f"{size[name]['whole']:.1f}",
        "cold build (s)": lambda name: f"{median[name, 'cold']:.2f}",
        "build after a change of the handler (s)": lambda name: f"{median[name, 'warm']:.2f}",
        "until `docker run` returns (ms)": lambda name: f"{median[name, 'started'] * 1000:.0f}",
        "`docker run` to first answer (ms)": lambda name: f"{median[name, 'first'] * 1000:.0f}",
        "to tenth answer (ms)": lambda name: f"{median[name, 'tenth'] * 1000:.0f}",
        "compiled modules of the base's Python": lambda name: compiled[name],
    }
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for title, cell in columns.items():
        cells = []
        for name in names:
            try:
                cells.append(cell(name))
            except KeyError:  # the same as without ", base compiled"
                cells.append("")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    goals = {
        "managed's size over the base to sam-init's": (
            size["managed"]["packed"] / size["sam-init"]["packed"],
            1.0,
        ),
        "managed's warm build to sam-init's": (
            median["managed", "warm"] / median["sam-init", "warm"],
            0.5,
        ),
        "custom's first answer to managed's": (
            median["custom", "first"] / median["managed", "first"],
            0.7,
        ),
        "custom's first answer to managed's on a compiled base": (
            median["custom", "first"] / median["managed, base compiled", "first"],
            0.7,
        ),
    }
    lines += ["", "| ratio | measured | goal: at most |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {ratio:.2f} | {goal} |" for name, (ratio, goal) in goals.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
