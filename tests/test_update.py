"""What `copier update` makes of projects: new ones, used ones, and with other answers."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

import copier
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from combinations import CORE, TABLE, Combination
from conftest import TEMPLATE
from update.git import commit, conflicts, git, release, start
from update.releases import (
    Releases,
    history,
    make_releases,
    own_places,
    top_version,
    unmentioned,
)
from update.work import apply, everywhere, in_own_places, work

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def releases(snapshot: Path, shared_directory: Path) -> Releases:
    """The template's releases, made once for all workers."""
    directory = shared_directory / "releases"
    known = shared_directory / "releases.json"
    with (shared_directory / "releases.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            made = make_releases(snapshot, directory)
            known.write_text(json.dumps([made.real, made.future]))
    return Releases(directory, *json.loads(known.read_text()))


class Copy(Protocol):
    """Copies a release; the directory is shared."""

    def __call__(self, release: str, answers: dict[str, Any]) -> Path:
        """Copy the release with these answers, and the defaults of all others."""


@pytest.fixture(scope="session")
def copy(
    releases: Releases, shared_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Copy:
    """A function that makes fresh copies, in git repositories, once for all workers."""
    copies = shared_directory / "copies"
    copies.mkdir(exist_ok=True)

    def copy(release: str, answers: dict[str, Any]) -> Path:
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:12]
        project = copies / f"{release}-{key}"
        if not project.exists():
            directory = tmp_path_factory.mktemp("copy") / "project"
            copier.run_copy(
                str(releases.template),
                directory,
                data=answers,
                vcs_ref=release,
                defaults=True,
                quiet=True,
                unsafe=False,
            )
            start(directory)
            try:
                directory.rename(project)
            except OSError:  # another worker was quicker
                shutil.rmtree(directory)
        return project

    return copy


def update(project: Path, release: str, **answers: Any) -> None:
    """Update as users do: with no trust in the template, and the recorded answers as defaults."""
    copier.run_update(
        project,
        data=answers,
        vcs_ref=release,
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=False,
    )


def files(root: Path) -> dict[str, Path]:
    """All files but git's."""
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path): root / path for path in paths if path.parts[0] != ".git"}


def differences(one: Path, other: Path) -> list[str]:
    """Paths that are not the same in both directories, in content or in mode."""
    left, right = files(one), files(other)
    return sorted(left.keys() ^ right.keys()) + [
        name
        for name in sorted(left.keys() & right.keys())
        if not filecmp.cmp(left[name], right[name], shallow=False)
        or left[name].stat().st_mode != right[name].stat().st_mode
    ]


def answers_of(row: Combination) -> dict[str, Any]:
    """The answers of a row, for a project that is called the same wherever it lies."""
    return {"project_name": "my-app", **row.answers}


# ---------------------------------------------------------------- releases


def test_releases_are_those_of_the_changelog(releases: Releases) -> None:
    told = re.findall(r"(?m)^## (v\S+)", (TEMPLATE / "CHANGELOG.md").read_text())
    committed = [version for version in reversed(told) if version in releases.real[:-1]]
    assert releases.real[:-1] == committed == list(history(TEMPLATE))
    assert len(told) - len(committed) <= 1, "a version that no commit has"
    assert len(releases.future) >= 3
    tags = git(releases.template, "tag", "--list").split()
    assert set(releases.all) == set(tags)


@pytest.mark.parametrize("row", CORE, ids=str)
def test_update_equals_a_fresh_copy(
    releases: Releases, copy: Copy, tmp_path: Path, row: Combination
) -> None:
    """From every release there is or may be, for projects that nobody touched."""
    answers = answers_of(row)
    fresh = copy(releases.last, answers)
    for version in releases.all[:-1]:
        project = shutil.copytree(copy(version, answers), tmp_path / version)
        update(project, releases.last)
        assert differences(project, fresh) == [], version
    commit(project, "Update")
    update(project, releases.last)
    assert git(project, "status", "--porcelain") == "", "the second update changed something"


