"""A Runtime API that misbehaves: the runtime recovers, or exits, and does neither twice."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import pytest
from runtime_api import ACCEPTED, Run, RuntimeApi, Step, answer, chunked, event, ours, run

FIRST, SECOND = event(b'"first"', "id-1"), event(b'"second"', "id-2")
LARGE = event(b'"%b"' % (b"x" * 6_000_000), "id-1")
LATER = Step(SECOND)
HEAD_ONLY = FIRST[: FIRST.index(b"\r\n\r\n")]
CLOSING = answer("202 Accepted", Connection="close")


@dataclass
class Fault:
    """What the Runtime API does, and what the runtime is to have answered."""

    steps: list[Step]
    answered: list[str]  # request ids of the posts, in order; `!` marks an error
    code: int | None = None  # exit status; None: it waits for the next event
    says: str = ""  # on standard error
    handler: str = "results.echo"


FAULTS = {
    # The connection ends while nothing has arrived: open another.
    "idle drop": Fault([Step(drop=True), LATER], ["id-2"]),
    "idle drops": Fault([Step(drop=True)] * 3 + [LATER], ["id-2"]),
    "idle drop between events": Fault([Step(FIRST), Step(drop=True), LATER], ["id-1", "id-2"]),
    "idle drops without end": Fault([Step(drop=True)] * 50, [], 1, "closed the connection"),
    # It ends in the middle of an event: nobody knows whose it was.
    "half a status line": Fault([Step(b"HTTP/1", drop=True), LATER], [], 1, "closed"),
    "half a head": Fault([Step(HEAD_ONLY, drop=True), LATER], [], 1, "closed"),
    "half a body": Fault([Step(LARGE[:3_000_000], drop=True), LATER], [], 1, "closed"),
    "half a chunk": Fault([Step(chunked(LARGE)[:99_999], drop=True), LATER], [], 1, "closed"),
    "no last chunk": Fault([Step(chunked(FIRST)[:-5], drop=True), LATER], [], 1, "closed"),
    # An event with a wrong length.
    "length too large": Fault(
        [Step(event(b'"a"', "id-1", Content_Length="9"), drop=True), LATER], [], 1, "closed"
    ),
    "length too small": Fault(
        [Step(event(b'"first"', "id-1", Content_Length="3")), LATER], ["!id-1", "id-2"]
    ),
    "length no number": Fault(
        [Step(event(b'"a"', "id-1", Content_Length="three")), LATER], [], 1, "ValueError"
    ),
    "length negative": Fault(
        [Step(event(b'"a"', "id-1", Content_Length="-3")), LATER], [], 1, "ValueError"
    ),
    "no length": Fault([Step(event(b"", "id-1", Content_Length=None)), LATER], ["!id-1", "id-2"]),
    "chunk size no number": Fault(
        [Step(chunked(FIRST).replace(b"\r\n7\r\n", b"\r\nxx\r\n")), LATER], [], 1, "ValueError"
    ),
    "chunk size negative": Fault(
        [Step(chunked(FIRST).replace(b"\r\n7\r\n", b"\r\n-7\r\n")), LATER], [], 1, "ValueError"
    ),
    # Not what the Runtime API speaks.
    "no HTTP": Fault([Step(b"220 smtp.example.com ESMTP\r\n\r\n"), LATER], [], 1, "not an HTTP"),
    "newer HTTP": Fault([Step(b"HTTP/2 200\r\n\r\n"), LATER], [], 1, "not an HTTP"),
    "no request id": Fault(
        [Step(event(b"1", Lambda_Runtime_Aws_Request_Id=None)), LATER], [], 1, "request-id"
    ),
    "next 403": Fault([Step(answer("403 Forbidden", b"no")), LATER], [], 1, "403"),
    "next 500": Fault([Step(answer("500 Internal Server Error")), LATER], [], 1, "500"),
    "next 413": Fault([Step(answer("413 Too Large")), LATER], [], 1, "413"),
    # The response is refused.
    "413": Fault(
        [Step(FIRST, accept=answer("413 Too Large", b"big")), LATER], ["id-1", "id-2"], None, "413"
    ),
    "413 for an error": Fault(
        [Step(FIRST, accept=answer("413 Too Large")), LATER],
        ["!id-1", "!id-2"],
        None,
        "413",
        "others.broken_error",
    ),
    "413 before the body": Fault(
        [Step(LARGE, early=answer("413 Too Large")), LATER], ["id-1", "id-2"], None, "413"
    ),
    "400": Fault([Step(FIRST, accept=answer("400 Bad Request")), LATER], ["id-1"], 1, "400"),
    "403": Fault([Step(FIRST, accept=answer("403 Forbidden")), LATER], ["id-1"], 1, "403"),
    "500": Fault([Step(FIRST, accept=answer("500 Error")), LATER], ["id-1"], 1, "500"),
    "403 for an error": Fault(
        [Step(FIRST, accept=answer("403 Forbidden")), LATER],
        ["!id-1"],
        1,
        "403",
        "others.broken_error",
    ),
    # The connection ends around the response: it may have arrived, so it is not sent again.
    "no answer to a response": Fault(
        [Step(FIRST, accept=b"", drop_post=True), LATER], ["id-1"], 1, "closed"
    ),
    "half an answer": Fault(
        [Step(FIRST, accept=b"HTTP/1.1 202", drop_post=True), LATER], ["id-1"], 1, "closed"
    ),
    "answer no HTTP": Fault([Step(FIRST, accept=b"OK\r\n\r\n"), LATER], ["id-1"], 1, "not an HTTP"),
    "half a response": Fault([Step(LARGE, read_only=99_999), LATER], ["id-1"], 1, "Error"),
    # The connection ends where nothing is lost by it.
    "drop while the handler runs": Fault(
        [Step(event(b"0.1", "id-1"), drop=True), Step(event(b"0", "id-2"))],
        ["id-1", "id-2"],
        handler="others.slow",
    ),
    "close after the event": Fault(
        [Step(event(b"1", "id-1", Connection="close"), drop=True), LATER], ["id-1", "id-2"]
    ),
    "close after the response": Fault(
        [Step(FIRST, accept=CLOSING, drop_post=True), LATER], ["id-1", "id-2"]
    ),
    "drop after the response": Fault([Step(FIRST, drop_post=True), LATER], ["id-1", "id-2"]),
    # More than an answer: nothing of it may be taken for the next event.
    "a second event behind the first": Fault(
        [Step(FIRST + event(b'"x"', "evil")), LATER], ["id-1", "id-2"]
    ),
    "an event behind an answer": Fault(
        [Step(FIRST, accept=ACCEPTED + event(b'"x"', "evil")), LATER], ["id-1", "id-2"]
    ),
    "more behind an answer than is read at once": Fault(
        [Step(FIRST, accept=ACCEPTED + event(b"x" * 500_000, "evil")), LATER], ["id-1", "id-2"]
    ),
    # Slow networks.
    "single bytes": Fault([Step(FIRST, pieces=1), LATER], ["id-1", "id-2"]),
    "chunks in pieces": Fault([Step(chunked(FIRST, 1, 2), pieces=3), LATER], ["id-1", "id-2"]),
    "trailers": Fault(
        [Step(chunked(FIRST, trailer=b"A: b\r\n"), pieces=5), LATER], ["id-1", "id-2"]
    ),
    "large in pieces": Fault([Step(LARGE, pieces=100_003), LATER], ["id-1", "id-2"]),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_faults(fault: Fault) -> None:
    done = run(ours(), fault.handler, list(fault.steps))
    assert answered(done) == fault.answered
    assert done.code == fault.code
    assert fault.says in done.stderr
    assert len(done.requests) <= 10, "it spins"
    right = {
        "id-1": (b'"first"', b'"%b"' % (b"x" * 6_000_000), b"0.1", b"1"),
        "id-2": (b'"second"', b"0"),
    }
    for post in done.posts:
        request_id, kind = post.path.split("/")[1:]
        if kind == "response" and post.body:
            assert post.body in right[request_id], "another request's result"


def answered(done: Run) -> list[str]:
    """Request ids of the posts, `!` before those of errors."""
    paths = [post.path.split("/") for post in done.posts]
    return [("!" if path[2] == "error" else "") + path[1] for path in paths]


@pytest.mark.parametrize(
    "accept",
    [answer("403 Forbidden"), answer("500 Error"), b"junk\r\n\r\n"],
    ids=["403", "500", "junk"],
)
def test_an_init_error_that_is_refused_ends_the_runtime(
    accept: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime_api.ACCEPTED", accept)
    done = run(ours(), "no_such_module.handler", [])
    assert [post.path for post in done.posts] == ["init/error"]
    assert done.code == 1


def test_without_a_runtime_api_it_gives_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = run(ours(), "results.echo", [], AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{port}")
    assert done.code == 1
    assert "refused" in done.stderr


def test_the_connection_is_kept() -> None:
    events = [event(b"%d" % i, f"id-{i}") for i in range(20)]
    done = run(ours(), "results.echo", list(events))
    assert done.connections == 1
    assert [post.body for post in done.posts] == [b"%d" % i for i in range(20)]


def test_the_server_itself_is_strict() -> None:
    api = RuntimeApi([])
    with socket.create_connection(("127.0.0.1", int(api.address.split(":")[1]))) as sock:
        sock.sendall(
            b"POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"
        )
        assert sock.recv(10) == b""
    api.close()
    assert api.errors == ["ValueError: a chunk that does not end where its size says"]
