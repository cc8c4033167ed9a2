"""The root handler of `logging`: lines that carry the request id, in UTC."""

from __future__ import annotations

import logging
import time

from lambda_runtime import loop, telemetry


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
        if json_format:
            from lambda_runtime.json_logs import JsonFormatter

            self.setFormatter(JsonFormatter())
        else:
            self.setFormatter(TextFormatter())
        self.addFilter(add_ids)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            level = telemetry.rounded(record.levelno) if self.levels else 0
            kind = telemetry.frame_type(level, self.json_format)
            telemetry.write(self.format(record), kind)
        except Exception:
            self.handleError(record)


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
