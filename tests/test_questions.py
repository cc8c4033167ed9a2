"""The questionnaire: defaults, what it refuses, and what it needs."""

from __future__ import annotations

import json
import sys
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

import copier
import pexpect
import pytest
import yaml
from botocore.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader

from conftest import TEMPLATE, python_versions

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Render

DEFAULTS = {
    "description": "A blank AWS Lambda application",
    "runtime_style": "managed",
    "python_version": "3.14",
    "architecture": "arm64",
    "handler_mode": "single",
    "trigger": "direct",
    "iac": "sam",
    "aws_region": "us-east-1",
    "ci": "github",
    "resource_tags": {},
    "permissions_boundary": "",
    "alarm_topic": "",
}


def recorded(project: Path) -> dict[str, Any]:
    """Answers that stand in the project's answers file."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    return {name: answer for name, answer in answers.items() if not name.startswith("_")}


def copy(snapshot: Path, project: Path, **answers: Any) -> Path:
    """Copy as `copier copy --defaults --data …` does: with no trust in the template."""
    copier.run_copy(str(snapshot), project, data=answers, defaults=True, quiet=True, unsafe=False)
    return project


def refusal(snapshot: Path, project: Path, **answers: Any) -> str:
    """The sentence with which the answers are refused, after which nothing must be written."""
    with pytest.raises(ValueError, match="Validation error for question") as error:
        copy(snapshot, project, **answers)
    assert not project.exists()
    sentence = str(error.value).partition(": ")[2]
    assert len(sentence.splitlines()) == 1
    assert sentence.endswith(".")
    return sentence


def test_defaults_need_no_trust(snapshot: Path, tmp_path: Path) -> None:
    project = copy(snapshot, tmp_path / "my-app")
    assert recorded(project) == {"project_name": "my-app", **DEFAULTS}


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("My App", "my-app"),
        ("my_app", "my-app"),
        ("2nd--app-", "nd-app"),
        ("json", "my-lambda"),
        ("42", "my-lambda"),
        ("x" * 40, "my-lambda"),
    ],
)
def test_project_is_named_after_its_directory(
    snapshot: Path, tmp_path: Path, directory: str, name: str
) -> None:
    assert recorded(copy(snapshot, tmp_path / directory))["project_name"] == name


def test_python_follows_the_operating_system(render: Render) -> None:
    project = render(runtime_style="custom", custom_os="al2", python_version="3.11")
    assert recorded(project)["python_version"] == "3.11"
    assert recorded(render(runtime_style="custom"))["python_version"] == "3.14"


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({"runtime_style": "managed", "python_version": "3.11"}, "python_version"),
        (
            {"runtime_style": "custom", "custom_os": "al2", "python_version": "3.14"},
            "python_version",
        ),
        ({"architecture": "amd64"}, "architecture"),
        ({"iac": "terraform"}, "iac"),
        ({"trigger": "kafka"}, "trigger"),
    ],
)
def test_refuses_what_is_no_choice(
    snapshot: Path, tmp_path: Path, answers: dict[str, str], wrong: str
) -> None:
    with pytest.raises(ValueError, match=f"Invalid choice for '{wrong}'"):
        copy(snapshot, tmp_path / "app", **answers)
    assert not (tmp_path / "app").exists()


NOT_A_NAME = "cannot be the project name; use lower-case letters and digits"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty; choose one"),
        ("MyApp", NOT_A_NAME),
        ("my app", NOT_A_NAME),
        ("1app", NOT_A_NAME),
        ("my_app", NOT_A_NAME),
        ("my--app", NOT_A_NAME),
        ("my-app-", NOT_A_NAME),
        ("-app", NOT_A_NAME),
        ("my-app\n", NOT_A_NAME),
        ("äpp", NOT_A_NAME),
        ("a/b", NOT_A_NAME),
        ("..", NOT_A_NAME),
        ("a" * 33, "has 33 characters; use at most 32"),
        ("class", "is a Python keyword"),
        ("match", "is a Python keyword"),
        ("json", "is a module of Python's standard library"),
        ("boto3", "is a package that the project imports"),
        ("awslambdaric", "is a package that the project imports"),
        ("aws-cdk", "is a package that the project imports"),
        ("tests", "is the name of a part of every project"),
        ("runtime", "is the name of a part of every project"),
    ],
)
def test_refuses_project_name(snapshot: Path, tmp_path: Path, name: str, why: str) -> None:
    assert why in refusal(snapshot, tmp_path / "app", project_name=name)


@pytest.mark.parametrize(
    ("handlers", "why"),
    [
        ("{}", "are empty; name at least one"),
        ("", "are no mapping; write names and triggers"),
        ("api", "are no mapping; write names and triggers"),
        ("[api, worker]", "are no mapping; write names and triggers"),
        ("{api: http}", "has the unknown trigger 'http'; use one of: direct"),
        ("{api: }", "has the unknown trigger 'None'"),
        ("{api: {direct: 1}}", "has the unknown trigger"),
        ("{1: direct}", "'1' cannot be a handler's name"),
        ("{Api: direct}", "'Api' cannot be a handler's name"),
        ("{a__b: direct}", "'a__b' cannot be a handler's name"),
        ("{a-: direct}", "'a-' cannot be a handler's name"),
        ("{a.b: direct}", "'a.b' cannot be a handler's name"),
        ("{../x: direct}", "'../x' cannot be a handler's name"),
        ("{__init__: direct}", "'__init__' cannot be a handler's name"),
        ("{conftest: direct}", "'conftest' is taken by pytest"),
        ("{import: direct}", "'import' is a Python keyword"),
        ("{type: direct}", "'type' is a Python keyword"),
        ("{a23456789012345678901: direct}", "has 21 characters; use at most 20"),
        ("{send-mail: direct, send_mail: direct}", "'send-mail' and 'send_mail' are one name"),
        ("{send_mail: direct, sendmail: direct}", "'send_mail' and 'sendmail' are one name"),
        ("{ok: direct, Bad: direct, worse: http}", "'Bad' cannot be a handler's name"),
    ],
)
def test_refuses_handlers(snapshot: Path, tmp_path: Path, handlers: str, why: str) -> None:
    sentence = refusal(snapshot, tmp_path / "app", handler_mode="multi", handlers=handlers)
    assert why in sentence


@pytest.mark.parametrize(
    "region", ["", "virginia", "us-east", "us_east_1", "US-EAST-1", "mars-north-1", "us-east-1a"]
)
def test_refuses_region(snapshot: Path, tmp_path: Path, region: str) -> None:
    sentence = refusal(snapshot, tmp_path / "app", aws_region=region)
    assert sentence.startswith(f"'{region}' cannot be an AWS region; write one such as")


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("team", "The tags are no mapping; write names and values"),
        ("[team]", "The tags are no mapping"),
        ("{team: 42}", "The value of the tag 'team' is no text; write it in quotes"),
        ("{team: }", "The value of the tag 'team' is no text"),
        ("{1: shop}", "'1' cannot be the name of a tag"),
        ("{a=b: shop}", "'a=b' cannot be the name of a tag"),
        ("{two words: shop}", "'two words' cannot be the name of a tag"),
        ("{Project: x}", "The tag 'Project' is made by the project itself or by AWS"),
        ("{'aws:x': x}", "The tag 'aws:x' is made by the project itself or by AWS"),
        ("{'stage:dev': x}", "The tag 'stage:dev' is made by the project itself or by AWS"),
        ("{team: a, Team: b}", "The tags 'team' and 'Team' differ in their case alone"),
        ("{team: ' shop'}", "The tag 'team' cannot have the value ' shop'"),
        ("{team: ''}", "The tag 'team' cannot have the value ''"),
        ('{team: "it\'s"}', "The tag 'team' cannot have the value 'it's'"),
        ("{team: $(touch owned)}", "The tag 'team' cannot have the value"),
        (str({f"t{n}": "x" for n in range(31)}), "There are 31 tags; give at most 30"),
        (str({"x" * 129: "x"}), "cannot be the name of a tag"),
        (str({"x": "x" * 257}), "The tag 'x' cannot have the value"),
    ],
)
def test_refuses_tags(snapshot: Path, tmp_path: Path, tags: str, why: str) -> None:
    assert why in refusal(snapshot, tmp_path / "app", resource_tags=tags)


BOUNDARY = "cannot be a permissions boundary; write the ARN of a policy, such as"
TOPIC = "cannot be a topic of alarms; write the ARN of an SNS topic"


@pytest.mark.parametrize(
    ("question", "arn", "why"),
    [
        ("permissions_boundary", "boundary", BOUNDARY),
        ("permissions_boundary", "arn:aws:iam::123456789012:role/boundary", BOUNDARY),
        ("permissions_boundary", "arn:aws:iam::1234:policy/boundary", BOUNDARY),
        ("permissions_boundary", "arn:aws:iam::123456789012:policy/two words", BOUNDARY),
        ("permissions_boundary", "arn:aws:iam::123456789012:policy/x\n", BOUNDARY),
        ("alarm_topic", "alarms", TOPIC),
        ("alarm_topic", "arn:aws:sqs:us-east-1:123456789012:alarms", TOPIC),
        ("alarm_topic", "arn:aws:sns:us-east-1:123456789012:alarms.fifo", TOPIC),
        ("alarm_topic", "arn:aws:sns:us-east-1:123456789012:alarms:subscription", TOPIC),
    ],
)
def test_refuses_arn(snapshot: Path, tmp_path: Path, question: str, arn: str, why: str) -> None:
    assert why in refusal(snapshot, tmp_path / "app", **{question: arn})


COMPANY = {
    "resource_tags": {"team": "shop floor", "cost:center/a": "42", "e-mail": "me+you@example.com"},
    "permissions_boundary": "arn:aws-us-gov:iam::123456789012:policy/company/boundary",
    "alarm_topic": "arn:aws-cn:sns:cn-north-1:123456789012:alarms",
}


@pytest.mark.parametrize("iac", ["sam", "cdk", "cli"])
def test_takes_what_a_company_answers(render: Render, iac: str) -> None:
    assert recorded(render(iac=iac, **COMPANY)).items() >= COMPANY.items()


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("", "is empty; say in one line"),
        ("  ", "is empty; say in one line"),
        ("two\nlines", "holds a line break"),
        ("a\x00b", "holds a line break or another control character"),
        ("x" * 301, "has 301 characters; write one line of at most 300"),
    ],
)
def test_refuses_description(snapshot: Path, tmp_path: Path, description: str, why: str) -> None:
    assert why in refusal(snapshot, tmp_path / "app", description=description)


# The names are judged by macros; Hypothesis tries those directly, a thousand times quicker.
def macros(name: str) -> Any:
    """The macros in a file of includes/, in an environment like Copier's."""
    from jinja2_ansible_filters import AnsibleCoreFiltersExtension

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        extensions=[AnsibleCoreFiltersExtension],
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 (no HTML)
    )
    return environment.get_template(f"includes/{name}.jinja").module


