"""What goes wrong: error bodies, init errors, refusals and lost connections of the Runtime API."""

from __future__ import annotations

import json
import os
import posix
import sys
import time
import traceback

from lambda_runtime import loop, telemetry

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from typing import Any, NoReturn

NOT_OF_THE_USER = (
    __file__.rpartition("/")[0] + "/",
    os.__file__.rpartition("/")[0] + "/asyncio/",  # runs async handlers
)
MAX_CAUSE = 1024 * 1024  # bytes of Lambda-Runtime-Function-XRay-Error-Cause
ATTEMPTS = 5  # to reach the Runtime API again
FIRST_PAUSE = 0.1  # seconds before the second attempt; each further pause is twice as long


class Fault(Exception):  # noqa: N818, not an error of the user's code
    """An error with a type of the Runtime's own, such as Runtime.MarshalError."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        """Take the error type, a sentence, and the lines of `stackTrace` where there are any."""
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


def bad_handler_name(name: str) -> Fault:
    """Say why the handler's name cannot be one."""
    if "." not in name:
        return Fault("Runtime.MalformedHandlerName", f"Handler '{name}' is not module.function")
    return Fault(
        "Runtime.BuiltInModuleConflict", f"Handler '{name}' names a module built into Python"
    )


def no_handler(module: str, function: str) -> Fault:
    """Say that the module has no such function."""
    return Fault("Runtime.HandlerNotFound", f"Module '{module}' has no handler '{function}'")


def frames_of(error: BaseException) -> list[traceback.FrameSummary]:
    """List an error's frames, outermost first, from where the user's code begins."""
    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and frames[0].filename.startswith(NOT_OF_THE_USER):
        del frames[0]
    return frames


def message_of(error: BaseException) -> str:
    """Give an error's text, even when its `__str__` is broken."""
    try:
        return str(error)
    except Exception as broken:
        return f"<{type(error).__name__} whose text raised {type(broken).__name__}>"


def describe(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """Make the body that Lambda hands to the caller: type, message, request id, stack trace."""
    if isinstance(error, Fault):
        kind, trace = error.kind, error.trace
    else:
        # Tuples have no columns: no lines of carets under the source.
        rows = [(f.filename, f.lineno, f.name, f.line) for f in frames_of(error)]
        kind, trace = type(error).__name__, traceback.format_list(rows)  # type: ignore[arg-type]
    return {
        "errorMessage": message_of(error),
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": trace,
    }


def cause(error: BaseException) -> str:
    """Make the X-Ray cause, one line of ASCII, empty when it would be over 1 MiB."""
    fault = isinstance(error, Fault)
    frames = [] if fault else frames_of(error)
    text = json.dumps(
        {
            "working_directory": working_directory(),
            "exceptions": [
                {
                    "message": message_of(error),
                    "type": "LambdaValidationError" if fault else type(error).__name__,
                    "stack": [
                        {"label": f.name, "path": f.filename, "line": f.lineno} for f in frames
                    ],
                }
            ],
            "paths": list(dict.fromkeys(f.filename for f in frames)),
        }
    )
    return text if len(text) < MAX_CAUSE else ""


def working_directory() -> str:
    """Give the current directory, empty when it has been deleted."""
    try:
        return posix.getcwd()
    except OSError:
        return ""


def log(body: dict[str, Any]) -> None:
    """Write an error to the log, in the function's log format."""
    if telemetry.json_format:
        record = {"timestamp": telemetry.now(), "level": "ERROR", **body}
        telemetry.write(
            loop.encode(record).decode() + ("" if telemetry.descriptor is not None else "\n"),
            telemetry.frame_type(40, json=True),
        )
        return
    text = ": ".join(filter(None, (body["errorType"], body["errorMessage"])))
    lines = [f"[ERROR] {text}", "Traceback (most recent call last):"]
    for entry in body["stackTrace"]:
        for line in entry.splitlines():
            bare = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(bare)) + bare)
    if telemetry.descriptor is not None:
        telemetry.write("\n".join(lines), telemetry.frame_type(40))
    else:  # one event in CloudWatch Logs: a carriage return does not end it, and indents survive
        telemetry.write("\r".join(lines) + "\n")


def report(api: loop.RuntimeApi, headers: dict[str, str], error: Exception) -> None:
    """Log an error of an invocation and send it to the caller."""
    request_id = headers["lambda-runtime-aws-request-id"]
    body = describe(error, request_id)
    log(body)
    lines = (
        f"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: {kind(body)}\r\n"
    )
    if xray := cause(error):
        lines += f"Lambda-Runtime-Function-XRay-Error-Cause: {xray}\r\n"
    if "lambda-runtime-invocation-id" in headers:
        lines += f"Lambda-Runtime-Invocation-Id: {headers['lambda-runtime-invocation-id']}\r\n"
    loop.flush_output()
    api.post(f"invocation/{request_id}/error", loop.encode(body), lines)


def kind(body: dict[str, Any]) -> str:
    """Give the error type as a header may carry it: ASCII, one line."""
    return ascii(body["errorType"])[1:-1]


def init_failed(api: loop.RuntimeApi, error: BaseException) -> NoReturn:
    """Log and send an error of the init phase, and exit with 1."""
    name = loop.env(b"_HANDLER") or ""
    module = name.rpartition(".")[0]
    if isinstance(error, ImportError):
        error = Fault("Runtime.ImportModuleError", f"Cannot import module '{module}': {error}")
    elif isinstance(error, SyntaxError):
        line = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        error = Fault(
            "Runtime.UserCodeSyntaxError", f"Module '{module}' is not Python: {error}", [line]
        )
    body = describe(error)
    log(body)
    send_error(api, "init/error", body, kind(body))
    sys.exit(1)


def send_error(api: loop.RuntimeApi, path: str, body: dict[str, Any], error_type: str) -> None:
    """Post an error that belongs to no invocation; the process ends after it, sent or not."""
    lines = (
        f"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: {error_type}\r\n"
    )
    loop.flush_output()
    try:
        api.post(path, loop.encode(body), lines)
    except (OSError, ValueError) as error:
        complain(f"{path} could not be sent: {error}")


def refused(api: loop.RuntimeApi, path: str, status: str, answer: memoryview) -> None:
    """React to a status that is no success: go on after 413, which is about one response only.

    Raises:
        SystemExit: any other, for example 403 after a broken request, 500 in a dying environment.
    """
    text = str(answer[:1000], "utf-8", "replace").strip()
    complain(f"the Runtime API answered {status} to {path}: {text}")
    if path == "invocation/next" or not (status == "413" or api.forgiving):
        sys.exit(1)


def reconnect(api: loop.RuntimeApi, error: OSError) -> None:
    """Open a lost connection again, with growing pauses, as long as no event has begun to arrive.

    Raises:
        OSError: the connection was lost in an event, or too often in a row.
    """
    api.close()
    if api.buffer[0] != loop.IDLE or api.drops >= ATTEMPTS:
        raise error
    if api.drops:
        time.sleep(FIRST_PAUSE * 2 ** (api.drops - 1))
    api.drops += 1


def lost(api: loop.RuntimeApi, error: Exception) -> None:
    """Exit because it is unknown what the Runtime API has or wants; Lambda starts anew.

    Raises:
        SystemExit: unless this is one of several workers and could still answer the next event.
    """
    complain(f"{type(error).__name__}: {error}")
    api.close()
    api.drops += 1
    if not api.forgiving or api.drops > ATTEMPTS:
        sys.exit(1)


def complain(text: str) -> None:
    """Write a sentence of the runtime's own to standard error."""
    print(f"[runtime] {text}", file=sys.stderr, flush=True)
