"""What users do in a project: edits, each a function from a file's text to its new text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .git import commit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Edits = dict[str, "Callable[[str], str | None]"]

REWRITTEN_HANDLER = '''\
"""Orders, as the shop wants them."""

import logging
from typing import Any

from ..context import LambdaContext

logger = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Take an order."""
    logger.info("Order %s", event)
    return {"order": context.aws_request_id}
'''
REWRITTEN_README = """\
# The shop's orders

Ask the team `shop` before you change anything.

## Operations

It is on call at night, too.
"""
LOCKED = f"idna==3.10 \\\n    --hash=sha256:{'1' * 64}\n"


def insert(marker: str, text: str) -> Callable[[str], str]:
    """Write the text below the one line with the marker."""

    def change(before: str) -> str:
        [line] = [line for line in before.splitlines(keepends=True) if marker in line]
        return before.replace(line, line + text)

    return change


def exchange(old: str, new: str) -> Callable[[str], str]:
    """Write something else in the one place that has the text."""

    def change(before: str) -> str:
        assert before.count(old) == 1, old
        return before.replace(old, new)

    return change


def chain(*changes: Callable[[str], str]) -> Callable[[str], str]:
    """Several changes of one file."""

    def change(before: str) -> str:
        for one in changes:
            before = one(before)
        return before

    return change


def lock(before: str) -> str:
    """Pin one more package, where its name has its place."""
    blocks = re.split(r"(?m)^(?=\S)", before)
    place = next(i for i, block in enumerate(blocks) if block.strip("\n") > LOCKED)
    return "".join([*blocks[:place], LOCKED, *blocks[place:]])


def delete(_: str) -> None:
    """Delete the file."""


def new(text: str) -> Callable[[str], str]:
    """Write a file, whatever stood there."""
    return lambda _: text


def in_own_places(answers: dict[str, Any]) -> Edits:
    """Additions in every place that the template leaves to its users."""
    package = str(answers["project_name"]).replace("-", "_")
    dependencies = chain(
        insert(">>> yours: packages", '    "idna",\n'), insert(">>> yours: tools", '    "tox",\n')
    )
    edits: Edits = {
        "pyproject.toml": dependencies,
        "project.mk": new("greet: ## say hello\n\t@echo hello\n"),
        "local/environment.toml": insert("STAGE", 'TABLE = "orders"\n'),
        "scripts/stages.sh": exchange("-INFO}\n    ;;", "-WARN}\n    ;;"),
        f"src/{package}/orders.py": new('"""Orders."""\n'),
        "tests/test_orders.py": new('"""Orders are taken."""\n'),
    }
    last = max(answers.get("handlers", {"main": None}))
    match answers["iac"]:
        case "sam":
            edits["template.yaml"] = chain(
                insert(">>> yours: parameters", "  Shop:\n    Type: String\n"),
                insert(">>> yours: environment variables of all", "        TABLE: !Ref Orders\n"),
                insert(f">>> yours: more properties of {last},", "      Timeout: 60\n"),
                insert(
                    f">>> yours: more permissions of {last}",
                    "              - Effect: Allow\n"
                    "                Action: dynamodb:GetItem\n"
                    "                Resource: !GetAtt Orders.Arn\n",
                ),
                insert(">>> yours: resources", "  Orders:\n    Type: AWS::DynamoDB::Table\n"),
                insert(">>> yours: outputs", "  OrdersTable:\n    Value: !Ref Orders\n"),
            )
        case "cdk":
            edits["infra/own.py"] = new('"""The shop\'s own."""\n\n\ndef extend(*_): ...\n')
        case "cli":
            own = exchange("own_environment() { :; }", "own_environment() { echo TABLE=orders; }")
            edits["scripts/own.sh"] = own
    return edits


def everywhere(answers: dict[str, Any]) -> tuple[Edits, set[str]]:
    """A second year's work, and which files of it the next release changes in the same lines."""
    package = str(answers["project_name"]).replace("-", "_")
    modules = [name.replace("-", "_") for name in sorted(answers.get("handlers", {"main": None}))]
    handler = f"src/{package}/handlers/{modules[0]}.py"
    edits: Edits = {
        **in_own_places(answers),
        "Makefile": exchange("PORT ?= 9000", "PORT ?= 9100"),
        "README.md": new(REWRITTEN_README),
        "requirements.txt": lock,
        "requirements-dev.txt": lock,
        handler: new(REWRITTEN_HANDLER),
        f"tests/test_handler_{modules[0]}.py": delete,
        "tests/test_cache.py": delete,
    }
    for module in modules[1:]:  # a sample that nobody wanted, while it is still an answer
        edits[f"src/{package}/handlers/{module}.py"] = delete
        edits[f"tests/test_handler_{module}.py"] = delete
        edits[f"events/{module}.json"] = delete
    return edits, {"README.md", "requirements.txt", handler}


def apply(edits: Edits, directory: Path) -> None:
    """Make the edits."""
    for name, change in edits.items():
        path = directory / name
        text = change(path.read_text() if path.exists() else "")
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)


def work(edits: Edits, project: Path) -> None:
    """Make the edits, and commit them."""
    apply(edits, project)
    commit(project, "Work")
