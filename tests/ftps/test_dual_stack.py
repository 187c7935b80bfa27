"""One listener for IPv4 and IPv6: an IPv4 client is the same client there as anywhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests import clients
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import free_port, wait_until
from tests.fixtures.served import Serve, ServedFtps


@pytest.fixture
def dual(served: Serve) -> ServedFtps:
    """What the kernel says of an IPv4 client on ``[::]``; this listens on loopback alone."""
    return served(
        options={
            "ftps_bind": f"[::ffff:127.0.0.1]:{free_port()}",
            "max_connections_per_ip": 4,
            "lockout_ip_limit": 3,
            "presence_interval": 0.2,
        }
    )


@pytest.fixture
def alice(dual: ServedFtps) -> Iterator[FtpsClient]:
    with dual.login() as client:
        yield client


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])  # ftplib: PASV, EPSV
def test_an_ipv4_client_of_a_dual_stack_listener_has_data_channels(
    alice: FtpsClient, family: socket.AddressFamily
) -> None:
    alice.af = family
    assert alice.upload("a.bin", b"four").startswith("226")
    assert alice.names() == ["a.bin"]
    assert alice.download("a.bin") == b"four"


def test_epsv_speaks_the_clients_protocol(alice: FtpsClient) -> None:
    """RFC 2428 §3: 1 is IPv4, 2 is IPv6."""
    assert alice.reply_to("EPSV 1").startswith("229")
    assert alice.reply_to("EPSV 2").startswith("522")


def test_pasv_tells_an_ipv4_address(alice: FtpsClient) -> None:
    assert "(127,0,0,1," in alice.reply_to("PASV")


def test_the_trail_the_ledger_and_the_live_sessions_know_it_by_its_ipv4_address(
    dual: ServedFtps, alice: FtpsClient
) -> None:
    alice.upload("a.bin", b"four")
    live = "SELECT remote_ip FROM securedrop_ftp_livesession WHERE account = 'alice'"
    wait_until(lambda: bool(dual.query(live)), "the live session")
    assert [row["remote_ip"] for row in dual.query(live)] == ["127.0.0.1"]
    assert {row["remote_ip"] for row in dual.audit() if row["session"]} == {"127.0.0.1"}
    assert [row["remote_ip"] for row in dual.uploads()] == ["127.0.0.1"]


def test_a_rule_for_its_ipv4_address_lets_it_in(dual: ServedFtps) -> None:
    dual.query(
        "INSERT INTO securedrop_ftp_iprule (partner_id, action, network, note) "
        "SELECT id, 'allow', '127.0.0.1/32', '' FROM securedrop_ftp_partner WHERE name = 'acme'"
    )
    with dual.login() as client:
        assert client.upload("a.bin", b"four").startswith("226")


def test_an_ipv6_client_speaks_epsv(served: Serve) -> None:
    ftps = served(options={"ftps_bind": f"[::1]:{free_port()}"})
    with clients.logged_in(ftps.port, ftps.ca, "alice", password_of("alice"), host="::1") as client:
        assert client.reply_to("EPSV 2").startswith("229")
        assert client.reply_to("EPSV 1").startswith("522")
        assert client.reply_to("PASV").startswith("425")
        assert client.upload("a.bin", b"four").startswith("226")
    assert {row["remote_ip"] for row in ftps.audit() if row["session"]} == {"::1"}
