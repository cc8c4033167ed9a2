"""Results that are no plain JSON types: bytes, awaitables, streams, and what `codec` knows."""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, GeneratorType

from lambda_runtime import loop

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from typing import Any

    from lambda_runtime.streaming import Stream


def prepare(result: Any) -> tuple[bytes | Stream, str]:
    """Turn a handler's result into an answer and its content type.

    Raises:
        Fault: Runtime.MarshalError.
        Exception: whatever a coroutine, or the first step of a generator, raised.
    """
    if hasattr(type(result), "__await__"):
        from lambda_runtime import coroutines

        result = coroutines.run(result)
    if isinstance(result, bytes):
        return bytes(result), "application/unknown"
    streaming = sys.modules.get("lambda_runtime.streaming")  # there can be no HttpStream before
    if isinstance(result, (GeneratorType, AsyncGeneratorType)) or (
        streaming and isinstance(result, streaming.HttpStream)
    ):
        from lambda_runtime.streaming import begin

        return begin(result)
    return loop.encode(result), "application/json"
