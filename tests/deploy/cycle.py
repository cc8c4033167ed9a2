"""A rendered project whose commands really deploy, and a look at what AWS holds of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from .environment import virtual_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@cache
def client(service: Any) -> Any:
    """A client of the AWS that AWS_ENDPOINT_URL names."""
    return boto3.client(service)


def users_environment() -> dict[str, str]:
    """The environment of whoever types a command: not in the middle of the tests' own `make`."""
    ours = ("MAKE", "MFLAGS", "STAGE", "HANDLER", "EVENT")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


class Application:
    """A project with a name of its own, worked on by its own commands."""

    def __init__(self, rendered: Path, directory: Path, name: str, handlers: list[str]) -> None:
        """Copy the rendered project, so that it can be changed."""
        self.directory: Path = shutil.copytree(rendered, directory)
        self.name, self.handlers = name, handlers
        virtual_environment(self.directory)
        self.package = name.replace("-", "_")

    def functions(self, stage: str) -> list[str]:
        """The names of its functions in a stage."""
        return [f"{self.name}-{stage}-{handler}" for handler in self.handlers]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other worker use `sam` meanwhile.

        It names change sets by the second, and stand-ins for AWS may look for them by name alone.
        """
        if not (self.directory / "samconfig.toml").exists():
            yield
            return
        with (Path(tempfile.gettempdir()) / "test-deploy-sam.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does."""
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=users_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, fails: bool = False, **environment: str) -> tuple[str, str]:
        """Run a command: its standard output, and its standard error."""
        with self.alone(), self.start(*command, **environment) as process:
            output, errors = process.communicate()
        assert (process.returncode != 0) == fails, f"{process.returncode}\n{output}\n{errors}"
        return output, errors

    def make(self, *words: str, fails: bool = False, **environment: str) -> tuple[str, str]:
        """Run `make`, as the project's users do."""
        return self.run("make", *words, fails=fails, **environment)

    def interrupt(self, line: str, *command: str, **environment: str) -> str:
        """Run a command, press Ctrl-C when it says the line, and return its standard error."""
        with self.alone(), self.start(*command, **environment) as process:
            said = read_until(process.stderr, line)
            os.killpg(process.pid, signal.SIGINT)
            said += process.communicate()[1]
        assert process.returncode != 0, said
        return said

    def edit(self, handler: str, text: str) -> None:
        """Write the module of a handler."""
        module = f"{handler.replace('-', '_')}.py"
        (self.directory / "src" / self.package / "handlers" / module).write_text(text)

    def live(self, function: str) -> str:
        """The version that `live` points to."""
        alias = client("lambda").get_alias(FunctionName=function, Name="live")
        version: str = alias["FunctionVersion"]
        return version

    @contextlib.contextmanager
    def watching_live(self, function: str) -> Iterator[set[str]]:
        """Look at `live` all the time, and collect the versions that it points to."""
        seen: set[str] = set()
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                seen.add(self.live(function))

        with ThreadPoolExecutor(1) as thread:
            watcher = thread.submit(watch)
            try:
                yield seen
            finally:
                over.set()
            watcher.result()

    def versions(self, stage: str) -> dict[str, tuple[str, list[str]]]:
        """Function -> what `live` points to, and all versions."""
        lambda_ = client("lambda")
        return {
            function: (
                self.live(function),
                [
                    version["Version"]
                    for version in lambda_.list_versions_by_function(FunctionName=function)[
                        "Versions"
                    ]
                    if version["Version"] != "$LATEST"
                ],
            )
            for function in self.functions(stage)
        }

    def state(self, stage: str) -> Mapping[str, Any]:
        """All that a deployment could have changed."""
        lambda_ = client("lambda")
        configurations = {
            function: lambda_.get_function_configuration(FunctionName=function)
            for function in self.functions(stage)
        }
        for configuration in configurations.values():
            del configuration["ResponseMetadata"]
        images = client("ecr").describe_images(repositoryName=self.name)["imageDetails"]
        return {
            "functions": configurations,
            "versions": self.versions(stage),
            "images": sorted(image["imageDigest"] for image in images),
            "rest": self.remains(stage),
        }

    def remains(self, stage: str = "") -> list[str]:
        """The names of all that AWS holds of a stage, or of the whole project."""
        prefix = f"{self.name}-{stage}"
        functions = client("lambda").get_paginator("list_functions").paginate()
        roles = client("iam").get_paginator("list_roles").paginate()
        groups = client("logs").get_paginator("describe_log_groups").paginate()
        alarms = client("cloudwatch").get_paginator("describe_alarms").paginate()
        stacks = client("cloudformation").get_paginator("describe_stacks").paginate()
        repositories = client("ecr").get_paginator("describe_repositories").paginate()
        names = [
            *(one["FunctionName"] for page in functions for one in page["Functions"]),
            *(one["RoleName"] for page in roles for one in page["Roles"]),
            *(one["logGroupName"] for page in groups for one in page["logGroups"]),
            *(one["AlarmName"] for page in alarms for one in page["MetricAlarms"]),
            *(one["StackName"] for page in stacks for one in page["Stacks"]),
            *(one["repositoryName"] for page in repositories for one in page["repositories"]),
        ]
        found = [name for name in names if name.removeprefix("/aws/lambda/").startswith(prefix)]
        if not stage:
            found += [name for name in names if name == self.name]
        return sorted(set(found))

    def clean(self) -> None:
        """Delete what a failed test left, as far as the project's own commands can."""
        if self.remains():
            for stage in ("dev", "two"):
                with self.start("scripts/destroy.sh", STAGE=stage, YES="1") as process:
                    process.communicate()
            with contextlib.suppress(ClientError):
                client("ecr").delete_repository(repositoryName=self.name, force=True)
        images = subprocess.run(
            ["docker", "images", "--quiet", self.name], capture_output=True, text=True, check=True
        ).stdout.split()
        if images:
            subprocess.run(["docker", "rmi", "--force", *images], capture_output=True, check=True)


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines until one has the text."""
    assert stream
    said = ""
    for line in stream:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended before it said {text!r}:\n{said}")
