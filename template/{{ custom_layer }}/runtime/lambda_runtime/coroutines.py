"""Async handlers: one event loop for the life of the process, so that clients can be kept in it.

The loop runs while an invocation does. Tasks that a handler leaves behind rest until the next one.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from typing import Any

runner = asyncio.Runner()


def run(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable to its end; returns its result or raises its exception."""
    return runner.get_loop().run_until_complete(awaitable)


def iterate(chunks: AsyncIterator[Any]) -> Iterator[Any]:
    """Step through an async iterator from code that is not async."""
    try:
        while True:
            try:
                chunk = run(anext(chunks))
            except StopAsyncIteration:
                return
            yield chunk
    finally:
        if hasattr(chunks, "aclose"):
            run(chunks.aclose())


def close() -> None:
    """Cancel the tasks left and close the loop."""
    runner.close()
