"""Async handlers, SIGTERM, exits, SnapStart, several workers: what frames the invocations."""

from __future__ import annotations

import json
import signal
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from runtime_api import (
    Run,
    RuntimeApi,
    Step,
    answer,
    event,
    interpreters,
    ours,
    run,
    started,
    text,
    theirs,
)

if TYPE_CHECKING:
    from pathlib import Path

EACH = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
HOOKS = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
import os, sys

def say(text, fail="never"):
    print(text)
    if os.environ.get("FAIL") == fail:
        raise {error}

register_before_snapshot(say, "before 1", fail="before")
register_before_snapshot(say, "before 2")
register_after_restore(say, "after 1")
register_after_restore(say, "after 2", fail="after")

def handler(event, context):
    return "answered"
"""


def values(done: Run) -> list[Any]:
    """Bodies of the posts."""
    return [json.loads(post.body) for post in done.posts]


@EACH
def test_async_handlers(python: str) -> None:
    events = [b"1", b'"raise"', b'"thread"', b'"keep"', b'"imported"']
    steps = [event(body, f"id-{i}") for i, body in enumerate(events)]
    done = run(ours(python), "others.coroutine", steps)
    got = values(done)
    assert [got[0], got[2], got[3], got[4]] == [1, "from a thread", "keep", [False, True]]
    assert got[1]["errorType"] == "ValueError"
    assert got[1]["stackTrace"][-1].endswith('raise ValueError("awaited")\n')
    assert "asyncio" not in "".join(got[1]["stackTrace"])


@EACH
def test_a_plain_function_may_return_a_coroutine(python: str) -> None:
    done = run(ours(python), "others.returns_coroutine", [event(b"1"), event(b'{"a": null}', "b")])
    assert values(done) == [1, {"a": None}]


@EACH
def test_start_imports_nothing_heavy(python: str) -> None:
    assert values(run(ours(python), "imported.handler", [event()])) == [[]]


@EACH
def test_each_python_answers(python: str) -> None:
    bodies = [b'{"a": [1, 2.5, "\xc3\xbc", null]}', b"[%b]" % b", ".join([b'{"k": "v"}'] * 90_000)]
    done = run(ours(python), "results.echo", [event(b, f"id-{i}") for i, b in enumerate(bodies)])
    assert [post.body for post in done.posts] == bodies
    errors = run(ours(python), "results.fail", [event(b'"chained"'), event(b'"unicode"', "b")])
    assert [value["errorType"] for value in values(errors)] == ["KeyError", "ValueError"]
    init = run(ours(python), "no_such.handler", [])
    assert values(init)[0]["errorType"] == "Runtime.ImportModuleError"
    logs = run(ours(python), "logs.everything", [event()], AWS_LAMBDA_LOG_FORMAT="JSON")
    records = [json.loads(line) for line in logs.stdout.splitlines() if line.startswith('{"')]
    assert {"extra", "caught it", "level 30"} <= {str(record.get("message")) for record in records}


@EACH
def test_search_path(python: str) -> None:
    env = {"LAMBDA_TASK_ROOT": "/task", "PYTHONPATH": f"{sysconfig.get_path('purelib')}:/b"}
    with tempfile.TemporaryDirectory() as directory:
        handler = "import sys\n\n\ndef handler(event, context):\n    return sys.path\n"
        with open(f"{directory}/where.py", "w") as file:  # noqa: PTH123
            file.write(handler)
        env["PYTHONPATH"] += f":{directory}"
        paths = values(run(ours(python), "where.handler", [event()], **env))[0]
    assert paths[:4] == ["/task", sysconfig.get_path("purelib"), "/b", directory]
    assert paths[4].startswith("/opt/python/lib/python3.")
    assert paths[5] == "/opt/python"
    assert paths.index("/opt/python") < next(
        i for i, p in enumerate(paths) if p.endswith("dynload")
    )
    assert paths[-2].endswith("runtime")
    assert paths[-1].endswith("site-packages")


def stop(
    handler: str, steps: list[Step], asked: int, pause: float = 0, python: str = "", **env: str
) -> tuple[Run, float]:
    """Send SIGTERM when `next` was asked for so often; returns the seconds until the end, too."""
    api = RuntimeApi(steps)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = ours(python) if python else ours()
        try:
            with started(command, handler, api, out, err, **env) as process:
                api.wait(asked)
                time.sleep(pause)
                at = time.monotonic()
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=20)
                took = time.monotonic() - at
        finally:
            api.close()
        done = Run(api.posts, api.requests, text(out), text(err), code, api.connections, api.errors)
    return done, took


@EACH
def test_sigterm_while_idle_runs_exit_hooks(python: str) -> None:
    done, _ = stop("results.echo", [Step(event())], 2, 0.05, python)
    assert (done.code, done.stderr) == (0, "")
    done, _ = stop("others.slow", [Step(event(b"0"))], 2, 0.05, python, AT_EXIT="1")
    assert (done.code, done.stdout, done.stderr) == (0, "atexit ran\n", "")


def test_sigterm_before_the_first_event() -> None:
    done, _ = stop("others.slow", [], 1, 0.05, AT_EXIT="1")
    assert (done.code, done.stdout) == (0, "atexit ran\n")


@pytest.mark.parametrize(("way", "code"), [("exit", 5), ("stay", -9)])
def test_sigterm_goes_to_the_users_handler(way: str, code: int) -> None:
    if way == "exit":
        done, _ = stop("others.slow", [], 1, 0.05, AT_EXIT="1", ON_SIGTERM=way)
        assert done.code == code
        assert done.stdout == "own handler ran\natexit ran\n"
        return
    api = RuntimeApi([])
    with (
        tempfile.TemporaryFile() as out,
        started(ours(), "others.slow", api, out, out, ON_SIGTERM=way) as process,
    ):
        api.wait(1)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="timed out"):
            process.wait(timeout=0.3)
        process.kill()
        assert process.wait() == code
        out.seek(0)
        assert out.read() == b"own handler ran\n"
    api.close()


@EACH
def test_sigterm_does_not_lose_an_invocation(python: str) -> None:
    done, _ = stop("others.slow", [Step(event(b"0.8"))], 1, 0.1, python, AT_EXIT="1")
    assert values(done) == [0.8]
    assert (done.code, done.stdout) == (0, "atexit ran\n")
    assert len(done.requests) == 2, "no further event is asked for"


def test_sigterm_in_the_middle_of_an_event_does_not_lose_it() -> None:
    body = b'"%b"' % (b"x" * 3000)
    done, _ = stop("results.echo", [Step(event(body), pieces=10)], 1, 0.1)
    assert [post.body for post in done.posts] == [body]
    assert done.code == 0


def test_sigterm_in_the_middle_of_a_stream_does_not_break_it() -> None:
    step = Step(event(json.dumps(["large"] * 30).encode()))
    done, _ = stop("others.generator", [step], 1, 0.02)
    assert done.code == 0
    assert [len(post.body) for post in done.posts] in ([30_000_000], [])


def test_sigterm_cancels_the_tasks_of_async_handlers() -> None:
    done, _ = stop("others.coroutine", [Step(event(b'"keep"'))], 2, 0.05)
    assert (done.code, done.stdout, done.stderr) == (0, "task cancelled\n", "")
    done, _ = stop("others.coroutine", [Step(event(b'"thread"'))], 2, 0.05)
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize("attempt", range(10))
def test_sigterm_at_any_moment_loses_nothing(attempt: int) -> None:
    steps = [Step(event(b"%d" % i, f"id-{i}")) for i in range(3000)]
    done, _ = stop("results.echo", steps, 1 + attempt * 40)
    handed_out = sum(request.method == "GET" for request in done.requests)
    assert done.code == 0
    assert handed_out - 1 <= len(done.posts) <= handed_out
    assert [post.body for post in done.posts] == [b"%d" % i for i in range(len(done.posts))]


@pytest.mark.parametrize(("how", "code", "output"), [("sys", 3, ""), ("os", 4, "last words\n")])
def test_exits_of_the_handler(how: str, code: int, output: str) -> None:
    done = run(ours(), "others.exits", [event(b'"fine"'), event(json.dumps(how).encode(), "id-1")])
    assert (done.code, done.stdout) == (code, output)
    assert len(done.posts) == 1


def test_output_is_flushed_before_the_response() -> None:
    done = run(ours(), "others.slow_text", [event(b"0.01")])
    assert done.stdout == "before after"
    assert values(done) == ["done"]


def snapshot(
    tmp_path: Path, command: list[str], error: str = "ValueError('no')", **env: str
) -> Run:
    """Run a function with hooks, in SnapStart's kind of init phase."""
    pytest.importorskip("snapshot_restore_py")
    (tmp_path / "hooked.py").write_text(HOOKS.format(error=error))
    env |= {
        "PYTHONPATH": f"{tmp_path}:{sysconfig.get_path('purelib')}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
    }
    return run(command, "hooked.handler", [event()], **env)


