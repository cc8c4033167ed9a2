"""Response streaming: chunks go to the caller as a generator yields them.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import chain, islice

from lambda_runtime import loop

TYPE_CHECKING = False  # typing costs 2 ms
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
    from typing import Any

    from lambda_runtime.loop import RuntimeApi

HTTP_TYPE = "application/vnd.awslambda.http-integration-response"
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
END_OF_PRELUDE = bytes(8)


class HttpStream:
    """A streamed response of a Function URL, with HTTP status, headers and cookies.

    Return it from a handler whose Function URL has the invoke mode RESPONSE_STREAM.
    """

    def __init__(
        self,
        body: Iterable[bytes | str] | AsyncIterable[bytes | str] | bytes | str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        cookies: Iterable[str] = (),
    ) -> None:
        """Take the response's parts.

        Args:
            body: chunks, from a generator of either kind or any other iterable; text goes out as
                UTF-8.
            status: HTTP status code.
            headers: HTTP headers by name, each with one value.
            cookies: values of `Set-Cookie` headers.
        """
        self.body = [body] if isinstance(body, (bytes, str)) else body
        self.status = status
        self.headers = dict(headers or {})
        self.cookies = list(cookies)

    def http_prelude(self) -> bytes:
        """Make what goes before the body: JSON, and the bytes that end it."""
        parts = {"statusCode": self.status, "headers": self.headers, "cookies": self.cookies}
        return json.dumps(parts).encode() + END_OF_PRELUDE


def begin(result: Any) -> tuple[Stream, str]:
    """Make the first chunk, while an error can still go to the caller as one of the invocation.

    Returns:
        The stream and its content type.

    Raises:
        Exception: whatever the generator's first step raised.
    """
    if isinstance(result, HttpStream):
        return Stream(result.body, result.http_prelude()), HTTP_TYPE
    return Stream(result), "application/octet-stream"


class Stream:
    """A response on its way, chunk by chunk."""

    def __init__(self, chunks: Any, prelude: bytes = b"") -> None:
        """Take an iterable or async iterable of chunks, and make the first."""
        if hasattr(chunks, "__aiter__"):
            from lambda_runtime import coroutines

            chunks = coroutines.iterate(aiter(chunks))
        self.chunks: Iterator[bytes | str] = iter(chunks)
        self.first = [prelude, *map(encoded, islice(self.chunks, 1))]

    def send(self, api: RuntimeApi, request_id: str, lines: str) -> None:
        """Send head, chunks, and trailers that tell of an error where there was one.

        Raises:
            OSError: the connection was lost.
        """
        path = f"invocation/{request_id}/response"
        lines += (
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            "Transfer-Encoding: chunked\r\n"
            f"Trailer: {ERROR_TYPE}, {ERROR_BODY}\r\n"
        )
        head = api.post_head(path, lines)
        sock = api.ready()
        trailers = b""
        try:
            for chunk in chain(self.first, self.rest(request_id)):
                if isinstance(chunk, Trailers):
                    trailers = chunk.lines
                elif chunk:  # an empty one would end the response
                    sock.sendall(b"%b%x\r\n%b\r\n" % (head, len(chunk), chunk))
                    head = b""
            loop.flush_output()
            sock.sendall(head + b"0\r\n" + trailers + b"\r\n")
        except OSError:
            if not api.has_input():
                raise
        api.check(path)

    def rest(self, request_id: str) -> Iterator[bytes | Trailers]:
        """Yield the further chunks, and trailers when the generator raises."""
        try:
            for chunk in self.chunks:
                yield encoded(chunk)
        except Exception as error:
            from lambda_runtime import failures

            body = failures.describe(error, request_id)
            failures.log(body)
            yield Trailers(failures.kind(body), json.dumps(body).encode())


class Trailers:
    """The end of a response that an error has cut short."""

    def __init__(self, kind: str, body: bytes) -> None:
        """Take the error's type and its JSON."""
        text = f"{ERROR_TYPE}: {kind}\r\n{ERROR_BODY}: {b64encode(body).decode()}\r\n"
        self.lines = text.encode()


def encoded(chunk: Any) -> bytes:
    """Make bytes of a chunk.

    Raises:
        TypeError: neither text nor bytes.
    """
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"a streamed chunk is bytes or str, not {type(chunk).__name__}")
