"""Results that are not plain JSON types: bytes, awaitables, streams, and whatever JSON can make of."""

from __future__ import annotations

from typing import Any

from lambda_runtime import loop


def prepare(result: Any) -> tuple[Any, str]:
    """Turn a handler's result into an answer (bytes, or a stream to send) and its content type.

    Raises:
        Fault: Runtime.MarshalError.
        Exception: whatever a coroutine or the first step of a generator raised.
    """
    if isinstance(result, bytes):
        return bytes(result), "application/unknown"
    return loop.encode(result), "application/json"
