"""Strangers give way to partners: places, logins, and what refusals are told by."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import logged_in_raw, read_reply, secured

#: Loopback addresses that are nobody's.
CROWD = [f"127.1.0.{number}" for number in range(1, 11)]


def stranger(ftps: ServedFtps, stack: ExitStack, source: str) -> socket.socket:
    """A connection that says nothing."""
    sock = socket.create_connection(("127.0.0.1", ftps.port), 20, source_address=(source, 0))
    stack.enter_context(sock)
    assert read_reply(sock).startswith(b"220")
    return sock


def answer_to_login(ftps: ServedFtps, username: str, password: str | None = None) -> bytes:
    """The answer to PASS; the connection is left at once."""
    with secured(ftps) as sock:
        sock.sendall(f"USER {username}\r\nPASS {password or password_of(username)}\r\n".encode())
        read_reply(sock)
        return read_reply(sock)


def test_row_64_partners_log_in_while_strangers_take_every_place(served: Serve) -> None:
    ftps = served(workers=2, options={"max_connections": 20})
    with ExitStack() as stack, ftps.login() as inside:
        silent = [stranger(ftps, stack, source) for source in CROWD * 4]
        for _ in range(3):
            assert answer_to_login(ftps, "bob").startswith(b"230")
        assert inside.upload("meanwhile.txt", b"x").startswith("226")
        assert read_reply(silent[0]).startswith(b"421")
        assert silent[0].recv(1) == b""
        # They are told one after the other: the youngest have their places still.
        silent[-1].sendall(b"NOOP\r\n")
        assert read_reply(silent[-1]).startswith(b"200")


def test_row_64_who_has_logged_in_keeps_its_place_whoever_comes(served: Serve) -> None:
    ftps = served(workers=2, options={"max_connections": 4})
    with ExitStack() as stack:
        partners = [stack.enter_context(logged_in_raw(ftps, "bob")) for _ in range(4)]
        for source in CROWD:
            with socket.create_connection(
                ("127.0.0.1", ftps.port), 20, source_address=(source, 0)
            ) as sock:
                assert read_reply(sock).startswith(b"421")
        for partner in partners:
            partner.sendall(b"NOOP\r\n")
            assert read_reply(partner).startswith(b"200")


def test_row_65_a_job_that_logs_in_for_each_file_is_never_turned_away(served: Serve) -> None:
    ftps = served(workers=2, options={"login_rate_per_ip": 3, "connection_rate_per_ip": 6})
    for _ in range(15):
        assert answer_to_login(ftps, "alice").startswith(b"230")


def test_row_65_logins_at_once_wait_for_each_other_and_all_come_in(served: Serve) -> None:
    ftps = served(workers=2, options={"login_rate_per_ip": 2})
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: answer_to_login(ftps, "alice")[:3], range(10)))
    assert answers == [b"230"] * 10


def test_row_65_wrong_passwords_have_a_rate_and_the_refusal_names_who_was_meant(
    served: Serve,
) -> None:
    ftps = served(workers=2, options={"login_rate_per_ip": 3})
    answers: list[bytes] = []
    while b"421" not in answers and len(answers) < 10:  # the minute may end in the midst
        answers.append(answer_to_login(ftps, f"nobody{len(answers)}", "wrong")[:3])
    assert answers[:3] == [b"530"] * 3
    assert answers[-1] == b"421"
    last = f"nobody{len(answers) - 1}"
    wait_until(lambda: len(ftps.audit("login.failed")) == len(answers), "a row for each")
    row = ftps.audit("login.failed")[-1]
    assert (row["account"], row["outcome"]) == (last, "denied")
    assert row["reason"].startswith("rate")


def test_row_65_a_login_that_finds_no_session_free_is_a_refused_login(served: Serve) -> None:
    ftps = served(workers=2)
    ftps.query("UPDATE securedrop_ftp_partner SET max_sessions = 1 WHERE name = 'acme'")
    with logged_in_raw(ftps):
        assert answer_to_login(ftps, "alice").startswith(b"421")
        (row,) = ftps.audit("login.failed")
        assert (row["account"], row["partner"], row["outcome"]) == ("alice", "acme", "denied")
        assert row["reason"].startswith("max_sessions")
        assert row["reply"].startswith("421")
        assert len(ftps.audit("login.succeeded")) == 1
    # The password was right: nothing is held against it, and the place is free again.
    wait_until(lambda: answer_to_login(ftps, "alice").startswith(b"230"), "the place")
