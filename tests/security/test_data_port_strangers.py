"""Strangers on a passive port: silent ones, and handshakes that resume nothing."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack

from securedrop_ftp.ftps.handshakes import BURST, SECONDS_EACH, HandshakeBudget
from securedrop_ftp.ftps.passive import MAX_CANDIDATES
from tests.clients import FtpsClient, tls_context
from tests.fixtures.served import Serve, ServedFtps


def upload_at(client: FtpsClient, address: tuple[str, int], name: str) -> str:
    """An upload over a port that was asked for before."""
    client.makepasv = lambda: address  # type: ignore[method-assign]
    return client.upload(name, b"whose port it is")


def test_row_66_silent_connections_on_a_passive_port_do_not_keep_its_owner_out(
    ftps: ServedFtps,
) -> None:
    with ftps.login() as client, ExitStack() as stack:
        address = client.makepasv()
        for _ in range(2 * MAX_CANDIDATES):
            stack.enter_context(socket.create_connection(address, 20))
        assert upload_at(client, address, "row-66.txt").startswith("226")


def test_row_66_strangers_that_speak_and_stop_do_not_keep_it_out_either(ftps: ServedFtps) -> None:
    with ftps.login() as client, ExitStack() as stack:
        address = client.makepasv()
        for _ in range(2 * MAX_CANDIDATES):
            stack.enter_context(socket.create_connection(address, 20)).sendall(b"\x16\x03")
        assert upload_at(client, address, "row-66-too.txt").startswith("226")


def shakes_hands(ftps: ServedFtps, address: tuple[str, int]) -> bool:
    """Whether a handshake that offers nothing to resume is computed on a data port."""
    with socket.create_connection(address, 20) as sock:
        try:
            tls_context(ftps.ca).wrap_socket(sock, server_hostname="127.0.0.1").close()
        except (ssl.SSLError, OSError):
            return False
    return True


def test_row_67_handshakes_that_resume_nothing_have_a_bound(served: Serve) -> None:
    ftps = served()
    began = time.monotonic()
    with ftps.login() as client:
        computed = sum(shakes_hands(ftps, client.makepasv()) for _ in range(4 * BURST))
        assert computed >= BURST
        assert computed <= BURST + (time.monotonic() - began) / SECONDS_EACH + 1
        # The owner's own resumes, so nothing is held against it; nor against other partners.
        assert client.upload("mine.txt", b"x").startswith("226")
    with ftps.login("bob") as other:
        assert shakes_hands(ftps, other.makepasv())


def test_the_bound_comes_back_with_time_and_is_each_partners_and_addresses_own() -> None:
    now = [100.0]
    budget = HandshakeBudget(clock=lambda: now[0])
    for _ in range(BURST):
        assert budget.allows(1, "192.0.2.1")
        budget.spend(1, "192.0.2.1")
    assert not budget.allows(1, "192.0.2.1")
    assert budget.allows(2, "192.0.2.1")
    assert budget.allows(1, "192.0.2.2")
    now[0] += SECONDS_EACH
    assert budget.allows(1, "192.0.2.1")
