"""FTPS clients for tests: Python's ftplib made to resume sessions, curl and lftp."""

from __future__ import annotations

import ftplib
import io
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TIMEOUT = 30.0


def tls_context(
    ca: Path, *, tls13: bool = False, certificate: Path | None = None
) -> ssl.SSLContext:
    """A context that trusts ``ca`` alone and shows ``certificate`` (PEM, the key in it). With
    ``tls13`` it offers what the service asks of a client to speak that: post-handshake
    authentication."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3 if tls13 else ssl.TLSVersion.TLSv1_2
    context.post_handshake_auth = tls13
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


class FtpsClient(ftplib.FTP_TLS):
    """ftplib whose data channels resume the control channel's TLS session.

    ``reuse_session=False`` gives what stock ftplib does. Data connections that come from
    :meth:`ftplib.FTP.transfercmd` are TLS sockets; ``unwrap()`` sends close_notify and waits for
    the peer's, ``close()`` alone truncates.
    """

    reuse_session = True

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[ssl.SSLSocket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if not self._prot_p:  # type: ignore[attr-defined]
            return connection, size  # type: ignore[return-value]
        control = self.sock
        assert isinstance(control, ssl.SSLSocket)
        session = control.session if self.reuse_session else None
        try:
            wrapped = self.context.wrap_socket(
                connection, server_hostname=self.host, session=session
            )
        except BaseException:
            connection.close()
            raise
        return wrapped, size

    def upload(self, name: str, data: bytes, command: str = "STOR") -> str:
        """Store ``data`` and return the final reply."""
        return self.storbinary(f"{command} {name}", io.BytesIO(data), blocksize=65536)

    def try_to_store(self, command: str, data: bytes, rest: int | None = None) -> str:
        """The final reply to ``STOR name`` and the like, whatever its code."""
        try:
            return self.storbinary(command, io.BytesIO(data), rest=rest)
        except ftplib.Error as exc:
            return str(exc)

    def download(self, name: str, rest: int | None = None) -> bytes:
        """The bytes of a file; raises unless the reply is 2xx."""
        chunks: list[bytes] = []
        self.retrbinary(f"RETR {name}", chunks.append, rest=rest)
        return b"".join(chunks)

    def names(self, path: str = "") -> list[str]:
        """The names in a directory, by MLSD."""
        return sorted(
            name
            for name, facts in self.mlsd(path)
            if facts.get("type", "").lower() not in ("cdir", "pdir")
        )

    def truncated_upload(self, name: str, data: bytes, how: str = "fin") -> str:
        """Send ``data``, then end the data channel badly: ``fin`` without close_notify, or
        ``rst``. Returns the final reply, errors included."""
        self.voidcmd("TYPE I")
        with self.transfercmd(f"STOR {name}") as connection:
            connection.sendall(data)
            if how == "rst":
                reset_on_close(connection)
        return self.final_reply()

    def final_reply(self) -> str:
        """The next reply, whatever its code."""
        try:
            return self.getresp()
        except ftplib.Error as exc:
            return str(exc)

    def reply_to(self, line: str) -> str:
        """Send a line and return its reply, whatever its code."""
        self.putcmd(line)
        return self.final_reply()


def reset_on_close(connection: socket.socket) -> None:
    """Have ``close`` send RST (SO_LINGER with zero seconds)."""
    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@contextmanager
def connected(
    port: int,
    ca: Path,
    *,
    host: str = "127.0.0.1",
    tls: bool = True,
    tls13: bool = False,
    certificate: Path | None = None,
    source: str = "",
) -> Iterator[FtpsClient]:
    """A connection after AUTH TLS (unless ``tls=False``), before USER; closed at the end."""
    context = tls_context(ca, tls13=tls13, certificate=certificate)
    client = FtpsClient(context=context, timeout=TIMEOUT)
    try:
        client.connect(host, port, source_address=(source, 0) if source else None)
        if tls:
            client.auth()
        yield client
    finally:
        with suppress(Exception):
            client.close()


@contextmanager
def logged_in(
    port: int, ca: Path, username: str, password: str, *, binary: bool = True, **options: Any
) -> Iterator[FtpsClient]:
    """A session with PROT P and, unless ``binary`` is false, TYPE I, which most clients send first;
    QUIT at the end where the connection still stands."""
    with connected(port, ca, **options) as client:
        client.login(username, password, secure=False)
        client.prot_p()
        if binary:
            client.voidcmd("TYPE I")
        yield client
        with suppress(Exception):
            client.quit()


def curl(
    port: int, ca: Path, username: str, password: str, *arguments: str, path: str = "/"
) -> subprocess.CompletedProcess[str]:
    """Run curl over explicit TLS against ``ftp://127.0.0.1:port<path>``."""
    return subprocess.run(
        [
            "curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", str(ca),
            "--user", f"{username}:{password}", *arguments, f"ftp://127.0.0.1:{port}{path}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip


def lftp(
    port: int, ca: Path, username: str, password: str, *commands: str
) -> subprocess.CompletedProcess[str]:
    """Run lftp with certificate checks and protected data channels, then ``commands``."""
    script = [
        "set ftp:ssl-force true",
        "set ftp:ssl-protect-data true",
        f"set ssl:ca-file {ca}",
        "set net:max-retries 2",
        "set net:timeout 20",
        "set cmd:fail-exit true",
        f"open -u {username},{password} ftp://127.0.0.1:{port}",
        *commands,
    ]
    return subprocess.run(
        [shutil.which("lftp") or "lftp", "-c", "; ".join(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
    )
