"""The admin site as its server meets strangers: the demo's own command, over sockets."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from securedrop_ftp.project.demo.children import Child
from securedrop_ftp.project.demo.run import Address, web_command
from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.processes import ROOT, free_port, wait_until
from tests.fixtures.served import environment

pytestmark = pytest.mark.acceptance

PATIENCE = 20.0
THREADS = 2  # of the demo's web server


@dataclass(frozen=True)
class Site:
    """Where it listens and whom to trust."""

    port: int
    ca: Path

    def connect(self, *protocols: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(list(protocols))
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return context.wrap_socket(raw, server_hostname="127.0.0.1")

    def status_of_the_login_page(self) -> int:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=PATIENCE
        )
        connection.request("GET", "/admin/login/")
        return connection.getresponse().status


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    certificates = tmp_path / "certs"
    make_certificates(certificates)
    address = Address("127.0.0.1", free_port(), "")
    argv = web_command(address, certificates / "server.pem", certificates / "server.key")
    env = environment({"DATA_DIR": tmp_path, "SECRET_KEY": "k" * 64, "WEB_HOSTS": "127.0.0.1"})
    child = Child("web", argv, env=env, output=tmp_path, cwd=ROOT)
    there = Site(address.port, certificates / "ca.pem")

    def answers() -> bool:
        try:
            return there.status_of_the_login_page() > 0
        except (OSError, http.client.HTTPException):
            return False

    try:
        wait_until(answers, "granian", child)
        yield there
    finally:
        child.stop(10)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def literal(index: int, value: str) -> bytes:
    """A header field without indexing; its name is ``index`` of HPACK's static table
    (RFC 7541, section 6.2.2). The index fits in four bits or in one byte more."""
    name = bytes([index]) if index < 15 else bytes([15, index - 15])
    return name + bytes([len(value)]) + value.encode()


#: With them Django reads the body, to look for the form's token.
COOKIE, REFERER = f"csrftoken={'t' * 32}", "https://127.0.0.1/admin/login/"

POST_BY_HTTP_2 = (
    b"\x83\x87"  # :method POST, :scheme https
    + literal(4, "/admin/login/")
    + literal(1, "127.0.0.1")
    + literal(28, "1000")  # content-length
    + literal(31, "application/x-www-form-urlencoded")
    + literal(32, COOKIE)
    + literal(51, REFERER)
)


def begin_a_body_and_reset(site: Site) -> None:
    """POST to the login page; a part of the body; reset."""
    with site.connect("h2", "http/1.1") as sock:
        if sock.selected_alpn_protocol() == "h2":
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
            sock.sendall(frame(1, 4, 1, POST_BY_HTTP_2) + frame(0, 0, 1, b"username=a"))
            # An answered PING: the frames before it were read.
            sock.sendall(frame(6, 0, 0, b"8 bytes!"))
            seen = b""
            while frame(6, 1, 0, b"8 bytes!") not in seen:
                seen += sock.recv(4096)
            sock.sendall(frame(3, 0, 1, struct.pack(">I", 8)) + frame(6, 0, 0, b"8 again!"))
            while frame(6, 1, 0, b"8 again!") not in seen:
                seen += sock.recv(4096)
        else:
            sock.sendall(
                b"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n"
                + f"Cookie: {COOKIE}\r\nReferer: {REFERER}\r\n\r\nusername=a".encode()
            )


def test_requests_that_are_reset_in_their_body_leave_the_admin_site_answering(site: Site) -> None:
    for _ in range(2 * THREADS):
        begin_a_body_and_reset(site)
    assert site.status_of_the_login_page() == 200


def test_the_documented_commands_offer_http_1_only() -> None:
    folders = (ROOT / "docs" / "howto", ROOT / "docs" / "tutorial")
    pages = [page for folder in folders for page in folder.iterdir() if page.is_file()]
    commands = [
        re.sub(r"\\\n", " ", command)
        for page in pages
        for command in re.findall(
            r"^(?:\$ |ExecStart=).*granian --(?:.*\\\n)*.*$", page.read_text(), re.MULTILINE
        )
    ]
    assert len(commands) >= 2
    assert all("--http 1 " in command for command in commands), commands
