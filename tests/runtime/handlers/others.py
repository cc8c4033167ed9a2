"""Handlers that stream, await, wait or register hooks."""
# ruff: noqa: ARG001, a handler takes both

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

had_asyncio = "asyncio" in sys.modules


class BrokenError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("broken")


def slow(event: float, context: Any) -> float:
    """Take so many seconds."""
    time.sleep(event)
    return event


def slow_text(event: float, context: Any) -> str:
    """Print in parts, with no line end at last."""
    print("before", end="", flush=False)
    time.sleep(event)
    print(" after", end="")
    return "done"


def repeat(event: int, context: Any) -> str:
    """Return a text of this length."""
    return "x" * event


def exits(event: Any, context: Any) -> Any:
    """End the process in the way of this name."""
    if event == "sys":
        sys.exit(3)
    if event == "os":
        print("last words")
        os._exit(4)
    if event == "error":
        raise ValueError("handled")
    return event


def broken_error(event: Any, context: Any) -> Any:
    """Raise an error whose text cannot be made."""
    raise BrokenError


def no_exception(event: Any, context: Any) -> None:
    """Ask for a traceback where there is none."""
    import logging

    logging.getLogger().error("calm", exc_info=True)  # noqa: LOG014, that is the case


def surrogate(event: Any, context: Any) -> list[str]:
    """Return what JSON can say and UTF-8 cannot."""
    return ["\ud800", "ü"]


def shown(event: Any, context: Any) -> str:
    """Return the context's own description."""
    return repr(context)


def generator(event: list[Any], context: Any) -> Iterator[Any]:
    """Yield what the event lists; text after `raise` is an error, `none` is a chunk of no text."""
    for item in event:
        if item == "raise":
            raise ValueError("in mid-stream Zürich")
        if item == "bytes":
            yield b"\x00\xff"
        elif item == "bytearray":
            yield bytearray(b"array")
        elif item == "view":
            yield memoryview(b"view")
        elif item == "large":
            yield b"x" * 1_000_000
        elif item == "print":
            print("between chunks", end="")
        elif item == "exit":
            os._exit(9)
        else:
            yield item


def returned(event: Any, context: Any) -> Any:
    """Return a generator."""
    return generator(event, context)


async def async_generator(event: list[Any], context: Any) -> AsyncIterator[Any]:
    """Yield the same from async code."""
    import asyncio

    for item in generator(event, context):
        await asyncio.sleep(0)
        yield item


async def awaited_stream(event: list[Any], context: Any) -> Any:
    """Return an async generator from a coroutine."""
    return async_generator(event, context)


def http(event: dict[str, Any], context: Any) -> Any:
    """Stream with a prelude."""
    from lambda_runtime.streaming import HttpStream

    chunks = event.pop("chunks")
    body = async_generator(chunks, context) if event.pop("async", False) else chunks
    if isinstance(body, list) and "raise" in body:
        body = generator(body, context)
    return HttpStream(body, **event)


kept: dict[str, Any] = {}


async def coroutine(event: Any, context: Any) -> Any:
    """Await, raise or keep a task, as the event says."""
    import asyncio

    loop = asyncio.get_running_loop()
    kept.setdefault("loop", loop)
    await asyncio.sleep(0.001)
    if event == "raise":
        raise ValueError("awaited")
    if event == "keep":
        kept["task"] = loop.create_task(forever())
        await asyncio.sleep(0)
    if event == "thread":
        return await loop.run_in_executor(None, lambda: "from a thread")
    if event == "imported":
        return [had_asyncio, kept["loop"] is loop]
    return event


async def forever() -> None:
    """Wait until it is cancelled, and say so."""
    import asyncio

    try:
        await asyncio.sleep(3600)
    finally:
        print("task cancelled")


def returns_coroutine(event: Any, context: Any) -> Any:
    """Return a coroutine from a plain function."""
    return coroutine(event, context)


if os.environ.get("AT_EXIT"):
    import atexit

    atexit.register(print, "atexit ran")
if os.environ.get("ON_SIGTERM"):
    import signal

    def on_sigterm(number: int, frame: object) -> None:
        """Say so and leave, or stay."""
        print("own handler ran")
        if os.environ["ON_SIGTERM"] == "exit":
            sys.exit(5)

    signal.signal(signal.SIGTERM, on_sigterm)
