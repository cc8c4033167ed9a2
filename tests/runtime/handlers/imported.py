"""A handler that tells what the runtime had imported before it."""
# ruff: noqa: ARG001, a handler takes both

import sys

AT_START = set(sys.modules)
HEAVY = ("asyncio", "json", "logging", "typing", "traceback", "os", "re", "http", "site", "signal")


def handler(event: object, context: object) -> list[str]:
    """Return which modules were there that take long to import."""
    return [name for name in HEAVY if name in AT_START]
