"""The images: built by a real Docker engine, run as Lambda runs them, by the emulator in them."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from image.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Render

SUPPORT = Path(__file__).parent / "image"
STYLES: dict[str, dict[str, Any]] = {
    "managed": {"runtime_style": "managed"},
    "al2023": {"runtime_style": "custom"},
    "al2": {"runtime_style": "custom", "custom_os": "al2"},
}
HANDLERS = {"api": "direct", "night-worker": "direct"}
MODES: dict[str, dict[str, Any]] = {
    "single": {"handler_mode": "single"},
    "multi": {"handler_mode": "multi", "handlers": HANDLERS},
}
EPOCH = 315532800
USAGE = {"FunctionCount": 7, "TotalCodeSize": 42}
# How many layers each style puts on its base, the last of them the application's.
LAYERS = {"managed": 2, "al2023": 4, "al2": 4}


def docker(*arguments: str, **options: Any) -> str:
    """Run Docker's client and return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"docker {arguments[0]}: {done.stderr}"
    return str(done.stdout).strip()


@dataclass(frozen=True)
class Image:
    """An image and the project that it was built from."""

    reference: str
    project: Path
    package: str
    style: str

    def inspect(self, field: str) -> Any:
        """Return a field of what Docker knows of the image."""
        return json.loads(
            docker("image", "inspect", "--format", f"{{{{json .{field}}}}}", self.reference)
        )


class Build(Protocol):
    """Builds the image of a style and a mode, with further answers; the second time from memory."""

    def __call__(self, style: str, mode: str = "single", **answers: Any) -> Image:
        """Build it."""


@pytest.fixture(scope="session")
def engine() -> str:
    """The architecture of the Docker engine, as the question `architecture` names it."""
    if not shutil.which("docker"):
        pytest.skip("Docker is not installed")
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Arch}}"], capture_output=True, text=True
    )
    if asked.returncode:
        pytest.skip("no Docker engine answers; start one, or set DOCKER_HOST")
    return {"amd64": "x86_64"}.get(asked.stdout.strip(), asked.stdout.strip())


def build_image(project: Path, *options: str, umask: int = 0o022) -> str:
    """Run the project's build script, which prints nothing but the image's name."""
    done = subprocess.run(
        ["scripts/build.sh", *options], cwd=project, capture_output=True, text=True, umask=umask
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{project_name(project)}:[0-9a-f]{{12}}\n", done.stdout)
    return done.stdout.strip()


def project_name(project: Path) -> str:
    """Return a project's name, which is the name of its image, too."""
    found = re.search(
        r"^project=(\S+)$", (project / "scripts/project.sh").read_text(), re.MULTILINE
    )
    assert found
    return found[1]


@pytest.fixture(scope="session")
def name(engine: str, worker_id: str, testrun_uid: str) -> Iterator[str]:
    """A project name of this worker's own, whose images are removed at the end."""
    assert engine
    name = f"image-test-{worker_id}-{testrun_uid[:8]}"
    yield name
    if images := docker("image", "ls", "--quiet", name).split():
        docker("image", "rm", "--force", *images)


@pytest.fixture(scope="session")
def build(render: Render, engine: str, name: str) -> Build:
    """A function that builds the image of an application for this machine's architecture."""
    built: dict[str, Image] = {}

    def build(style: str, mode: str = "single", **answers: Any) -> Image:
        answers = STYLES[style] | MODES[mode] | {"architecture": engine} | answers
        key = json.dumps([style, mode, answers], sort_keys=True)
        if key not in built:
            project = render(project_name=name, **answers)
            built[key] = Image(build_image(project), project, name.replace("-", "_"), style)
        return built[key]

    return build


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Image], Path]:
    """A function that copies an image's project, to change it."""

    def copy(image: Image) -> Path:
        return Path(shutil.copytree(image.project, tmp_path / "copy", symlinks=True))

    return copy


# ------------------------------------------------------------------------------ running them


