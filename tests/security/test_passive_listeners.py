"""A passive listener is given back, so that the next one is not refused for it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from tests.clients import FtpsClient
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

#: How clients use up an offered port; none of these is a transfer.
LINES = ("RETR nothing.txt", "LIST /nowhere", "MLSD /nowhere", "STOR /", "ABOR", "NOOP")


@pytest.fixture
def narrow(standing: Serve) -> ServedFtps:
    """Two passive ports, and partners that may have one listener."""
    ftps = standing(options={"ftps_passive_ports": "19980-19981"})
    ftps.query("UPDATE securedrop_ftp_partner SET max_passive_listeners = 1")
    return ftps


def sockets(ftps: ServedFtps) -> int:
    (worker,) = ftps.workers
    links = [str(link.readlink()) for link in Path(f"/proc/{worker}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.parametrize("connects", [False, True])
def test_pasv_is_never_refused_for_what_was_refused_before(
    narrow: ServedFtps, connects: bool
) -> None:
    with narrow.login() as client:
        before = sockets(narrow)
        for turn in range(120):
            with contextlib.ExitStack() as stack:
                address = client.makepasv()
                if connects:
                    stack.enter_context(socket.create_connection(address, timeout=20))
                client.reply_to(LINES[turn % len(LINES)])
        assert client.upload("in-the-end.txt", b"x").startswith("226")
        wait_until(lambda: sockets(narrow) <= before, "the sockets")


def test_a_refused_transfer_of_one_session_takes_no_listener_from_another(
    narrow: ServedFtps,
) -> None:
    with narrow.login("bob") as one, narrow.login("bob") as other:
        for _ in range(5):
            one.makepasv()
            assert one.reply_to("RETR nothing.txt").startswith("550")
            other.makepasv()
            assert other.reply_to("EPSV").startswith("229")
            assert other.reply_to("ABOR").startswith("22")


def test_the_cap_holds_and_counts_what_waits(narrow: ServedFtps) -> None:
    with narrow.login("bob") as one, narrow.login("bob") as other:
        for _ in range(3):
            one.makepasv()
            assert other.reply_to("PASV").startswith("425")
            assert one.reply_to("ABOR").startswith("22")
            other.makepasv()
            assert one.reply_to("PASV").startswith("425")
            assert other.reply_to("RETR nothing.txt").startswith("550")


def test_a_client_that_shakes_hands_after_the_refusal_is_let_go_in_peace(
    standing: Serve,
) -> None:
    with standing().login() as client:
        for _ in range(3):
            with socket.create_connection(client.makepasv(), timeout=20) as data:
                assert client.reply_to("RETR nothing.txt").startswith("550")
                assert _end_of(client, data) == b""


def _end_of(client: FtpsClient, data: socket.socket) -> bytes:
    """What comes after the handshake; raises where it is not close_notify."""
    control = client.sock
    assert isinstance(control, ssl.SSLSocket)
    with client.context.wrap_socket(
        data, session=control.session, server_hostname="127.0.0.1", suppress_ragged_eofs=False
    ) as tls:
        return tls.recv(1)
