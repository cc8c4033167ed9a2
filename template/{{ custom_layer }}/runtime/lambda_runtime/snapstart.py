"""SnapStart: hooks of the package snapshot-restore-py, around the snapshot."""

from __future__ import annotations

import sys

from lambda_runtime import failures, loop

BEFORE_FAILED, AFTER_FAILED = 64, 65  # exit codes


def cross(api: loop.RuntimeApi) -> None:
    """Run the hooks; between them the snapshot is taken, and later restored, inside `restore/next`.

    Raises:
        SystemExit: a hook failed.
    """
    try:
        from snapshot_restore_py import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
            get_after_restore,
            get_before_snapshot,
        )

        before, after = get_before_snapshot(), get_after_restore()
    except ImportError:  # without the package nobody can have registered a hook
        before, after = [], []
    try:
        while before:
            function, arguments, keywords = before.pop()  # latest first
            function(*arguments, **keywords)
        request = f"GET {loop.API}restore/next HTTP/1.1\r\n{api.host_header}\r\n".encode()
        status, _, body = api.get(request)
        if status != "200":
            raise OSError(f"restore/next was answered {status}: {bytes(body)!r}")
        api.close()  # the restored environment is another machine
    except BaseException as error:
        _fail(api, "init/error", error, "Runtime.BeforeSnapshotError", BEFORE_FAILED)
    try:
        for function, arguments, keywords in after:
            function(*arguments, **keywords)
    except BaseException as error:
        _fail(api, "restore/error", error, "Runtime.AfterRestoreError", AFTER_FAILED)


def _fail(api: loop.RuntimeApi, path: str, error: BaseException, kind: str, code: int) -> None:
    body = failures.describe(error)
    failures.log(body)
    failures.send_error(api, path, body, kind)
    sys.exit(code)
