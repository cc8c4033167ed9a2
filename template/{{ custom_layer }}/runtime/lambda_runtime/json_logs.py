"""Log records as JSON, in the fields of the managed runtimes."""

from __future__ import annotations

import json
import logging
import traceback

from lambda_runtime import telemetry

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from typing import Any

# Attributes of every record; any other was given by `extra=` and belongs into the JSON.
STANDARD = {
    *vars(logging.makeLogRecord({})),
    "aws_request_id",
    "tenant_id",
} - {"taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line, with its line end."""
        fields: dict[str, Any] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": logging.getLevelName(telemetry.rounded(record.levelno)),
            "message": record.msg
            if isinstance(record.msg, dict) and not record.args
            else record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", None),
            "tenantId": getattr(record, "tenant_id", None),
        }
        if record.exc_info and record.exc_info[0]:
            kind, error, trace = record.exc_info
            fields["stackTrace"] = traceback.format_tb(trace)
            fields["errorType"] = kind.__name__
            fields["errorMessage"] = str(error)
            fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        for name, value in vars(record).items():
            if name not in STANDARD:
                fields.setdefault(name, value)
        fields = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(fields, ensure_ascii=False, default=str) + "\n"
