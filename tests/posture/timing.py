"""Whether the time of a refused login tells why it was refused (security bar, row 29)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from statistics import median
from typing import Final

from tests.clients import tls_context
from tests.fixtures.served import ServedFtps
from tests.posture.tools import Finding
from tests.security.test_control_channel import read_reply

#: What is wrong with a login, and whose it is. No password given here is right.
KINDS: Final = {
    "unknown user": "nobody",
    "wrong password": "bob",
    "inactive": "carol",
    "locked": "alice",
    "forbidden network": "erin",
}
LOCKED_FROM: Final = "127.0.1.1"
GUESSES_UNTIL_LOCKED: Final = 5

#: Refusals of each kind, taken in turn.
ROUNDS: Final = 25
#: How far the medians may lie apart, as a share of the smallest.
APART: Final = 0.05


def refusals(ftps: ServedFtps) -> Finding:
    """Seconds from PASS to 530, each kind in turn and each guess from an address of its own."""
    ftps.query("UPDATE auth_user SET is_active = (1 = 0) WHERE username = 'carol'")
    ftps.query(
        "INSERT INTO securedrop_ftp_iprule (partner_id, action, network, note)"
        " SELECT id, 'deny', '0.0.0.0/0', '' FROM securedrop_ftp_partner WHERE name = 'hooli'"
    )
    for _ in range(GUESSES_UNTIL_LOCKED):
        refused_after(ftps, "alice", LOCKED_FROM)
    addresses = _addresses()
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, username in KINDS.items():
            source = LOCKED_FROM if kind == "locked" else next(addresses)
            took[kind].append(refused_after(ftps, username, source))
    medians = {kind: median(seconds) for kind, seconds in took.items()}
    apart = max(medians.values()) / min(medians.values()) - 1
    reasons = {row["reason"].partition(";")[0] for row in ftps.audit("login.failed")}
    each = reasons >= {"unknown", "password", "inactive", "network"}
    each = each and len(ftps.audit("login.locked")) == ROUNDS
    verdict = f"medians {apart:.1%} apart"
    if not each:
        verdict += f"; not every kind was met: {sorted(reasons)}"
    return Finding(
        "our own clock",
        f"{len(KINDS)} kinds of refused login, {ROUNDS} of each",
        verdict,
        each and apart <= APART,
        "\n".join(
            f"{kind:<18} median {medians[kind] * 1000:6.1f} ms, fastest {min(seconds) * 1000:6.1f}"
            f" ms, slowest {max(seconds) * 1000:6.1f} ms"
            for kind, seconds in took.items()
        ),
    )


def refused_after(ftps: ServedFtps, username: str, source: str) -> float:
    """Seconds from PASS to its refusal, in a session of its own from a loopback address."""
    with socket.create_connection(("127.0.0.1", ftps.port), 20, source_address=(source, 0)) as raw:
        assert read_reply(raw).startswith(b"220")
        raw.sendall(b"AUTH TLS\r\n")
        assert read_reply(raw).startswith(b"234")
        with tls_context(ftps.ca).wrap_socket(raw, server_hostname="localhost") as sock:
            sock.sendall(f"USER {username}\r\n".encode())
            assert read_reply(sock).startswith(b"331")
            began = time.monotonic()
            sock.sendall(b"PASS wrong\r\n")
            assert read_reply(sock).startswith(b"530")
            return time.monotonic() - began


def _addresses() -> Iterator[str]:
    for third in range(2, 250):
        for fourth in range(1, 250):
            yield f"127.0.{third}.{fourth}"
