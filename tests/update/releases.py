"""A template with releases: those that were, what it is now, and three that may come."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from conftest import TEMPLATE

from .git import git, release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = ("CHANGELOG.md", "copier.yml", "includes", "template")


def top_version(changelog: str) -> str | None:
    """The version in the top heading of a changelog, or nothing where that is not released."""
    heading = re.search(r"^## (.*)$", changelog, re.MULTILINE)
    version = re.match(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", heading[1]) if heading else None
    return version[0] if version else None


def history(repository: Path) -> dict[str, str]:
    """Version -> its commit, the first one first.

    The release workflow tags a commit while the version is CHANGELOG.md's top heading; where the
    tag is not at hand, the last such commit stands for it. What a fork merged is not its release.
    """
    tags = git(repository, "tag", "--list").split()
    found: dict[str, str] = {}
    line = ("log", "--first-parent", "--format=%H")
    last = git(repository, "rev-parse", "HEAD").strip()
    for commit in git(repository, *line, "--", PARTS[0]).split():  # the newest first
        version = top_version(git(repository, "show", f"{commit}:{PARTS[0]}"))
        if version and version not in found:
            found[version] = f"refs/tags/{version}" if version in tags else last
        last = f"{commit}^"
    return dict(reversed(found.items()))


def following(version: str) -> str:
    """The next minor version."""
    major, minor, _ = version.removeprefix("v").split(".")
    return f"v{major}.{int(minor) + 1}.0"


@dataclass(frozen=True)
class Releases:
    """The template's repository and its tags, the oldest first.

    Attributes:
        template: The repository.
        real: The releases that were, and at last the template as it is now.
        future: What may come.
    """

    template: Path
    real: list[str]
    future: list[str]

    @property
    def now(self) -> str:
        """The template as it is."""
        return self.real[-1]

    @property
    def last(self) -> str:
        """The newest release."""
        return self.future[-1]

    @property
    def all(self) -> list[str]:
        """All of them."""
        return [*self.real, *self.future]


def make_releases(snapshot: Path, directory: Path) -> Releases:
    """Make the repository in the directory."""
    directory.mkdir()
    git(directory, "init", "--quiet")
    real = []
    for version, commit in history(TEMPLATE).items():
        clear(directory)
        archive = ["git", "archive", commit, *PARTS]
        files = subprocess.run(archive, cwd=TEMPLATE, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=directory, input=files, check=True)
        release(directory, version)
        real.append(version)
    clear(directory)
    shutil.copytree(snapshot, directory, dirs_exist_ok=True)
    shutil.copy(TEMPLATE / PARTS[0], directory)
    real.append(following(real[-1]) if real else "v1.0.0")
    release(directory, real[-1])

    future: list[str] = []
    for change in FUTURE:
        version = following([*real, *future][-1])
        entry = change(directory)
        replace(directory / PARTS[0], "\n## ", f"\n## {version} (one day)\n\n{entry}\n## ")
        release(directory, version)
        future.append(version)
    return Releases(directory, real, future)


def clear(directory: Path) -> None:
    """Delete all but the history."""
    for path in directory.iterdir():
        if path.is_dir() and path.name != ".git":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


# ---------------------------------------------------------------- what may come


def replace(path: Path, old: str, new: str) -> None:
    """Replace the first place with a text that must be there."""
    text = path.read_text()
    assert old in text, f"{path} no longer holds {old!r}: think of another change"
    path.write_text(text.replace(old, new, 1))


def find(directory: Path, pattern: str) -> Path:
    """The one file of the template whose path matches."""
    [path] = [path for path in (directory / "template").rglob("*") if re.search(pattern, str(path))]
    return path


def fixes(directory: Path) -> str:
    """New pins in all locks, and changes of files that every project has."""
    for lock in (directory / "template").rglob("requirements*.txt"):
        for package in ("boto3", "botocore"):
            pin = re.compile(rf"(?m)^({package}==)\S+((?: \\\n    --hash=sha256:[0-9a-f]+)+)")
            text, count = pin.subn(lambda m: f"{m[1]}9.9.9{m[2].translate(SWAP)}", lock.read_text())
            assert count == 1, lock
            lock.write_text(text)
    handler = find(directory, r"handlers/\{%.*\.py\.jinja$")
    replace(handler, "CALL_MILLISECONDS = 500", "CALL_MILLISECONDS = 400")
    tests = find(directory, r"tests/test_handler_.*\.jinja$")
    replace(tests, 'match="500 ms"', 'match="400 ms"')
    replace(tests, "milliseconds_left=499", "milliseconds_left=399")
    replace(find(directory, r"workflows/ci\.yml\.jinja$"), "minutes: 15", "minutes: 20")
    readme = directory / "template" / "README.md.jinja"
    replace(readme, "no Docker, no AWS account.", "neither Docker nor an AWS account.")
    return "### Fixed\n\n- The deadline, and pins. `copier update` brings it.\n"


SWAP = str.maketrans("0123456789abcdef", "fedcba9876543210")


def additions(directory: Path) -> str:
    """A fact becomes a question, a script and a target arrive, all infrastructure changes."""
    questions = directory / "copier.yml"
    fact = "log_retention:\n  type: int\n  default: 30\n  when: false\n"
    question = "log_retention:\n  type: int\n  help: For how many days?\n  default: 30\n"
    replace(questions, fact, question)
    replace(questions, "  default: 256\n", "  default: 512\n")
    script = directory / "template" / "scripts" / "status.sh"
    script.write_text("#!/usr/bin/env bash\n# Tell what runs.\necho nothing\n")
    script.chmod(0o755)
    target = "status: ## tell what runs in STAGE\n\t@scripts/status.sh\n\n"
    replace(directory / "template" / "Makefile.jinja", "rollback: ##", f"{target}rollback: ##")
    alarms = [
        (r"template\.yaml\.jinja$", "EvaluationPeriods: 1", "EvaluationPeriods: 2"),
        (r"handler_function\.py$", "evaluation_periods=1", "evaluation_periods=2"),
        (r"resources\.sh$", "--evaluation-periods 1", "--evaluation-periods 2"),
    ]
    for pattern, old, new in alarms:
        replace(find(directory, pattern), old, new)
    return "### Added\n\n- The question `log_retention`; projects keep their 30 days.\n"


def moves(directory: Path) -> str:
    """A module has another name, and a file goes."""
    module = find(directory, r"/context\.py$")
    module.rename(module.with_name("lambda_context.py"))
    handler = find(directory, r"handlers/\{%.*\.py\.jinja$")
    replace(handler, "from ..context import", "from ..lambda_context import")
    replace(handler, "use of Lambda in this region", "use of Lambda here")
    (directory / "template" / ".editorconfig").unlink()
    return (
        "### Changed\n\n- `src/<package>/context.py` is `src/<package>/lambda_context.py`: "
        "change your imports.\n- `.editorconfig` is gone: keep a copy where you changed it.\n"
    )


FUTURE: list[Callable[[Path], str]] = [fixes, additions, moves]


# ---------------------------------------------------------------- what a changelog must tell


def unmentioned(template: Path, old: str, new: str) -> list[str]:
    """Rendered paths that went and questions that changed, of which the changelog is silent.

    Looked for in the top section of CHANGELOG.md at `new`. A path with a variable part is written
    as `src/<package>/handlers/<handler>.py`.
    """
    changelog = git(template, "show", f"{new}:CHANGELOG.md")
    section = re.split(r"^## ", changelog, flags=re.MULTILINE)[1]
    gone = rendered_paths(template, old) - rendered_paths(template, new)
    before, after = questions(template, old), questions(template, new)
    changed = {name for name in before.keys() | after if before.get(name) != after.get(name)}
    return sorted(name for name in gone | changed if f"`{name}`" not in section)


def own_places(template: Path, version: str) -> dict[str, list[str]]:
    """File -> what users rely on in it: all of a file that is theirs, and the markers of others."""
    places = {}
    names = git(template, "ls-tree", "-r", "-z", "--name-only", version, "template/")
    for name in names.rstrip("\0").split("\0"):
        text = git(template, "show", f"{version}:{name}")
        lines = text.splitlines()
        markers = [line for line in lines if ">>> yours" in line and line.lstrip().startswith("#")]
        theirs = name.endswith(("/own.py", "/own.sh", "/stages.sh", "/environment.toml"))
        if theirs or markers:
            places[name] = lines if theirs else markers
    return places


def rendered_paths(template: Path, version: str) -> set[str]:
    """Paths in projects, whatever the layers."""
    names = git(template, "ls-tree", "-r", "-z", "--name-only", f"{version}:template")
    variables = [
        (r"\{\{ \w+_layer \}\}/", ""),
        (r"\{% yield.*?endyield %\}", "<handler>"),
        (r"\{\{ package_name \}\}", "<package>"),
        (r"\{\{ _copier_conf.answers_file \}\}", ".copier-answers.yml"),
        (r"\.jinja$", ""),
    ]
    paths = set()
    for name in names.rstrip("\0").split("\0"):
        path = name
        for pattern, text in variables:
            path = re.sub(pattern, text, path)
        paths.add(path)
    return paths


def questions(template: Path, version: str) -> dict[str, dict[str, Any]]:
    """Question -> all that decides when it is asked and what it takes."""
    found = {}
    for name, question in yaml.safe_load(git(template, "show", f"{version}:copier.yml")).items():
        if not name.startswith("_") and question.get("when") is not False:
            choices = question.get("choices")
            values = list(choices.values()) if isinstance(choices, dict) else choices
            found[name] = question | {"help": None, "choices": values}
    return found
