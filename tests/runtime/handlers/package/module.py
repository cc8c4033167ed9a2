"""A module in a package."""
# ruff: noqa: ARG001, ARG002, a handler takes both

from __future__ import annotations

from typing import Any


def handler(event: Any, context: Any) -> str:
    """Return the module's name."""
    return __name__


class Callable:
    """A handler that is an object."""

    def __call__(self, event: Any, context: Any) -> str:
        """Return the class's name."""
        return type(self).__name__


instance = Callable()
text = "not callable"
