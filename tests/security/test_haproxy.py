"""HAProxy in front of two nodes, configured as docs/howto/load-balancer.md says."""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import clients
from tests.clients import TIMEOUT, FtpsClient, tls_context
from tests.fixtures.cast import password_of
from tests.fixtures.haproxy import Balanced, haproxy
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve

HONEST, NEIGHBOUR, GUESSER = "127.7.7.7", "127.7.7.8", "127.6.6.6"


@pytest.fixture(params=["send-proxy", "send-proxy-v2"])
def balanced(request: Any, served: Serve, tmp_path: Path) -> Iterator[Balanced]:
    with haproxy(served, tmp_path, request.param, "filesystem") as made:
        yield made


@pytest.fixture
def roaming(served: Serve, tmp_path: Path) -> Iterator[Balanced]:
    """A balancer that sends a client now to one node, now to the other."""
    with haproxy(served, tmp_path, "send-proxy-v2", "filesystem", sticky=False) as made:
        yield made


def login(balanced: Balanced, source: str, password: str | None = None) -> FtpsClient:
    """Alice's session from an address of loopback."""
    client = FtpsClient(context=tls_context(balanced.ca), timeout=TIMEOUT)
    client.connect("127.0.0.1", balanced.port, source_address=(source, 0))
    client.auth()
    client.login("alice", password or password_of("alice"), secure=False)
    client.prot_p()
    return client


def audited(balanced: Balanced) -> list[dict[str, Any]]:
    """Rows of sessions on either node."""
    return [row for row in balanced.nodes[0].audit() if row["session"]]


def test_everything_works_through_it_and_its_checks_leave_no_row(
    balanced: Balanced, tmp_path: Path
) -> None:
    assert audited(balanced) == []  # both nodes have been looked at
    with ExitStack() as stack:
        sources = (HONEST, NEIGHBOUR, HONEST, NEIGHBOUR)
        sessions = [stack.enter_context(login(balanced, source)) for source in sources]
        for n, client in enumerate(sessions):
            client.af = client.af if n % 2 else socket.AF_INET6  # EPSV and PASV
            assert client.upload(f"ftplib-{n}.bin", b"four" * 100_000).startswith("226")
            assert client.download(f"ftplib-{n}.bin") == b"four" * 100_000
        assert sessions[0].names() == [f"ftplib-{n}.bin" for n in range(4)]
    wait_until(
        lambda: sum(row["event"] == "session.closed" for row in audited(balanced)) == 4, "the rows"
    )
    assert {row["remote_ip"] for row in audited(balanced)} == {HONEST, NEIGHBOUR}
    assert {str(row["remote_ip"]) for row in balanced.nodes[0].uploads()} == {HONEST, NEIGHBOUR}
    # Leastconn gave each node one of two addresses, and those stayed there.
    assert [len(node.log_lines("session.opened")) for node in balanced.nodes] == [2, 2]

    source = tmp_path / "file.bin"
    source.write_bytes(b"curl" * 100_000)
    who = (balanced.port, balanced.ca, "alice", password_of("alice"))
    for mode in ((), ("--disable-epsv",)):
        done = clients.curl(*who, "--upload-file", str(source), *mode, path="/curl.bin")
        assert done.returncode == 0, done.stderr
        done = clients.curl(*who, "-o", str(tmp_path / "back"), *mode, path="/curl.bin")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
        assert "curl.bin" in clients.curl(*who, *mode).stdout
    done = clients.lftp(
        *who, f"put {source} -o lftp.bin", f"get lftp.bin -o {tmp_path}/lftp", "cls -1"
    )
    assert done.returncode == 0, done.stderr
    assert "lftp.bin" in done.stdout
    assert (tmp_path / "lftp").read_bytes() == source.read_bytes()


def test_twenty_guesses_lock_out_the_guesser_alone_on_both_nodes(roaming: Balanced) -> None:
    balanced = roaming
    for guess in range(20):
        with pytest.raises(ftplib.error_perm, match="530"):
            _guess(balanced, f"nobody-{guess}")
    for _ in range(2):  # one node, the other
        with pytest.raises(ftplib.error_perm, match="530"):
            login(balanced, GUESSER)
        with login(balanced, HONEST) as client:
            assert client.upload("a.bin", b"four").startswith("226")
    rows = audited(balanced)
    assert {row["remote_ip"] for row in rows if row["event"] == "login.failed"} == {GUESSER}
    assert {row["remote_ip"] for row in rows if row["event"] == "login.locked"} == {GUESSER}


def _guess(balanced: Balanced, username: str) -> None:
    with FtpsClient(context=tls_context(balanced.ca), timeout=TIMEOUT) as client:
        client.connect("127.0.0.1", balanced.port, source_address=(GUESSER, 0))
        client.auth()
        client.login(username, "wrong", secure=False)


def test_when_a_node_stops_the_other_serves(balanced: Balanced) -> None:
    balanced.nodes[0].stop()
    balanced.wait_for(one="DOWN", two="UP")
    for n in range(3):
        with login(balanced, HONEST) as client:
            assert client.upload(f"{n}.bin", b"four").startswith("226")
    balanced.nodes[0].start()
    balanced.wait_for(one="UP", two="UP")
