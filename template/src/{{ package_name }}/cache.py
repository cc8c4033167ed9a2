"""A cache in /tmp, which outlives an invocation but not the execution environment."""

import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any


class FileCache:
    """One JSON value in a file, forgotten after its lifetime.

    It only ever saves work: environments come and go, and each has a /tmp of its own.
    """

    def __init__(self, name: str, lifetime: float, directory: Path | None = None) -> None:
        """Keep the value in `<directory>/<name>.json` (default /tmp) for `lifetime` seconds."""
        self.path = (directory or Path(tempfile.gettempdir())) / f"{name}.json"
        self.lifetime = lifetime

    def get(self) -> Any:
        """Return the value, or None where there is none, or it is too old, or it cannot be read."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            entry = json.loads(self.path.read_bytes())
            if time.time() < entry["expires"]:
                return entry["value"]
        return None

    def put(self, value: Any) -> None:
        """Store a JSON-serializable value in one step, so that no reader finds half of it.

        Raises:
            OSError: /tmp is full or cannot be written to.
        """
        entry = {"value": value, "expires": time.time() + self.lifetime}
        with tempfile.NamedTemporaryFile(
            "w", dir=self.path.parent, prefix=f"{self.path.stem}-", delete=False
        ) as file:
            json.dump(entry, file)
        Path(file.name).replace(self.path)