def outline(done: Run) -> list[Any]:
    """What a snapshot's run did."""
    types = [post.headers.get("lambda-runtime-function-error-type") for post in done.posts]
    return [[r.path for r in done.requests], types, done.code]


@EACH
def test_snapshot_hooks(python: str, tmp_path: Path) -> None:
    done = snapshot(tmp_path, ours(python))
    assert done.stdout == "before 2\nbefore 1\nafter 1\nafter 2\n"
    assert [r.path for r in done.requests] == [
        "restore/next", "invocation/next", "invocation/id-0/response", "invocation/next",
    ]  # fmt: skip


@pytest.mark.parametrize("error", ["ValueError('no')", "SystemExit(1)"])
@pytest.mark.parametrize(
    ("fail", "code", "kind"),
    [("before", 64, "Runtime.BeforeSnapshotError"), ("after", 65, "Runtime.AfterRestoreError")],
)
def test_failing_snapshot_hooks(
    fail: str, code: int, kind: str, error: str, tmp_path: Path
) -> None:
    done = snapshot(tmp_path, ours(), error, FAIL=fail)
    assert done.code == code
    assert done.posts[-1].headers["lambda-runtime-function-error-type"] == kind
    assert values(done)[-1]["errorType"] == error.partition("(")[0]
    pytest.importorskip("awslambdaric")
    assert outline(snapshot(tmp_path, theirs(), error, FAIL=fail)) == outline(done)


