"""The workflows that act on their own, run step by step as GitHub would, with `gh` written down."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import copier
import pytest
import yaml

from conftest import TEMPLATE
from update.git import commit, git, release, start

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Render


class Runner:
    """What GitHub's machine has: its tools in PATH, and a place for the outputs of steps."""

    def __init__(self, directory: Path, workspace: Path) -> None:
        """Work in a checkout; `gh`, `make` and `pipx` only note their arguments."""
        self.workspace, self.calls = workspace, directory / "calls"
        self.output = directory / "output"
        self.tools = directory / "bin"
        self.tools.mkdir()
        self.calls.touch()
        for tool in ("gh", "make", "pipx"):
            self.tool(tool, "")

    def tool(self, name: str, script: str) -> None:
        """Put a tool in PATH that notes its call, and then runs a script."""
        path = self.tools / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def run(self, step: dict[str, Any], **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a step's commands, as GitHub does."""
        self.output.write_text("")
        given = {
            name: re.sub(r"\$\{\{.*?\}\}", "expression", str(value))
            for name, value in step.get("env", {}).items()
        }
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=self.workspace,
            env=os.environ
            | given
            | {"PATH": f"{self.tools}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(self.output)}
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        """The outputs of the step that ran last."""
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


def steps(workflow: Path, job: str) -> dict[str, dict[str, Any]]:
    """The steps of a job that run commands, by name."""
    found = yaml.safe_load(workflow.read_text())["jobs"][job]["steps"]
    return {step.get("name", step["run"]): step for step in found if "run" in step}


# ---------------------------------------------------------------- new releases in projects


class Project:
    """A project on GitHub, and its workflow."""

    def __init__(self, directory: Path, template: Path) -> None:
        """Copy the first release of the template, and push it."""
        self.template, self.directory = template, directory / "app"
        copier.run_copy(str(template), self.directory, vcs_ref="v1.0.0", defaults=True, quiet=True)
        start(self.directory)
        self.origin = directory / "origin.git"
        subprocess.run(["git", "init", "--quiet", "--bare", self.origin], check=True)
        git(self.directory, "remote", "add", "origin", str(self.origin))
        workflow = self.directory / ".github" / "workflows" / "template-update.yml"
        jobs = ("update", "test", "pull-request")
        self.steps = {name: step for job in jobs for name, step in steps(workflow, job).items()}
        self.runner = Runner(directory, self.directory)

    def work(self, name: str, text: str) -> None:
        """Change a file, commit and push."""
        (self.directory / name).write_text(text)
        self.push()

    def push(self) -> None:
        """Push what is committed or not."""
        commit(self.directory, "Work")
        git(self.directory, "push", "--quiet", "origin", "HEAD:main")

    def run_step(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a step."""
        return self.runner.run(self.steps[name], **environment)

    def next_job(self, name: str) -> None:
        """Begin a job: in a fresh checkout, with the artifact of the job before."""
        before, checkout = self.runner.workspace, self.directory.with_name(name)
        clone = ("clone", "--quiet", "--branch=main", "--depth=1", f"file://{self.origin}", name)
        git(self.directory.parent, *clone)
        (before / ".template-update").rename(checkout / ".template-update")
        self.runner.workspace = checkout

    def run_workflow(self) -> str:
        """Run all jobs, and return the text of the pull request."""
        updated = self.run_step("Update")
        assert updated.returncode == 0, updated.stderr
        outputs = self.runner.outputs()
        committed = self.run_step("Commit", RELEASE=outputs["release"])
        assert committed.returncode == 0, committed.stderr

        self.next_job("test")
        self.tested = self.run_step("Settle the locks and test")
        noted = self.run_step(
            "Note the result",
            GITHUB_SHA=git(self.runner.workspace, "rev-parse", "origin/main").strip(),
            RUN="https://github.com/org/app/actions/runs/1",
            TESTS="failure" if self.tested.returncode else "success",
        )
        assert noted.returncode == 0, noted.stderr

        self.next_job("pull-request")
        pushed = self.run_step("Push and open the pull request", BRANCH=outputs["branch"])
        assert pushed.returncode == 0, pushed.stderr
        assert "refs/heads/template-update/v1.1.0" in git(self.origin, "show-ref")
        assert "gh pr create --head template-update/v1.1.0" in self.runner.calls.read_text()
        return (self.runner.workspace / ".template-update" / "body.md").read_text()


@pytest.fixture
def template(snapshot: Path, tmp_path: Path) -> Path:
    """A template with two releases: the second one changes the README and drops a file."""
    template: Path = shutil.copytree(snapshot, tmp_path / "template")
    git(template, "init", "--quiet")
    release(template, "v1.0.0")
    readme = template / "template" / "README.md.jinja"
    readme.write_text(readme.read_text().replace("no Docker, no AWS account", "nothing else"))
    lock = template / "template" / "requirements.txt"
    lock.write_text(lock.read_text().replace("boto3==", "boto3==9."))
    (template / "template" / ".editorconfig").unlink()
    release(template, "v1.1.0")
    return template


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A project that was made from the first release."""
    made = Project(tmp_path, template)
    made.push()
    return made


def test_a_new_release_becomes_a_pull_request(project: Project) -> None:
    body = project.run_workflow()
    assert body.startswith("The template at v1.1.0.")
    assert "Conflicts" not in body
    assert "## Deleted\n\n- `.editorconfig`\n" in body
    assert "`make lint test`: success ([log](https://github.com/org/app/actions/runs/1))" in body
    assert "make lint test" in project.runner.calls.read_text()
    assert "make lock" not in project.runner.calls.read_text()
    branch = git(project.origin, "show", "template-update/v1.1.0:.copier-answers.yml")
    assert "_commit: v1.1.0\n" in branch


def test_conflicts_are_listed_and_nothing_is_tested(project: Project) -> None:
    project.work("README.md", "# Ours\n")
    body = project.run_workflow()
    assert "## Conflicts: solve them on this branch\n\n- `README.md`\n" in body
    assert "`make lint test`: failure" in body
    assert project.tested.returncode == 1
    assert "make lint" not in project.runner.calls.read_text()
    readme = git(project.origin, "show", "template-update/v1.1.0:README.md")
    assert "<<<<<<< before updating" in readme


def test_conflicts_of_locks_are_settled(project: Project) -> None:
    lock = project.directory / "requirements.txt"
    project.work("requirements.txt", lock.read_text().replace("boto3==", "boto3==8."))
    project.runner.tool("make", 'case $1 in lock) echo "boto3==9" >requirements.txt ;; esac')
    body = project.run_workflow()
    assert "Conflicts" not in body
    assert "`make lint test`: success" in body
    assert "make lock\nmake lint test\n" in project.runner.calls.read_text()
    branch = git(project.origin, "show", "template-update/v1.1.0:requirements.txt")
    assert branch == "boto3==9\n"


def test_newest_release_and_known_branch_come_to_nothing(project: Project) -> None:
    git(project.directory, "push", "--quiet", "origin", "HEAD:template-update/v1.1.0")
    known = project.run_step("Update")
    assert known.returncode == 0, known.stderr
    assert "::notice::The branch template-update/v1.1.0 is there already" in known.stdout
    assert project.runner.outputs() == {}
    commit(project.directory, "Update")
    newest = project.run_step("Update")
    assert newest.returncode == 0, newest.stderr
    assert "::notice::The project has the newest release" in newest.stdout
    assert project.runner.outputs() == {}


def test_template_that_cannot_be_read_fails_clearly(project: Project) -> None:
    project.template.rename(project.template.with_name("elsewhere"))
    result = project.run_step("Update")
    assert result.returncode == 1
    assert "::error::The template could not be read; install the GitHub App" in result.stdout


def test_what_the_release_brings_runs_where_no_secret_is(project: Project) -> None:
    path = project.directory / ".github" / "workflows" / "template-update.yml"
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    jobs = workflow["jobs"]
    assert not any("permissions" in job for job in jobs.values())
    runs = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    with_secrets = {name for name, job in jobs.items() if "secrets." in json.dumps(job)}
    with_make = {name for name, commands in runs.items() if "make l" in "".join(commands)}
    assert with_secrets == {"update", "pull-request"}
    assert with_make == {"test"}
    write = [
        value
        for step in jobs["update"]["steps"]
        for name, value in step.get("with", {}).items()
        if name.startswith("permission-")
    ]
    assert write == ["read"]


def test_renovate_groups_what_belongs_together(render: Render) -> None:
    for iac in ("sam", "cdk"):
        rules = json.loads((render(iac=iac) / "renovate.json").read_text())["packageRules"]
        groups = {rule["groupName"] for rule in rules if "groupName" in rule}
        assert groups >= {"Python packages", "actions", "base images", "template"}
        assert ("AWS CDK" in groups) == (iac == "cdk")


# ---------------------------------------------------------------- the template's own releases


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A checkout of a template whose first release is out, which can be pushed."""
    template = tmp_path / "template"
    template.mkdir()
    (template / "CHANGELOG.md").write_text("# Changelog\n\n## v1.0.0 (2026-11-24)\n\nFirst.\n")
    start(template)
    git(template, "tag", "--annotate", "--message=v1.0.0", "v1.0.0")
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "origin.git"], check=True)
    git(template, "remote", "add", "origin", str(tmp_path / "origin.git"))
    return Runner(tmp_path, template)


def publish(runner: Runner, headings: str) -> str:
    """What the release workflow says when these headings stand above the first release."""
    changelog = runner.workspace / "CHANGELOG.md"
    first = changelog.read_text().removeprefix("# Changelog\n\n")
    changelog.write_text(f"# Changelog\n\n{headings}{first}")
    commit(runner.workspace, "Change")
    workflow = TEMPLATE / ".github" / "workflows" / "release.yml"
    result = runner.run(steps(workflow, "release")["Tag and publish"])
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_top_heading_without_a_tag_is_released(runner: Runner) -> None:
    publish(runner, "## v1.1.0 (2026-12-01)\n\n### Fixed\n\n- A thing.\n\n")
    origin = runner.workspace.with_name("origin.git")
    assert git(origin, "cat-file", "-t", "v1.1.0") == "tag\n", "an annotated tag"
    head = git(runner.workspace, "rev-parse", "HEAD")
    assert git(origin, "rev-parse", "v1.1.0^{commit}") == head
    assert "gh release create v1.1.0 --verify-tag" in runner.calls.read_text()
    notes = runner.workspace.with_name("notes.md").read_text()
    assert notes.strip() == "### Fixed\n\n- A thing."
    assert "--prerelease" not in runner.calls.read_text()
    publish(runner, "## v1.2.0rc1 (2026-12-02)\n\n- A try.\n\n")
    assert "gh release create v1.2.0rc1" in runner.calls.read_text()
    assert "--prerelease" in runner.calls.read_text()


@pytest.mark.parametrize(
    ("headings", "notice"),
    [
        ("", "v1.0.0 is released already"),
        ("## Unreleased\n\n- A thing.\n\n", "'## Unreleased' is no version"),
    ],
)
def test_nothing_else_is_released(runner: Runner, headings: str, notice: str) -> None:
    assert notice in publish(runner, headings)
    assert "gh" not in runner.calls.read_text()
    assert git(runner.workspace, "tag", "--list") == "v1.0.0\n"


def test_releases_wait_for_the_tests() -> None:
    workflow = yaml.safe_load((TEMPLATE / ".github" / "workflows" / "release.yml").read_text())
    assert workflow["jobs"]["release"]["needs"] == "test"
    assert workflow["jobs"]["test"] == {"uses": "./.github/workflows/ci.yml"}
    assert workflow["permissions"] == {"contents": "read"}
    for name in ("ci", "release"):
        text = (TEMPLATE / ".github" / "workflows" / f"{name}.yml").read_text()
        for action in re.findall(r"uses: (?!\./)(.*)", text):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