@pytest.mark.parametrize("row", CORE, ids=str)
def test_update_keeps_a_second_years_work(
    releases: Releases, copy: Copy, tmp_path: Path, row: Combination
) -> None:
    """Where only the user or only the template changed lines, both changes are there."""
    answers = answers_of(row)
    edits, torn = everywhere(answers)
    fresh = shutil.copytree(copy(releases.last, answers), tmp_path / "fresh")
    apply(edits, fresh)
    for version in releases.real:
        project = shutil.copytree(copy(version, answers), tmp_path / version)
        work(edits, project)
        theirs = {name: (project / name).read_text() for name in torn}
        update(project, releases.last)
        assert conflicts(project) == torn
        assert set(differences(project, fresh)) == torn
        for name, text in theirs.items():
            merged = (project / name).read_text()
            assert merged.count("\n<<<<<<< before updating\n") >= 1 or merged.startswith("<<<<<<<")
            assert set(text.splitlines()) <= set(merged.splitlines()), "a line was lost"
        make = ["make", "--silent", "settle-locks"]  # with which `make lock` begins
        subprocess.run(make, cwd=project, check=True)
        assert (project / "requirements.txt").read_text() == theirs["requirements.txt"]


def test_places_of_the_users_stay_as_they_are(releases: Releases) -> None:
    first = own_places(releases.template, releases.real[0])
    assert len(first) >= 6
    for version in releases.all:
        now = own_places(releases.template, version)
        for name, lines in first.items():
            whole = not name.endswith(".jinja")
            left = [line for line in now[name] if whole or line in lines]
            assert left == lines, f"{name} in {version}"


# ---------------------------------------------------------------- other answers

BASE = {"project_name": "my-app", "iac": "sam", "runtime_style": "managed"}
MULTI = BASE | {"handler_mode": "multi", "handlers": {"api": "direct", "worker": "direct"}}
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{
        f"{one}-to-{other}": (MULTI | {"iac": one}, {"iac": other})
        for one in ("sam", "cdk", "cli")
        for other in ("sam", "cdk", "cli")
        if one != other
    },
    "managed-to-custom": (BASE, {"runtime_style": "custom"}),
    "custom-to-managed": (BASE | {"runtime_style": "custom"}, {"runtime_style": "managed"}),
    "al2-to-al2023": (
        BASE | {"runtime_style": "custom", "custom_os": "al2", "python_version": "3.11"},
        {"custom_os": "al2023", "python_version": "3.14"},
    ),
    "single-to-multi": (
        BASE,
        {"handler_mode": "multi", "handlers": {"main": "direct", "b": "direct"}},
    ),
    "handler-added": (MULTI, {"handlers": {"a": "direct", "api": "direct", "worker": "direct"}}),
    "handler-added-cdk": (
        MULTI | {"iac": "cdk"},
        {"handlers": {"a": "direct", "api": "direct", "worker": "direct"}},
    ),
    "handler-removed": (MULTI, {"handlers": {"worker": "direct"}}),
    "handler-renamed": (
        MULTI | {"iac": "cli"},
        {"handlers": {"jobs": "direct", "worker": "direct"}},
    ),
    "selection": (MULTI, {"handler_selection": "environment"}),
    "architecture": (BASE, {"architecture": "x86_64"}),
    "python": (BASE, {"python_version": "3.13"}),
    "region": (BASE, {"aws_region": "eu-west-1"}),
    "no-ci": (BASE, {"ci": "none"}),
    "company": (BASE | {"iac": "cli"}, {"resource_tags": {"team": "shop"}}),
}


@pytest.mark.parametrize(("before", "change"), SWITCHES.values(), ids=SWITCHES)
def test_other_answers_give_what_a_copy_gives(
    releases: Releases,
    copy: Copy,
    tmp_path: Path,
    before: dict[str, Any],
    change: dict[str, Any],
) -> None:
    """Together with all that the user added in places that the new answers have, too."""
    after = before | change
    project = shutil.copytree(copy(releases.now, before), tmp_path / "project")
    edits = in_own_places(before)
    work(edits, project)
    update(project, releases.now, **change)
    fresh = shutil.copytree(copy(releases.now, after), tmp_path / "fresh")
    apply({name: edit for name, edit in edits.items() if stays(name, fresh)}, fresh)
    assert conflicts(project) == set()
    assert differences(project, fresh) == []


