"""Caps on connections and sessions hold across workers, and what ended counts no more."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack

import pytest

from tests.clients import reset_on_close
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import logged_in_raw, read_reply, secured

CAPS = {"max_connections_per_ip": 6, "max_connections": 10}


@pytest.fixture
def capped(served: Serve) -> ServedFtps:
    ftps = served(workers=3, options=CAPS)
    ftps.query("UPDATE securedrop_ftp_partner SET max_sessions = 3 WHERE name = 'acme'")
    return ftps


def connect(ftps: ServedFtps, source: str = "127.0.0.1") -> tuple[socket.socket, bytes]:
    sock = socket.create_connection(("127.0.0.1", ftps.port), 20, source_address=(source, 0))
    return sock, read_reply(sock)


def fill(ftps: ServedFtps, stack: ExitStack, source: str, number: int) -> list[socket.socket]:
    """So many connections of an address, each greeted."""
    made = []
    for _ in range(number):
        sock, greeting = connect(ftps, source)
        made.append(stack.enter_context(sock))
        assert greeting.startswith(b"220"), greeting
    return made


def refused(ftps: ServedFtps, source: str) -> bytes:
    sock, greeting = connect(ftps, source)
    sock.close()
    assert greeting.startswith(b"421"), greeting
    return greeting


def next_place(ftps: ServedFtps, stack: ExitStack) -> socket.socket:
    """One more connection, when the service has seen that another one ended."""
    taken: list[socket.socket] = []

    def attempt() -> bool:
        sock, greeting = connect(ftps)
        if not greeting.startswith(b"220"):
            sock.close()
            return False
        taken.append(stack.enter_context(sock))
        return True

    wait_until(attempt, "a place")
    return taken[0]


def test_an_address_and_everybody_together_have_caps(capped: ServedFtps) -> None:
    with ExitStack() as stack:
        fill(capped, stack, "127.0.0.1", 6)
        assert b"from your address" in refused(capped, "127.0.0.1")
        others = fill(capped, stack, "127.0.0.2", 6)
        assert b"from your address" in refused(capped, "127.0.0.2")
        # Eight of ten places are for who has not logged in: the newest of them.
        fill(capped, stack, "127.0.0.3", 2)
        others[-1].sendall(b"NOOP\r\n")
        assert read_reply(others[-1]).startswith(b"200")


def test_an_address_that_connects_all_the_time_is_refused_without_a_row(served: Serve) -> None:
    ftps = served(workers=2, options={"connection_rate_per_ip": 10})
    greetings = []
    for _ in range(40):
        sock, greeting = connect(ftps)
        sock.close()
        greetings.append(greeting[:3])
    # The minute may end in the midst of it.
    assert 10 <= greetings.count(b"220") <= 20
    assert set(greetings) == {b"220", b"421"}
    connect(ftps, "127.0.0.2")[0].close()
    taken = greetings.count(b"220") + 1
    wait_until(lambda: len(ftps.audit("session.closed")) == taken, "the rows")
    assert len(ftps.audit("session.opened")) == taken


def test_refusals_do_not_fill_the_log(served: Serve) -> None:
    ftps = served(options={"connection_rate_per_ip": 1})
    began = time.monotonic()
    for _ in range(300):
        connect(ftps)[0].close()
    lines = ftps.log_lines("connection.refused")
    assert 1 <= len(lines) <= time.monotonic() - began + 1
    assert lines[0]["cap"] == "rate"


def test_every_connection_that_ends_makes_room_for_one(capped: ServedFtps) -> None:
    with ExitStack() as stack:
        open_ones = fill(capped, stack, "127.0.0.1", 6)
        for turn in range(30):
            leaving = open_ones.pop(0)
            if turn % 3 == 0:
                leaving.sendall(b"QUIT\r\n")
            elif turn % 3 == 1:
                reset_on_close(leaving)
            leaving.close()
            open_ones.append(next_place(capped, stack))
            refused(capped, "127.0.0.1")


def test_a_worker_that_is_killed_leaves_its_places(capped: ServedFtps) -> None:
    capped.faults_expected = True
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(6):  # those of the round before end in their own time
                next_place(capped, stack)
            before = capped.workers
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not set(before) & set(capped.workers), "new workers")  # noqa: B023
        with ExitStack() as stack:
            next_place(capped, stack)
            fill(capped, stack, "127.0.0.1", 5)
            refused(capped, "127.0.0.1")


def test_a_partners_sessions_are_capped_and_given_back(capped: ServedFtps) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(logged_in_raw(capped))
        for _ in range(2):
            stack.enter_context(logged_in_raw(capped))
        for _ in range(3):
            assert _login(capped).startswith(b"421")
        first.close()
        for _ in range(6):
            wait_until(lambda: _login(capped).startswith(b"230"), "a place")


def _login(ftps: ServedFtps) -> bytes:
    """The answer to alice's password; the session is left at once."""
    with secured(ftps) as sock:
        sock.sendall(f"USER alice\r\nPASS {password_of('alice')}\r\n".encode())
        read_reply(sock)
        return read_reply(sock)
