"""The root handler of `logging`: text or JSON lines that carry the request id, in UTC."""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

from lambda_runtime import loop, telemetry

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
            "level": logging.getLevelName(rounded(record.levelno)),
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


class TextFormatter(logging.Formatter):
    """Level, time, request id and message, separated by tabs."""

    def __init__(self) -> None:
        """Use the columns of the managed runtimes."""
        super().__init__(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
            "%Y-%m-%dT%H:%M:%S",
        )

    def format(self, record: logging.LogRecord) -> str:
        """Make the line, with its line end."""
        return super().format(record) + "\n"


class LambdaHandler(logging.Handler):
    """Adds the ids of the invocation to each record and writes it to Lambda's log."""

    def __init__(self, json_format: bool, levels: bool) -> None:
        """Take the format, and whether frames tell the record's level."""
        super().__init__()
        self.json_format = json_format
        self.levels = levels
        self.setFormatter(JsonFormatter() if json_format else TextFormatter())
        self.addFilter(add_ids)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            level = rounded(record.levelno) if self.levels else 0
            kind = telemetry.frame_type(level, self.json_format)
            telemetry.write(self.format(record), kind)
        except Exception:
            self.handleError(record)


def rounded(level: int) -> int:
    """Round a level down to one that has a name, 0 to 50."""
    return min(50, max(0, level)) // 10 * 10


def add_ids(record: logging.LogRecord) -> bool:
    """Add the request id and the tenant id of the latest invocation."""
    context = loop.context
    record.aws_request_id = context.aws_request_id if context else ""
    record.tenant_id = context.tenant_id if context else None
    return True


def install() -> None:
    """Add the handler to the root logger and set the level that the function asks for."""
    logging.Formatter.converter = time.gmtime
    level = (loop.env(b"AWS_LAMBDA_LOG_LEVEL") or "").upper()
    level = "DEBUG" if level == "TRACE" else level
    json_format = telemetry.json_format
    root = logging.getLogger()
    root.addHandler(LambdaHandler(json_format, json_format or bool(level)))
    if level in logging.getLevelNamesMapping():
        root.setLevel(level)
