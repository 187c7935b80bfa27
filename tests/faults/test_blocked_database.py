"""Another session holds a lock of PostgreSQL's that the service needs: an answer, and no hang."""

from __future__ import annotations

import ftplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from securedrop_ftp.server.worker import MAX_WAITING
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

#: Shorter than the service's own 20 s; the URL goes before.
LIMIT = "?options=-c%20statement_timeout%3D2s"
#: Seconds for an answer: the service's 20, and what a busy machine adds.
HANG = 60.0


@contextmanager
def locked(ftps: ServedFtps, table: str) -> Iterator[None]:
    """Another session's transaction that has the whole table."""
    with psycopg.connect(ftps.database_url) as other:
        other.execute(sql.SQL("LOCK TABLE {}").format(sql.Identifier(f"securedrop_ftp_{table}")))
        yield
        other.rollback()


@pytest.fixture
def ftps(served: Serve) -> ServedFtps:
    made = served("postgres", start=False, options={"lease_seconds": 3})
    made.faults_expected = True
    made.settings["DATABASE_URL"] = made.database_url + LIMIT
    return made.start()


def attempt(client: FtpsClient, data: bytes) -> str:
    try:
        return client.upload("/a.bin", data)
    except ftplib.error_temp as exc:
        return str(exc)
    except (OSError, EOFError):
        return client.final_reply()


@pytest.mark.parametrize("table", ["upload", "audithead"])
def test_an_upload_behind_a_lock_ends_in_a_reply(ftps: ServedFtps, table: str) -> None:
    with ftps.login() as client:
        assert attempt(client, b"old").startswith("226")
        assert client.sock is not None
        client.sock.settimeout(HANG)
        with locked(ftps, table):
            assert attempt(client, b"new").startswith("4")
        assert ftps.stored("acme/a.bin") in (b"old", b"new")
    # What the ledger did not take is written by a heartbeat; until then the name is taken.
    wait_until(lambda: stores(ftps), "an upload behind the lock's end")


def stores(ftps: ServedFtps) -> bool:
    with ftps.login() as client:
        return attempt(client, b"newer").startswith("226")


def test_a_login_behind_a_lock_ends_in_a_reply(served: Serve) -> None:
    """Within the service's own limit, for once."""
    ftps = served("postgres")
    ftps.faults_expected = True
    with ftps.connect() as client, locked(ftps, "loginattempt"):
        assert client.sock is not None
        client.sock.settimeout(HANG)
        client.reply_to("USER alice")
        assert client.reply_to(f"PASS {password_of('alice')}").startswith("421")
    with ftps.login() as client:
        assert client.sendcmd("NOOP").startswith("200")


def visited(ftps: ServedFtps) -> bool:
    """One connection that is greeted and leaves; False where it is left with the kernel."""
    with socket.create_connection(("127.0.0.1", ftps.port), 20) as sock:
        sock.settimeout(3)
        try:
            if not sock.recv(100).startswith(b"220"):
                return False  # the places of those who left are not free yet
            sock.sendall(b"QUIT\r\n")
            while sock.recv(100):
                pass
        except TimeoutError:
            return False
    return True


def test_a_crowd_that_comes_and_goes_meanwhile_fills_no_memory_and_loses_no_row(
    served: Serve,
) -> None:
    ftps = served("postgres")
    ftps.faults_expected = True  # rows that the database does not take are in the log
    visits = 0
    with locked(ftps, "audithead"):
        while visits < 2 * MAX_WAITING and visited(ftps):
            visits += 1
    # Each visit brings two rows; the batch that waits for the lock counts no more.
    assert MAX_WAITING // 4 < visits < MAX_WAITING
    wait_until(lambda: visited(ftps), "a place after the lock's end")

    def told() -> tuple[int, int]:
        return len(ftps.audit("session.opened")), len(ftps.audit("session.closed"))

    wait_until(lambda: told()[0] == told()[1] > visits, "the rows of all visits")


def test_who_is_denied_waits_for_its_row(served: Serve) -> None:
    """One row a command: who goes on asking is held back, and fills no memory with rows."""
    ftps = served("postgres")
    ftps.faults_expected = True
    with ftps.login("carol") as client:  # who may only drop files
        assert client.sock is not None
        with locked(ftps, "audithead"):
            client.putcmd("DELE /a.bin")
            client.sock.settimeout(2)
            with pytest.raises(TimeoutError):
                client.sock.recv(1)
        client.sock.settimeout(HANG)
        assert client.final_reply().startswith("550")
    (row,) = ftps.audit("access.denied")
    assert (row["path"], row["outcome"]) == ("/a.bin", "denied")
