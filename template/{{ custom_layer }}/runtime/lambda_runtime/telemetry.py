"""Where log messages go: standard output, or frames on a descriptor that Lambda hands over.

A frame is 4 bytes of type, 4 of length, 8 of microseconds since 1970, all big-endian, and the
message. The type says the format (text or JSON) and the level, so that Lambda can filter.
"""

from __future__ import annotations

import posix
import sys
import time

from lambda_runtime import loop

TEXT_FRAME = 0xA55A0003  # of level NOTSET; each level adds 4 once 8 were added for having one
JSON_FRAME = 0xA55A0002


def _descriptor() -> int | None:
    value = posix.environ.pop(b"_LAMBDA_TELEMETRY_LOG_FD", None)
    if value is None:
        return None
    posix.unsetenv(b"_LAMBDA_TELEMETRY_LOG_FD")
    return int(value)


descriptor = _descriptor()
json_format = (loop.env(b"AWS_LAMBDA_LOG_FORMAT") or "").upper() == "JSON"


def frame_type(level: int = 0, json: bool = False) -> int:
    """Give the frame type of a level as `logging` counts them (0, 10 … 50)."""
    base = JSON_FRAME if json else TEXT_FRAME
    return base + (4 + 4 * (level // 10) if level else 0)


def rounded(level: int) -> int:
    """Round a level down to one that has a name, 0 to 50."""
    return min(50, max(0, level)) // 10 * 10


def write(message: str, kind: int = TEXT_FRAME) -> None:
    """Write one message; on standard output it ends where its own line end is."""
    if descriptor is None:
        sys.stdout.write(message)
        return
    data = message.encode("utf-8", "backslashreplace")
    now = time.time_ns() // 1000
    frame = kind.to_bytes(4, "big") + len(data).to_bytes(4, "big") + now.to_bytes(8, "big") + data
    view = memoryview(frame)
    while view:
        view = view[posix.write(descriptor, view) :]


def now() -> str:
    """Time stamp of a JSON record, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
