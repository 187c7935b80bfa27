"""ftplib with what this service asks for: data channels that resume the control channel's TLS
session."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
from typing import Final

TIMEOUT: Final = 30.0


def connected(host: str, port: int, timeout: float, header: bytes) -> socket.socket:
    """A connection that has begun with ``header``."""
    sock = socket.create_connection((host, port), timeout)
    try:
        sock.sendall(header)
    except BaseException:
        sock.close()
        raise
    return sock


class FtpsClient(ftplib.FTP_TLS):
    """Verifies nothing: it talks to its own machine, and the caller compares certificates."""

    #: Sent first where the service takes this machine for a balancer (proxy_protocol_from).
    header = b""

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(context=context, timeout=TIMEOUT)

    def reach(self, host: str, port: int) -> None:
        """:meth:`connect`, with the header."""
        self.host, self.port = host, port
        self.sock = connected(host, port, TIMEOUT, self.header)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[ssl.SSLSocket, int | None]:
        """ftplib's, with a data channel that resumes the control connection's TLS session."""
        plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - TLS follows
        control = self.sock
        assert isinstance(control, ssl.SSLSocket)
        assert isinstance(plain, socket.socket)
        plain.sendall(self.header)
        try:
            return self.context.wrap_socket(plain, session=control.session), size
        except BaseException:
            plain.close()
            raise

    def upload(self, name: str, data: bytes) -> str:
        """Store ``data`` under ``name``; the final reply."""
        return self.storbinary(f"STOR {name}", io.BytesIO(data), blocksize=65536)

    def download(self, name: str) -> bytes:
        """Read a file back whole."""
        chunks: list[bytes] = []
        self.retrbinary(f"RETR {name}", chunks.append)
        return b"".join(chunks)