NAMES = macros("names")
HANDLERS = macros("handlers")


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9_-]{0,40}", fullmatch=True))
def test_any_accepted_project_name_is_a_package_name(name: str) -> None:
    if not NAMES.project_name_error(name).strip():
        package = name.replace("-", "_")
        assert package.isascii()
        assert package.isidentifier()
        assert package == package.lower()
        assert package not in sys.stdlib_module_names
        assert len(f"{name}-production-{'x' * 20}") <= 64


@given(st.text(max_size=60))
def test_any_directory_gives_a_good_default_name(directory: str) -> None:
    name = str(NAMES.default_project_name(directory))
    assert NAMES.project_name_error(name).strip() == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_any_handlers_are_judged_in_one_line(handlers: Any) -> None:
    sentence = str(HANDLERS.handlers_error(handlers)).strip()
    if sentence:
        assert sentence.endswith(".")
    else:
        modules = {name.replace("-", "_") for name in handlers}
        assert len(modules) == len(handlers) > 0
        assert all(module.isidentifier() for module in modules)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]([_-]?[a-z0-9]){0,8}", fullmatch=True),
        st.just("direct"),
        min_size=1,
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_good_handlers_are_accepted_unless_names_collide(handlers: dict[str, str]) -> None:
    plain = {name.replace("-", "").replace("_", "") for name in handlers}
    judged = str(HANDLERS.handlers_error(handlers)).strip()
    if len(plain) < len(handlers):
        assert "are one name" in judged
    else:
        assert judged == "" or "is a Python keyword" in judged


