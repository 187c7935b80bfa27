"""A client that fails in one way, and the last row of its session."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from securedrop_ftp.causes import Cause
from tests.clients import FtpsClient, tls_context
from tests.fixtures.processes import wait_until
from tests.fixtures.served import ServedFtps

TIMEOUT = 30.0


@dataclass
class Witness:
    """What the next session's last row says; complete when the block is left."""

    row: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def causes(self) -> list[str]:
        return [trouble["cause"] for trouble in self.details.get("troubles", [])]


@contextmanager
def witness(ftps: ServedFtps) -> Iterator[Witness]:
    """Of the one session that ends in the block."""
    last = len(ftps.audit())
    seen = Witness()
    yield seen

    def ended() -> bool:
        rows = [row for row in ftps.audit("session.closed") if row["seq"] > last]
        if rows:
            seen.row = rows[-1]
            details = rows[-1]["details"] or {}
            seen.details = json.loads(details) if isinstance(details, str) else details
        return bool(rows)

    wait_until(ended, "the session's last row")


def names(seen: Witness, cause: Cause, outcome: str = "failure") -> None:
    """The session's last row names the cause before any other, and its remedy."""
    assert seen.causes[:1] == [cause.name], (seen.row, seen.details)
    assert seen.details["troubles"][0]["remedy"] == cause.remedy
    assert cause.name in seen.row["reason"]
    assert seen.row["outcome"] == outcome


@contextmanager
def in_the_clear(ftps: ServedFtps) -> Iterator[socket.socket]:
    """A connection whose greeting was read."""
    with socket.create_connection((ftps.host, ftps.port), TIMEOUT) as sock:
        sock.settimeout(TIMEOUT)
        assert sock.recv(4096).startswith(b"220")
        yield sock


def told(sock: socket.socket, line: bytes) -> str:
    """The reply to a line, or what comes before the end."""
    sock.sendall(line)
    try:
        return sock.recv(4096).decode()
    except OSError:
        return ""


def handshake(
    ftps: ServedFtps, change: Callable[[ssl.SSLContext], object], *, tls13: bool = False
) -> str:
    """AUTH TLS with a context that ``change`` has spoilt; what the client says of it."""
    context = tls_context(ftps.ca, tls13=tls13)
    change(context)
    with in_the_clear(ftps) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        try:
            with context.wrap_socket(sock, server_hostname="127.0.0.1") as tls:
                tls.recv(1)  # under TLS 1.3 an alert may come after the client is done
        except OSError as exc:
            return str(exc)
    return ""


def handshake_record(message: bytes) -> bytes:
    """``message`` in one record of TLS's handshake (RFC 8446 §5.1)."""
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def passive(client: FtpsClient) -> tuple[str, int]:
    """The address of a new passive port."""
    return client.makepasv()


def data_reply(client: FtpsClient, command: str, data: Callable[[], object]) -> str:
    """The last reply to a transfer's command; ``data`` acts between the two."""
    first = client.reply_to(command)
    data()
    return first if first[0] in "45" else client.final_reply()
