"""A container registry in memory, on loopback: it tells what a push uploads."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

BLOB = re.compile(r"/v2/.+/blobs/(sha256:\w+)")
UPLOAD = re.compile(r"/v2/.+/blobs/uploads/([^?]*)(?:\?digest=(\S+))?")
MANIFEST = re.compile(r"/v2/.+/manifests/(\S+)")


class Registry:
    """A context manager; the engine on this machine takes it without TLS, as it is on loopback.

    Source: "Open Container Initiative Distribution Specification" 1.1, the push workflow.

    Attributes:
        address: `host:port`, the first part of an image's name.
        uploads: The digests of the blobs that were uploaded, in order; clear it between pushes.
        manifests: What was pushed: tag or digest -> media type and content.
    """

    def __init__(self) -> None:
        self.uploads: list[str] = []
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.unfinished: dict[str, bytearray] = {}
        registry = self

        class Handler(_Handler):
            state = registry

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def do_GET(self) -> None:
        if blob := BLOB.fullmatch(self.path):
            content = self.state.blobs.get(blob[1])
            if content is None:
                self.answer(404)
            else:
                self.answer(200, content, Docker_Content_Digest=blob[1])
        elif manifest := MANIFEST.fullmatch(self.path):
            kind, content = self.state.manifests.get(manifest[1], ("", b""))
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.answer(
                200 if kind else 404, content, Content_Type=kind, Docker_Content_Digest=digest
            )
        else:
            self.answer(200)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.body()
        name = uuid.uuid4().hex
        self.state.unfinished[name] = bytearray()
        self.answer(202, Location=f"{self.path.partition('?')[0]}{name}", Range="0-0")

    def do_PATCH(self) -> None:
        upload = UPLOAD.fullmatch(self.path)
        assert upload
        content = self.state.unfinished[upload[1]]
        content += self.body()
        self.answer(202, Location=self.path, Range=f"0-{len(content) - 1}")

    def do_PUT(self) -> None:
        content = self.body()
        if upload := UPLOAD.fullmatch(self.path):
            content = bytes(self.state.unfinished.pop(upload[1])) + content
            digest = upload[2].replace("%3A", ":")
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.state.blobs[digest] = content
            self.state.uploads.append(digest)
        else:
            manifest = MANIFEST.fullmatch(self.path)
            assert manifest
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            for name in (manifest[1], digest):
                self.state.manifests[name] = (self.headers["Content-Type"], content)
        self.answer(201, Docker_Content_Digest=digest)