def test_every_region_of_aws_is_accepted() -> None:
    session = Session()
    regions = {
        region
        for partition in session.get_available_partitions()
        for service in ("ec2", "lambda", "sts")
        for region in session.get_available_regions(service, partition)
    }
    assert len(regions) > 30
    assert [region for region in regions if NAMES.region_error(region).strip()] == []


def test_every_standard_library_module_is_refused() -> None:
    known = set(NAMES.standard_library)
    for python in python_versions().values():
        listing = python("import json, sys; print(json.dumps(sorted(sys.stdlib_module_names)))")
        assert {name for name in json.loads(listing) if not name.startswith("_")} <= known


def test_every_locked_package_is_refused(render: Render) -> None:
    """The import names of what requirements-dev.txt pins, as far as they are installed here."""
    modules: dict[str, set[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(distribution.lower().replace("_", "-"), set()).add(module)
    taken = {*NAMES.dependencies, *NAMES.standard_library}
    for iac in ("sam", "cdk", "cli"):
        lines = (render(iac=iac) / "requirements-dev.txt").read_text().splitlines()
        for name in (line.partition("==")[0] for line in lines if "==" in line):
            importable = {m for m in modules.get(name, ()) if m.isidentifier() and m.islower()}
            public = {module for module in importable if not module.startswith("_")}
            assert public <= taken, f"add what {name} installs to includes/names.jinja"


def test_every_directory_and_module_of_a_project_is_refused(render: Render) -> None:
    for iac in ("sam", "cdk", "cli"):
        project = render(runtime_style="custom", iac=iac)
        tops = [
            *project.iterdir(),
            *(project / "local").iterdir(),
            *(project / "runtime").iterdir(),
        ]
        for path in tops:
            if (
                path.stem.isidentifier()
                and path.stem == path.stem.lower()
                and (path.is_dir() or path.suffix == ".py")
            ):
                assert path.stem in {*NAMES.own_modules, *NAMES.standard_library}, path


# https://copier.readthedocs.io/en/stable/configuring/
SETTINGS = {
    "_min_copier_version",
    "_subdirectory",
    "_envops",
    "_message_after_copy",
    "_message_after_update",
}
QUESTION_KEYS = ["type", "help", "choices", "multiline", "default", "when", "validator"]


def test_copier_yml_holds_no_key_that_copier_would_ignore() -> None:
    config = yaml.safe_load((TEMPLATE / "copier.yml").read_text())
    assert {name for name in config if name.startswith("_")} == SETTINGS
    for name, question in config.items():
        if not name.startswith("_"):
            assert [key for key in QUESTION_KEYS if key in question] == sorted(
                question, key=QUESTION_KEYS.index
            ), f"{name}: unknown keys"
            assert "type" in question, name
            assert "default" in question, f"{name} needs a default: without it, updates break"
            assert ("help" in question) != (question.get("when") is False), name


class Questionnaire:
    """A real `copier copy` in a pseudo-terminal."""

    def __init__(self, snapshot: Path, project: Path) -> None:
        self.terminal = pexpect.spawn(
            sys.executable,
            ["-m", "copier", "copy", str(snapshot), str(project)],
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=30,
        )

    def answer(self, question: str, keys: str) -> None:
        """Wait until a question is asked, and answer it by the keys, with Enter at the end."""
        self.terminal.expect_exact(question)
        self.terminal.send(keys + "\r")


DOWN = "\x1b[B"
ERASE = "\x15\x01\x0b"


def test_questionnaire_in_a_terminal(snapshot: Path, tmp_path: Path) -> None:
    questionnaire = Questionnaire(snapshot, tmp_path / "app")
    questionnaire.answer("What is the project called?", ERASE + "My App")
    questionnaire.terminal.expect_exact("cannot be the project name")
    questionnaire.terminal.send(ERASE + "orders\r")
    questionnaire.answer("What does it do", "")
    questionnaire.answer("Which runtime runs the handlers?", DOWN)
    questionnaire.answer("Which Amazon Linux", DOWN)
    questionnaire.answer("Which Python?", "")
    questionnaire.answer("Which processor architecture?", DOWN)
    questionnaire.answer("How many functions", DOWN)
    questionnaire.answer("Which functions", ERASE + "{take: direct, send-mail: direct}")
    questionnaire.answer("How does each function choose", DOWN)
    questionnaire.answer("What deploys it?", DOWN * 2)
    questionnaire.answer("Which AWS region", "")
    questionnaire.answer("Which CI", DOWN)
    questionnaire.answer("Which tags", ERASE + "{team: shop}")
    questionnaire.answer("Which policy", "")
    questionnaire.answer("Which SNS topic", "arn:aws:sns:us-east-1:123456789012:alarms")
    questionnaire.terminal.expect_exact("orders is ready.")
    questionnaire.terminal.expect(pexpect.EOF)
    questionnaire.terminal.close()
    assert questionnaire.terminal.exitstatus == 0
    assert recorded(tmp_path / "app") == {
        "project_name": "orders",
        "description": "A blank AWS Lambda application",
        "runtime_style": "custom",
        "custom_os": "al2",
        "python_version": "3.11",
        "architecture": "x86_64",
        "handler_mode": "multi",
        "handlers": {"take": "direct", "send-mail": "direct"},
        "handler_selection": "environment",
        "iac": "cli",
        "aws_region": "us-east-1",
        "ci": "none",
        "resource_tags": {"team": "shop"},
        "permissions_boundary": "",
        "alarm_topic": "arn:aws:sns:us-east-1:123456789012:alarms",
    }