@EACH
def test_workers_share_the_events(python: str) -> None:
    steps = [event(b"0.2", f"id-{i}") for i in range(8)]
    done = run(ours(python), "others.slow", steps, AWS_LAMBDA_MAX_CONCURRENCY="4")
    assert 2 <= done.connections <= 4
    by_id = Counter(post.path for post in done.posts)
    # The fifth `next` in waiting ends the run, others may still be at work.
    assert set(by_id.values()) == {1}
    assert len(by_id) >= 5


def test_a_worker_survives_what_would_end_a_single_one() -> None:
    steps = [Step(event(b"0"), accept=answer("500 Error")), Step(event(b"0", "id-1"))]
    done = run(ours(), "others.slow", steps, AWS_LAMBDA_MAX_CONCURRENCY="1")
    assert [post.path.split("/")[1] for post in done.posts] == ["id-0", "id-1"]
    assert done.code is None


def test_workers_end_with_sigterm() -> None:
    done, _ = stop("others.slow", [], 3, 0.1, AWS_LAMBDA_MAX_CONCURRENCY="3", AT_EXIT="1")
    assert (done.code, done.stdout) == (0, "atexit ran\n" * 3)


def test_workers_whose_init_fails_end_the_parent() -> None:
    done = run(ours(), "no_such.handler", [], AWS_LAMBDA_MAX_CONCURRENCY="2")
    assert done.code == 1
    assert [post.path for post in done.posts] == ["init/error"] * 2


def test_the_worker_pool_is_announced_at_debug_level() -> None:
    env = {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "AWS_LAMBDA_LOG_FORMAT": "JSON"}
    logs = run(ours(), "others.slow", [event(b"0")], AWS_LAMBDA_LOG_LEVEL="DEBUG", **env).stdout
    assert json.loads(logs.splitlines()[0])["message"]["workerCount"] == 2
    assert run(ours(), "others.slow", [event(b"0")], **env).stdout == ""


def test_this_python_is_among_the_interpreters() -> None:
    assert sys.executable in interpreters().values()
