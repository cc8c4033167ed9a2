"""The runtime in the built image, for `make dev DOCKER=1`: each environment is a container.

A container is run as Lambda runs it: not as root, with nothing writable but /tmp and with the
function's memory. `LambdaServer` starts this file as a script, in the function's environment.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "scripts" / "build.sh"
USER = "993:990"  # Lambda's
LOOPBACK = "127.0.0.1"
# How a container under Docker Desktop reaches this machine; on Linux it shares the network.
DESKTOP_HOST = "host.docker.internal"
# The image has its own; they would name what only this machine has.
OWN_VARIABLES = {"HOME", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "LANG", "PATH", "PYTHONPATH"}
OWN_VARIABLES |= {"LC_ALL", "LC_CTYPE", "TMPDIR", "TZ"}
DOCKER_VARIABLES = (
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
)


class ImageError(Exception):
    """The image cannot be built or run here; the text is one sentence for the user."""


def build() -> list[str]:
    """Build the image and return the command that runs its runtime; the handler is its argument.

    Raises:
        ImageError: there is no image to run, or this machine cannot run it.
    """
    built = subprocess.run([BUILD], stdout=subprocess.PIPE, text=True)  # noqa: S603
    if built.returncode:
        raise ImageError("the image could not be built, for the reason above")
    image = built.stdout.strip()
    trial = subprocess.run(  # noqa: S603
        ["docker", "run", "--rm", "--network=none", "--entrypoint=/bin/true", image],  # noqa: S607
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if trial.returncode:
        raise ImageError(
            f"this machine cannot run {image} ({trial.stderr.strip()}); for an image of another "
            "architecture install emulation: docker run --privileged --rm tonistiigi/binfmt "
            "--install all"
        )
    # The server hands its runtimes a function's environment only, which says nothing of Docker.
    docker = [f"{name}={os.environ[name]}" for name in DOCKER_VARIABLES if name in os.environ]
    return [sys.executable, str(Path(__file__).resolve()), *docker, image]


def docker_command(container: str, image: str, handler: str) -> list[str]:
    """Return the command that runs a handler in a container with this process's environment."""
    linux = sys.platform == "linux"
    command = [
        "docker",
        "run",
        f"--name={container}",
        "--rm",
        f"--network={'host' if linux else 'bridge'}",
        f"--user={USER}",
        "--read-only",
        "--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777,size=512m",
    ]
    if memory := os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        command.append(f"--memory={memory}m")
    for name, value in os.environ.items():
        if name not in OWN_VARIABLES:
            value = value if linux else value.replace(LOOPBACK, DESKTOP_HOST)
            command.append(f"--env={name}={value}")
    return [*command, image, handler]


def remove_at_end(container: str) -> None:
    """Leave a process behind that removes the container as soon as this process is gone.

    Whoever kills this process ends Docker's client, not the container.
    """
    end, held = os.pipe()
    if os.fork():
        os.set_inheritable(held, True)
        os.close(end)
        return
    os.setsid()
    os.close(held)
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(quiet, stream)
    os.read(end, 1)  # returns when `held` is closed
    os.execvp("docker", ["docker", "rm", "--force", container])  # noqa: S606, S607


def main() -> None:
    """Become Docker's client: `image_runtime.py [DOCKER_…=…]... IMAGE HANDLER`."""
    *docker, image, handler = sys.argv[1:]
    container = f"{image.partition(':')[0]}-local-{uuid.uuid4().hex[:12]}"
    command = docker_command(container, image, handler)
    for setting in docker:
        name, _, value = setting.partition("=")
        os.environ[name] = value
    remove_at_end(container)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