def stays(name: str, fresh: Path) -> bool:
    """Whether a file stays when answers change: the template's own go with their layers."""
    layers = ("infra/own.py", "scripts/own.sh", "template.yaml")
    return (fresh / name).exists() or name not in layers


def test_current_release_takes_other_answers(
    releases: Releases, copy: Copy, tmp_path: Path
) -> None:
    """As README.md says it: `copier update --vcs-ref :current: --data iac=cdk`."""
    project = shutil.copytree(copy(releases.real[0], BASE), tmp_path / "project")
    command = ["copier", "update", "--defaults", "--vcs-ref", ":current:", "--data", "iac=cdk"]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    assert differences(project, copy(releases.real[0], BASE | {"iac": "cdk"})) == []


# ---------------------------------------------------------------- any answers, any edits

DIFFERENT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("turn", range(4))
def test_nothing_of_the_users_is_lost(
    releases: Releases, copy: Copy, tmp_path: Path, turn: int
) -> None:
    """A pair of rows and lines anywhere in the files that both have: 200 updates in all."""
    rows = st.sampled_from(TABLE)

    @given(st.data(), st.just(turn), rows, rows)
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=DIFFERENT)
    def check(data: st.DataObject, turn: int, one: Combination, other: Combination) -> None:
        version = releases.all[turn % len(releases.all)]
        before, after = answers_of(one), answers_of(other)
        source, target = copy(version, before), copy(releases.last, after)
        common = sorted(files(source).keys() & files(target).keys() - {".copier-answers.yml"})
        project = tmp_path / "project"
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(source, project)

        written: dict[str, list[str]] = {}
        for number in range(data.draw(st.integers(1, 8), label="edits")):
            name = data.draw(st.sampled_from(common), label="file")
            lines = (project / name).read_text().splitlines()
            place = data.draw(st.integers(0, len(lines)), label="line")
            replaced = data.draw(st.integers(0, 2), label="lines replaced")
            gone = {line for line in lines[place : place + replaced] if line.startswith("mine ")}
            line = f"mine {number}"
            lines[place : place + replaced] = [line]
            (project / name).write_text("\n".join(lines) + "\n")
            kept = [each for each in written.get(name, []) if each not in gone]
            written[name] = [*kept, line]
        commit(project, "Work")

        changed = {name: value for name, value in after.items() if before.get(name) != value}
        update(project, releases.last, **changed)
        for name, mine in written.items():
            lines = (project / name).read_text().splitlines()
            assert [line for line in lines if line.startswith("mine ")] == sorted(
                mine, key=lines.index
            ), name
            assert all(lines.count(line) == 1 for line in mine), name

    check()


# ---------------------------------------------------------------- the changelog


def test_changelog_names_what_needs_hands(releases: Releases) -> None:
    for old, new in zip(releases.all, releases.all[1:], strict=False):
        assert unmentioned(releases.template, old, new) == [], f"{old} to {new}"


def test_what_the_changelog_hides_is_found(releases: Releases, tmp_path: Path) -> None:
    template = tmp_path / "template"
    subprocess.run(["git", "clone", "--quiet", releases.template, template], check=True)
    old, new = releases.all[-2:]
    (template / "CHANGELOG.md").write_text("# Changelog\n\n## v99.0.0\n\nNothing.\n")
    questions = template / "copier.yml"
    questions.write_text(
        questions.read_text().replace("    AWS SAM: sam\n", "    AWS SAM: samba\n")
    )
    release(template, "v99.0.0")
    assert unmentioned(template, old, "v99.0.0") == [
        ".editorconfig",
        "iac",
        "src/<package>/context.py",
    ]
    assert unmentioned(template, new, "v99.0.0") == ["iac"]


