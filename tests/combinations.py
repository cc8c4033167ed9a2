"""The combinations that tests render: every pair of choices that can meet stands in a row."""

from __future__ import annotations

from typing import Any, NamedTuple


class Combination(NamedTuple):
    """A row: choices that stand for answers."""

    runtime: str  # managed, or the custom runtime's operating system
    python_version: str
    architecture: str
    mode: str  # single, or how a function chooses its handler
    iac: str
    ci: str

    @property
    def answers(self) -> dict[str, Any]:
        """The answers to give to Copier."""
        answers: dict[str, Any] = {
            "runtime_style": "managed" if self.runtime == "managed" else "custom",
            "python_version": self.python_version,
            "architecture": self.architecture,
            "handler_mode": "single" if self.mode == "single" else "multi",
            "iac": self.iac,
            "ci": self.ci,
        }
        if self.runtime != "managed":
            answers["custom_os"] = self.runtime
        if self.mode != "single":
            answers["handlers"] = {"api": "direct", "send-mail": "direct"}
            answers["handler_selection"] = self.mode
        return answers

    def __str__(self) -> str:
        """The row as the name of a test."""
        return "-".join(self)


# The first twelve differ in runtime style, handler mode and infrastructure.
TABLE = [
    Combination("managed", "3.14", "x86_64", "single", "sam", "github"),
    Combination("managed", "3.12", "arm64", "single", "cdk", "none"),
    Combination("managed", "3.13", "arm64", "single", "cli", "github"),
    Combination("managed", "3.13", "x86_64", "environment", "sam", "none"),
    Combination("managed", "3.12", "x86_64", "command", "cdk", "github"),
    Combination("managed", "3.14", "arm64", "command", "cli", "none"),
    Combination("al2", "3.11", "arm64", "single", "sam", "github"),
    Combination("al2", "3.11", "x86_64", "single", "cdk", "none"),
    Combination("al2023", "3.12", "x86_64", "single", "cli", "github"),
    Combination("al2023", "3.12", "arm64", "environment", "sam", "github"),
    Combination("al2023", "3.13", "arm64", "command", "cdk", "none"),
    Combination("al2", "3.11", "x86_64", "environment", "cli", "none"),
    Combination("al2023", "3.14", "arm64", "environment", "cdk", "github"),
    Combination("al2", "3.11", "arm64", "command", "sam", "github"),
]
CORE = TABLE[:12]

LONGEST_NAMES = {
    "project_name": "a23456789-123456789-123456789-12",
    "handler_mode": "multi",
    "handlers": {"a2345678901234567890": "direct", "b23456789-123456789a": "direct", "c": "direct"},
}
SHORTEST_NAMES = {"project_name": "a"}
