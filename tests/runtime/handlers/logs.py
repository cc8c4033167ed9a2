"""Handlers that write logs."""
# ruff: noqa: ARG001, a handler takes both

from __future__ import annotations

import logging
import sys
from typing import Any

logger = logging.getLogger("app.part")
logging.getLogger().warning("at import")


def levels(event: Any, context: Any) -> None:
    """Log at each level, between and beyond them."""
    for level in (1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60):
        logger.log(level, "level %d", level)


def every_level(event: Any, context: Any) -> None:
    """The same with the logger's own level set."""
    logger.setLevel(1)
    levels(event, context)


def values(event: Any, context: Any) -> None:
    """Log messages of all kinds."""
    logger.warning("text %s %d", "with", 2)
    logger.warning("Zürich 東京 🎉")
    logger.warning("two\nlines")
    logger.warning({"an": "object", "of": [1, object]})
    logger.warning({"an": "object %s"}, "argument")
    logger.warning(42)
    logger.warning("")
    logger.warning("extra", extra={"order": 7, "what": {"a": (1, 2)}, "when": object, "none": None})
    logger.warning("stack", stack_info=False)
    logging.getLogger().error("root")


def errors(event: Any, context: Any) -> None:
    """Log an exception."""
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("caught %s", "it")


def prints(event: Any, context: Any) -> None:
    """Write around logging."""
    print("printed", 1)
    print("no end", end="")
    print("Zürich 東京")
    sys.stdout.write("written\n")
    context.log("by the context\n")
    context.log({"no": "text"})
    print()
    print("to stderr", file=sys.stderr)


def handlers(event: Any, context: Any) -> Any:
    """Say what is set up."""
    root = logging.getLogger()
    return {
        "level": root.level,
        "handlers": len(root.handlers),
        "utc": logging.Formatter.converter.__name__,
        "basic": logging.basicConfig(level="DEBUG"),
        "level_after": root.level,
    }


def fail(event: Any, context: Any) -> Any:
    """Raise after logging."""
    logger.info("before")
    raise ValueError("two\n    lines Zürich")


def formatter(event: Any, context: Any) -> None:
    """Use a format of one's own on the root's handler, with the fields that it adds to records."""
    text = logging.Formatter("%(levelname)s %(aws_request_id)s %(tenant_id)s %(message)s\n")
    logging.getLogger().handlers[0].setFormatter(text)
    logger.warning("formatted")


def everything(event: Any, context: Any) -> None:
    """Log in every way; the last raises."""
    for function in (levels, values, errors, prints, every_level, fail):
        function(event, context)