def test_changelog_is_kept_in_its_form() -> None:
    text = (TEMPLATE / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    versions = [heading for heading in headings if heading != "Unreleased"]
    assert headings[0] == "Unreleased" or top_version(text)
    for heading in versions:
        assert re.fullmatch(r"v\S+ \(\d{4}-\d{2}-\d{2}\)", heading), heading
    numbers = [Version(heading.split()[0]) for heading in versions]
    assert numbers == sorted(numbers, reverse=True)


# ---------------------------------------------------------------- the answers file


@pytest.fixture
def addresses(releases: Releases) -> dict[str, str]:
    """An environment in which git finds the template at addresses of the net."""
    places = [
        "https://github.com/org/lambda-template",
        "https://somebody:secret@git.example.com/org/lambda-template",
    ]
    environment = {"GIT_CONFIG_COUNT": str(len(places))}
    for number, place in enumerate(places):
        environment[f"GIT_CONFIG_KEY_{number}"] = f"url.{releases.template}.insteadOf"
        environment[f"GIT_CONFIG_VALUE_{number}"] = f"{place}.git"
    return os.environ | environment


@pytest.mark.parametrize(
    ("source", "recorded"),
    [
        ("gh:org/lambda-template", "https://github.com/org/lambda-template"),
        (
            "git+https://github.com/org/lambda-template.git",
            "https://github.com/org/lambda-template.git",
        ),
        (
            "https://github.com/org/lambda-template.git",
            "https://github.com/org/lambda-template.git",
        ),
        (
            "https://somebody:secret@git.example.com/org/lambda-template.git",
            "https://git.example.com/org/lambda-template.git",
        ),
    ],
)
def test_answers_file_is_one_for_renovate_and_holds_no_secret(
    releases: Releases, addresses: dict[str, str], tmp_path: Path, source: str, recorded: str
) -> None:
    def run_copier(*arguments: str) -> None:
        command = ["copier", *arguments, "--defaults", "--quiet"]
        subprocess.run(command, cwd=tmp_path, env=addresses, check=True, capture_output=True)

    project = tmp_path / "app"
    run_copier("copy", "--vcs-ref", releases.now, source, "app")
    text = (project / ".copier-answers.yml").read_text()
    answers = yaml.safe_load(text)
    assert answers["_src_path"] == recorded
    assert answers["_commit"] == releases.now
    for machine_fact in ("somebody", "secret", str(tmp_path), os.environ["HOME"]):
        assert machine_fact not in text
    if "github" in recorded:
        start(project)
        run_copier("update", "app")
        assert f"_commit: {releases.last}\n" in (project / ".copier-answers.yml").read_text()


def test_hostile_description_survives_an_update(
    releases: Releases, copy: Copy, tmp_path: Path
) -> None:
    hostile = """{{ braces }} {% tags %} "quotes" \\ 'more' # : $(touch owned) 日本語"""
    answers = {"project_name": "my-app", "description": hostile}
    project = shutil.copytree(copy(releases.real[0], answers), tmp_path / "project")
    update(project, releases.last)
    assert differences(project, copy(releases.last, answers)) == []


def test_company_answers_come_from_a_file(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As README.md says it: `--data-file` decides, Copier's settings give defaults."""
    (tmp_path / "org.yml").write_text("aws_region: eu-west-1\nresource_tags: {team: shop}\n")
    (tmp_path / "settings.yml").write_text("defaults:\n  iac: cdk\n  aws_region: us-west-2\n")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(tmp_path / "settings.yml"))
    command = ["copier", "copy", "--defaults", "--quiet", "--data-file", "org.yml"]
    subprocess.run(
        [*command, "--vcs-ref", releases.now, releases.template, "app"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    answers = yaml.safe_load((tmp_path / "app" / ".copier-answers.yml").read_text())
    assert answers["aws_region"] == "eu-west-1"
    assert answers["resource_tags"] == {"team": "shop"}
    assert answers["iac"] == "cdk"
