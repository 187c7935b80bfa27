"""An HTTP server that answers S3 requests as a test says: with errors, late, or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.storage.servers import S3Bucket


@dataclass(frozen=True)
class Answer:
    """``cut``: bytes of the body that are sent before the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def error(status: int, code: str) -> Answer:
    xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
    return Answer(status, xml.encode(), {"Content-Type": "application/xml"})


HANG_UP = None  # close without an answer
Script = Callable[[Request], Answer | None]


class ScriptedS3:
    """``script`` is called with each request; ``requests`` holds them all."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.script: Script = lambda request: error(500, "InternalError")
        self._released = threading.Event()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(
                    self.command, self.path, dict(self.headers), self.rfile.read(length)
                )
                scripted.requests.append(request)
                answer = scripted.script(request)
                if answer is None:
                    self.close_connection = True
                    with suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut])
                self.close_connection = self.close_connection or answer.cut is not None

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def bucket(self) -> S3Bucket:
        return S3Bucket("bucket", f"http://127.0.0.1:{self._server.server_port}", "")

    def silence(self) -> None:
        """From a script: say nothing until the test is over."""
        self._released.wait(30)

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted_s3() -> Iterator[ScriptedS3]:
    server = ScriptedS3()
    try:
        yield server
    finally:
        server.close()
