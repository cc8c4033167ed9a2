"""AWS_LAMBDA_MAX_CONCURRENCY: so many processes, each with its own handler, connection and loop."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress

from lambda_runtime import loop

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from types import FrameType

LOG_SOCKET = b"_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"


def fork(api: loop.RuntimeApi) -> None:
    """Return once in each worker; the parent waits for all of them.

    Raises:
        SystemExit: in the parent, when the last worker has ended.
    """
    count = int(loop.env(b"AWS_LAMBDA_MAX_CONCURRENCY") or 1)
    if (loop.env(b"AWS_LAMBDA_LOG_LEVEL") or "").upper() in ("DEBUG", "TRACE"):
        _announce(count)
    sys.stdout.flush()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            api.forgiving = True
            _redirect_output()
            return
        children.append(child)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(1 if any(codes) else 0)


def _announce(count: int) -> None:
    import logging

    logging.getLogger().debug(
        {
            "event": "runtime_worker_pool_initializing",
            "workerCount": count,
            "executionEnvironmentMaxConcurrency": count,
        }
    )


def _redirect_output() -> None:
    """Give standard output and error a connection each to the log collector, where there is one."""
    path = loop.env(LOG_SOCKET)
    if not path:
        return
    for stream in (1, 2):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            os.dup2(sock.fileno(), stream)
