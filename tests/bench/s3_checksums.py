"""What it costs to have storage prove that it took the bytes we hold (docs/adr/0007).

CPU seconds of the client a GB, parts of 8 MiB, four at a time, over TLS, into a server that throws
them away: ``python -m tests.bench.s3_checksums [--gb N]``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import ssl
import sys
import tempfile
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securedrop_ftp.project.demo.children import Child
from securedrop_ftp.storage.s3.bucket import PartBody
from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.processes import accepts, free_port, wait_until

PART = 8 * 1024 * 1024
ROUNDS = 5
#: What is put on each request, from the part's bytes; whether the payload's SHA-256 is signed.
WAYS: dict[str, tuple[Callable[[memoryview], dict[str, Any]], bool]] = {
    "nothing of ours (TLS alone)": (lambda data: {}, False),
    "x-amz-checksum-crc32 (zlib)": (
        lambda data: {"ChecksumCRC32": b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()},
        False,
    ),
    "SHA-256 in the signature": (lambda data: {}, True),
    "MD5, sent and compared with the ETag": (
        lambda data: {
            "ContentMD5": b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        },
        False,
    ),
}


def serve(port: int, directory: Path) -> None:
    """The server: reads and forgets."""

    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        space = threading.local()

        def do_PUT(self) -> None:
            left = int(self.headers["Content-Length"])
            buffer = memoryview(self.space.__dict__.setdefault("buffer", bytearray(1 << 20)))
            while left:
                left -= self.rfile.readinto(buffer[: min(left, len(buffer))]) or left
            self.send_response(200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Sink)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def client(port: int, ca: Path, signed: bool) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=f"https://127.0.0.1:{port}",
        verify=str(ca),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            request_checksum_calculation="when_required",
            s3={"payload_signing_enabled": signed, "addressing_style": "path"},
        ),
    )


def measure(port: int, ca: Path, parts: int) -> None:
    """The best of some rounds: what else runs here only makes it dearer."""
    data = memoryview(bytearray(os.urandom(PART)))
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name, (headers, signed) in WAYS.items():
            found = cost(client(port, ca, signed), data, headers, parts)
            best[name] = min(best.get(name, found), found)
    for name, (cpu, rate) in best.items():
        print(f"{name:<38} {cpu:5.2f} CPU s/GB {rate:6.0f} MB/s")


def cost(
    s3: Any, data: memoryview, headers: Callable[[memoryview], dict[str, Any]], parts: int
) -> tuple[float, float]:
    """(CPU seconds a GB, MB a second)."""

    def put(number: int) -> None:
        s3.upload_part(
            Bucket="b", Key="k", UploadId="u", PartNumber=number, ContentLength=PART,
            Body=PartBody(data), **headers(data),
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(1, 9)))  # connections, imports
        cpu, clock = time.process_time(), time.monotonic()
        list(pool.map(put, range(1, parts + 1)))
        seconds = time.monotonic() - clock
    gb = parts * PART / 1e9
    return (time.process_time() - cpu) / gb, gb * 1e3 / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=0.5, help="of each round")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(int(options.serve[0]), Path(options.serve[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        directory, port = Path(name), free_port()
        make_certificates(directory)
        command = [sys.executable, "-m", "tests.bench.s3_checksums", "--serve", str(port), name]
        child = Child("sink", command, env=dict(os.environ), output=directory, cwd=Path.cwd())
        try:
            wait_until(lambda: accepts(port), "the sink", child)
            measure(port, directory / "ca.pem", max(1, int(options.gb * 1e9 / PART)))
        finally:
            child.stop(10)


if __name__ == "__main__":
    main()