class _Aws(BaseHTTPRequestHandler):
    """Answers GetAccountSettings, slowly below /slow."""

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            time.sleep(8)  # longer than the function may take
        body = json.dumps({"AccountUsage": USAGE}).encode()
        with contextlib.suppress(OSError):  # the function did not wait
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


@pytest.fixture(scope="session")
def aws(engine: str) -> Iterator[str]:
    """The URL of an AWS Lambda endpoint that containers reach, by Docker's bridge."""
    assert engine
    gateway = docker(
        "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
    )
    try:
        server = ThreadingHTTPServer((gateway, 0), _Aws)
    except OSError:  # the engine runs in a machine of its own, which forwards this name to here
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Aws)
        gateway = "host.docker.internal"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{gateway}:{server.server_port}"
    server.shutdown()


@dataclass
class Function:
    """A container that runs one function under the emulator in its image."""

    container: str
    port: int

    def invoke(self, event: dict[str, Any]) -> Any:
        """Send an event, as soon as the emulator listens, and return the answer."""
        end = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            with contextlib.closing(connection):
                try:
                    path = "/2015-03-31/functions/function/invocations"
                    connection.request("POST", path, json.dumps(event))
                    text = connection.getresponse().read().decode()
                    break
                except (OSError, http.client.HTTPException):
                    assert time.monotonic() < end, self.log()
                    time.sleep(0.05)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def log(self) -> str:
        """Return all that the function and the emulator have written."""
        done = subprocess.run(
            ["docker", "logs", self.container],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout


@contextlib.contextmanager
def running(image: Image, aws: str, *command: str, **environment: str) -> Iterator[Function]:
    """Run a function as Lambda does: some user, a read-only root, and a /tmp to write to."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_LAMBDA": aws,
    } | environment
    container = f"image-test-{uuid.uuid4().hex[:12]}"
    docker(
        "run",
        "--detach",
        f"--name={container}",
        "--user=4321:8765",
        "--read-only",
        "--tmpfs=/tmp:mode=1777",
        "--publish=127.0.0.1::8080",
        *(f"--env={name}={value}" for name, value in environment.items()),
        image.reference,
        *command,
    )
    try:
        port = docker("port", container, "8080/tcp").split()[0].rpartition(":")[2]
        yield Function(container, int(port))
    finally:
        docker("rm", "--force", container)


def check_function(function: Function, image: Image, module: str) -> None:
    """Invoke a function with success, and with an error, and read its log."""
    assert function.invoke({}) == USAGE
    error = function.invoke({"refresh": "perhaps"})
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "refresh must be true or false, not 'perhaps'"
    (frame,) = error["stackTrace"]
    assert f'File "/var/task/{image.package}/handlers/{module}.py"' in frame
    assert "raise ValueError(" in frame, "the source is there, for whoever reads the trace"
    log = function.log()
    for line in ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ", "Event: {}"):
        assert line in log
    assert "[ERROR] ValueError: refresh must be" in log


@pytest.mark.parametrize("style", STYLES)
def test_the_image_of_one_function_starts_it(build: Build, aws: str, style: str) -> None:
    image = build(style)
    with running(image, aws) as function:
        check_function(function, image, "main")


@pytest.mark.parametrize("way", ["command", "HANDLER"])
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("style", STYLES)
def test_the_image_of_several_functions_starts_each(
    build: Build, aws: str, style: str, handler: str, way: str
) -> None:
    image, module = build(style, "multi"), handler.replace("-", "_")
    command = [f"{image.package}.handlers.{module}.handler"] if way == "command" else []
    environment = {"HANDLER": handler} if way == "HANDLER" else {}
    with running(image, aws, *command, **environment) as function:
        check_function(function, image, module)


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({}, "HANDLER is not set; set it to one of: api, night_worker"),
        ({"HANDLER": "apy"}, "HANDLER is 'apy', which is no handler; set it to one of: "),
    ],
    ids=["missing", "wrong"],
)
@pytest.mark.parametrize("style", STYLES)
def test_an_image_of_several_functions_says_what_handler_may_be(
    build: Build, aws: str, style: str, variables: dict[str, str], error: str
) -> None:
    with running(build(style, "multi"), aws, **variables) as function:
        answer = function.invoke({})
        assert answer["errorType"] == "LookupError"
        assert error in answer["errorMessage"]
        assert "exit status 1" in function.log()


@pytest.mark.parametrize("style", STYLES)
def test_a_wrong_command_is_reported(build: Build, aws: str, style: str) -> None:
    image = build(style)
    with running(image, aws, f"{image.package}.handlers.mian.handler") as function:
        answer = function.invoke({})
        assert answer["errorType"] == "Runtime.ImportModuleError"
        assert "handlers.mian" in answer["errorMessage"]
        assert "exit status 1" in function.log()


@pytest.mark.parametrize("style", STYLES)
def test_a_slow_function_is_ended_at_its_timeout(build: Build, aws: str, style: str) -> None:
    with running(build(style), f"{aws}/slow", AWS_LAMBDA_FUNCTION_TIMEOUT="4") as function:
        assert "Task timed out after 4.00 seconds" in str(function.invoke({}))
        assert "REPORT RequestId: " in function.log()


@pytest.mark.parametrize("style", ["managed", "al2023"])
def test_the_local_server_runs_the_image(build: Build, style: str) -> None:
    image = build(style, "multi")
    done = subprocess.run(
        [sys.executable, SUPPORT / "local_run.py", image.project], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(HANDLERS)
    for success, error in answers.values():
        assert success["FunctionCount"] == len(HANDLERS)
        assert error["errorType"] == "ValueError"
        assert "/var/task/" in error["stackTrace"][0]
    left = f"name={image.reference.partition(':')[0]}-local-"
    end = time.monotonic() + 10
    while docker("ps", "--all", "--quiet", "--filter", left):
        assert time.monotonic() < end, "a container was left behind"
        time.sleep(0.1)


# --------------------------------------------------------------------- what is in the images


@pytest.mark.parametrize(
    ("style", "version"),
    [("al2", "3.11"), ("al2023", "3.12"), ("al2023", "3.13"), ("al2023", "3.14")],
)
def test_the_copied_interpreter_misses_no_shared_library(
    build: Build, style: str, version: str
) -> None:
    image = build(style, python_version=version)
    check_imports(image.reference, f"public.ecr.aws/lambda/python:{version}")


def check_imports(image: str, original: str) -> None:
    """Fail if a module of the standard library can be imported in AWS's image, but not in ours."""
    script = (SUPPORT / "import_all.py").read_text()
    ours, theirs = (
        json.loads(docker("run", "--rm", "-i", "--entrypoint=python3", each, "-", input=script))
        for each in (image, original)
    )
    assert ours["count"] > 60
    lost = ours["failed"].keys() - theirs["failed"].keys()
    assert not lost, [ours["failed"][name] for name in lost]


def test_shared_libraries_that_the_os_lacks_come_from_awss_python_image(
    build: Build, tmp_path: Path, name: str
) -> None:
    image = build("al2023", python_version="3.13")
    base, library = "public.ecr.aws/lambda/provided:al2023", "libsqlite3.so"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nRUN rm -f /usr/lib/{library}* /usr/lib/*/{library}* /usr/lib64/{library}*\n"
    )
    docker("build", "--quiet", "--tag", f"{name}:base", str(tmp_path))
    poor = build_image(image.project, f"--build-context={base}=docker-image://{name}:base")
    for each, added in ((image.reference, False), (poor, True)):
        listed = docker("run", "--rm", "--entrypoint=ls", each, "/var/lang/lib")
        assert (library in listed) == added
    check_imports(poor, "public.ecr.aws/lambda/python:3.13")


@dataclass(frozen=True)
class File:
    """What is known of a file in a layer."""

    info: tarfile.TarInfo
    content: bytes


def read_layers(image: Image) -> list[dict[str, File]]:
    """Return the files of the layers that the project's Dockerfile adds, by path."""
    saved = subprocess.run(["docker", "save", image.reference], stdout=subprocess.PIPE, check=True)
    layers = []
    with tarfile.open(fileobj=io.BytesIO(saved.stdout)) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for layer in manifest["Layers"][-LAYERS[image.style] :]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                layers.append(
                    {
                        info.name.rstrip("/"): File(
                            info,
                            files.extractfile(info).read() if info.isfile() else b"",  # type: ignore[union-attr]
                        )
                        for info in files
                    }
                )
    return layers


@pytest.mark.parametrize("style", STYLES)
def test_the_layers_hold_what_runs_and_nothing_else(build: Build, style: str) -> None:
    image = build(style, "multi")
    *_, application = layers = read_layers(image)
    files = {path: file for layer in layers for path, file in layer.items()}

    for path, file in files.items():
        allowed = {0o755} if file.info.isdir() else {0o644, 0o755}
        assert file.info.issym() or file.info.mode in allowed, f"{path} {file.info.mode:o}"
        assert (file.info.uid, file.info.gid, file.info.mtime) == (0, 0, EPOCH), path
        litter = {"pip", "tests", "test", "ensurepip", "idlelib", ".git", ".env", "include"}
        assert not litter.intersection(path.split("/")), path
        assert path != "var/task/bin", "the scripts of packages"
        if path.endswith(".pyc"):
            (flags,) = struct.unpack_from("<I", file.content, 4)
            assert flags == 0b11, f"{path} is not checked by its source's hash"

    sources = {path.removeprefix("var/task/") for path in application if path.endswith(".py")}
    modules = {"__init__", "cache", "context", "dispatcher", "handlers/__init__"}
    modules |= {"handlers/api", "handlers/night_worker"}
    assert sources == {f"{image.package}/{module}.py" for module in modules}
    compiled = {re.sub(r"__pycache__/(.*)\.cpython-\d+\.pyc$", r"\1.py", path) for path in files}
    assert compiled.issuperset(path for path in files if path.endswith(".py"))
    assert [path for path in files if path.endswith("/boto3/__init__.py")] == [
        "var/task/boto3/__init__.py"
    ]


def test_a_layer_loses_what_pip_leaves_behind(tmp_path: Path) -> None:
    kept = ["pkg/__init__.py", "pkg/testing.py", "pkg/bin/tool.so", "pkg-1.dist-info/METADATA"]
    lost = ["bin/tool", "pkg/tests/test_a.py", "pkg/sub/tests/data", "pkg/__pycache__/a.pyc"]
    task = tmp_path / "var/task"
    for name in kept + lost:
        (task / name).parent.mkdir(parents=True, exist_ok=True)
        (task / name).touch()
    script = Path(__file__).parent.parent / "template/image/layer.py"
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run([sys.executable, script, "packages", tmp_path], env=environment, check=True)
    left = {str(path.relative_to(task)) for path in task.rglob("*") if path.is_file()}
    assert {path for path in left if not path.endswith(".pyc")} == set(kept)
    assert {Path(path).name.partition(".")[0] for path in left - set(kept)} == {
        "__init__",
        "testing",
    }


@pytest.mark.parametrize("style", STYLES)
def test_an_arm64_image_is_built_on_any_machine(
    build: Build, copy: Callable[[Image], Path], engine: str, style: str
) -> None:
    other = "arm64" if engine == "x86_64" else "x86_64"
    image = build(style, architecture=other)
    assert image.inspect("Architecture") == {"x86_64": "amd64"}.get(other, other)
    assert image.inspect("Os") == "linux"

    # Packages that are compiled come for that architecture, not for the builder's.
    project = copy(image)
    with (project / "requirements.txt").open("a") as requirements:
        requirements.write(MARKUPSAFE)
    files = read_layers(Image(build_image(project), project, image.package, style))[-2]
    (extension,) = (
        file.content for path, file in files.items() if re.search(r"/markupsafe/.*\.so$", path)
    )
    (machine,) = struct.unpack_from("<H", extension, 18)
    assert machine == {"x86_64": 62, "arm64": 183}[other]


# For CPython 3.11 and 3.14, each for aarch64 and x86_64.
MARKUPSAFE = (
    "markupsafe==3.0.3"
    " --hash=sha256:6b5420a1d9450023228968e7e6a9ce57f65d148ab56d2313fcd589eee96a7a50"
    " --hash=sha256:0bf2a864d67e76e5c9a34dc26ec616a66b9888e25e7b9460e1c76d3293bd9dbf"
    " --hash=sha256:f34c41761022dd093b4b6896d4810782ffbabe30f2d443ff5f083e0cbbb8c737"
    " --hash=sha256:457a69a9577064c05a97c41f4e65148652db078a3a509039e64d3467b9e7ef97\n"
)


def test_labels_carry_the_answers_as_they_are(render: Render, engine: str, name: str) -> None:
    description = "Quotes \" and ', \\, $HOME, ${PATH}, $(id), `id`, #, <<EOF, 100 % 日本語 \\"
    project = render(project_name=name, architecture=engine, description=description)
    labels = Image(build_image(project), project, "", "managed").inspect("Config.Labels")
    assert labels["org.opencontainers.image.title"] == name
    assert labels["org.opencontainers.image.description"] == description


@pytest.mark.parametrize("style", STYLES)
def test_a_snapshot_is_allowed_of_an_image_that_is_not_on_awss_python_image(
    build: Build, style: str
) -> None:
    label = build(style).inspect("Config.Labels").get("com.amazonaws.lambda.feature.snapstart")
    assert label == (None if style == "managed" else "Allow")


# ----------------------------------------------------------------------- how they are built


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("style", STYLES)
def test_what_deploys_it_does_not_change_the_image(build: Build, style: str, mode: str) -> None:
    images = {build(style, mode, iac=iac).reference for iac in ("sam", "cdk", "cli")}
    assert len(images) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_clean_build_gives_the_same_image_and_takes_nothing_else_along(
    build: Build, copy: Callable[[Image], Path], style: str
) -> None:
    image = build(style, "multi")
    project = copy(image)
    secret = "AWS_SECRET_ACCESS_KEY=secret"  # noqa: S105
    hidden = [".env", ".git/config", "src/.env", f"src/{image.package}/.cache/key", "secret.pem"]
    for file in hidden:
        (project / file).parent.mkdir(exist_ok=True)
        (project / file).write_text(secret)
    bytecode = project / "src" / image.package / "__pycache__"
    bytecode.mkdir(exist_ok=True)
    (bytecode / "old.cpython-310.pyc").write_text(secret)
    for path in project.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)
            os.utime(path, (1, 1))
    assert build_image(project, "--no-cache", umask=0o077) == image.reference


def test_a_push_sends_only_what_has_changed(build: Build, copy: Callable[[Image], Path]) -> None:
    image = build("managed", "multi")
    if sys.platform != "linux" or not os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
        pytest.skip("the Docker engine cannot reach this machine's loopback")
    project = copy(image)
    handler = project / "src" / image.package / "handlers" / "api.py"
    handler.write_text(f"{handler.read_text()}\n# changed\n")
    changed = Image(build_image(project), project, image.package, image.style)
    before, after = image.inspect("RootFS.Layers"), changed.inspect("RootFS.Layers")
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]

    with Registry() as registry:

        def push(pushed: Image, tag: str) -> tuple[list[str], dict[str, Any]]:
            registry.uploads.clear()
            target = f"{registry.address}/{image.package}:{tag}"
            docker("tag", pushed.reference, target)
            try:
                docker("push", target)
            finally:
                docker("rmi", target)
            kind, content = registry.manifests[tag]
            assert kind in ACCEPTED
            return list(registry.uploads), json.loads(content)

        uploads, first = push(image, "first")
        blobs = {layer["digest"] for layer in first["layers"]}
        assert set(uploads) == blobs | {first["config"]["digest"]}
        config = json.loads(registry.blobs[first["config"]["digest"]])
        assert (config["os"], config["architecture"]) == ("linux", image.inspect("Architecture"))

        uploads, again = push(image, "again")
        assert uploads == []
        assert again == first

        uploads, second = push(changed, "second")
        assert set(uploads) == {second["config"]["digest"], second["layers"][-1]["digest"]}


# What Lambda takes; an index is not among it. Source: "Create a Lambda function using a container
# image" in the AWS Lambda Developer Guide.
ACCEPTED = {
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
}


@pytest.mark.parametrize("style", STYLES)
def test_code_that_does_not_compile_is_no_image(
    build: Build, copy: Callable[[Image], Path], style: str
) -> None:
    project = copy(build(style))
    (project / "src" / "broken.py").write_text("def broken(:\n")
    done = subprocess.run(["scripts/build.sh"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 1
    assert "broken.py" in done.stderr
    assert done.stdout == ""


def test_a_package_with_another_hash_is_refused(
    build: Build, copy: Callable[[Image], Path]
) -> None:
    project = copy(build("managed"))
    requirements = project / "requirements.txt"
    requirements.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", requirements.read_text()))
    done = subprocess.run(["scripts/build.sh"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_build_asks_for_one_platform_and_no_attestations(
    render: Render, tmp_path: Path, architecture: str
) -> None:
    arguments = tmp_path / "arguments"
    (tmp_path / "docker").write_text(
        "#!/bin/bash\n"
        f'echo "$*" >>{arguments}\n'
        'if [[ $* == "buildx build "* ]]; then\n'
        "  [[ $* =~ --iidfile\\ ([^ ]+) ]]\n"
        '  echo "sha256:0123456789abcdef" >"${BASH_REMATCH[1]}"\n'
        "  echo progress\n"
        "fi\n"
    )
    (tmp_path / "docker").chmod(0o755)
    project = render(architecture=architecture)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [project / "scripts/build.sh", "--pull"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{project_name(project)}:0123456789ab\n"
    *_, built, tagged = arguments.read_text().splitlines()
    expected = {f"--platform linux/{architecture}", "--provenance=false", "--sbom=false", "--pull"}
    expected.add(f"--build-arg SOURCE_DATE_EPOCH={EPOCH}")
    assert all(f" {option} " in built for option in expected), built
    assert tagged == f"tag sha256:0123456789abcdef {done.stdout.strip()}"


def test_a_private_index_is_read_from_pip_conf(
    build: Build, copy: Callable[[Image], Path], tmp_path: Path
) -> None:
    project = copy(build("managed"))
    with (project / "requirements.txt").open("a") as requirements:
        requirements.write("# changed\n")
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = http://127.0.0.1:9/private\nretries = 0\n")
    done = subprocess.run(
        ["scripts/build.sh"],
        cwd=project,
        env=os.environ | {"PIP_CONFIG_FILE": str(settings)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Looking in indexes: http://127.0.0.1:9/private" in done.stderr


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        ("program", "error: Docker is not installed; install version 23 or newer: https://"),
        ("engine", "error: no Docker engine answers; start it, or set DOCKER_HOST to one that "),
    ],
)
def test_the_build_says_what_to_do_without_docker(
    render: Render, tmp_path: Path, problem: str, error: str
) -> None:
    for program in ("bash", "cat", "dirname"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    if problem == "engine":
        (tmp_path / "docker").write_text('#!/bin/sh\n[ "$1" = buildx ]\n')
        (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        [render() / "scripts/build.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("style", STYLES)
def test_hadolint_finds_nothing(render: Render, style: str) -> None:
    done = subprocess.run(
        ["hadolint", render(**STYLES[style]) / "Dockerfile"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
