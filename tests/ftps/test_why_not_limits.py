"""Limits and deadlines of the service: whoever meets one reads it, and the trail has it."""

from __future__ import annotations

import contextlib
import select
import socket
from contextlib import ExitStack

import pytest

from securedrop_ftp import causes
from securedrop_ftp.ftps.handshakes import BURST
from tests.clients import reset_on_close
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.why_not import (
    data_reply,
    handshake_record,
    in_the_clear,
    names,
    passive,
    told,
    witness,
)
from tests.security.test_control_channel import read_reply
from tests.security.test_trail_floods import counted


def _connected(ftps: ServedFtps, stack: ExitStack, source: str) -> tuple[socket.socket, bytes]:
    sock = socket.create_connection((ftps.host, ftps.port), 30, source_address=(source, 0))
    stack.enter_context(sock)
    return sock, read_reply(sock)


@pytest.mark.parametrize(
    ("limit", "reply"),
    [
        ({"max_connections_per_ip": 1}, b"421 Too many connections from your address"),
        ({"connection_rate_per_ip": 1}, b"421 Too many connections from your address"),
        ({"max_connections": 1}, b"421 Too many connections"),
    ],
    ids=("an address", "a minute", "everybody"),
)
def test_one_connection_too_many_is_named_in_the_log_and_counted_in_the_trail(
    served: Serve, limit: dict[str, int], reply: bytes
) -> None:
    """It has no session, so no last row of one."""
    ftps = served(options=limit)
    cause = causes.TOO_MANY_CONNECTIONS
    with ftps.login(), ExitStack() as stack:
        greetings = [_connected(ftps, stack, "127.0.0.1")[1] for _ in range(4)]
    refused = [greeting for greeting in greetings if not greeting.startswith(b"220")]
    assert len(refused) >= 2
    assert all(greeting.startswith(reply) for greeting in refused)
    (line, *_) = ftps.log_lines("connection.refused")
    assert (line["cause"], line["remedy"]) == (cause.name, cause.remedy)
    assert line["remote_ip"] == "127.0.0.1"
    ftps.stop()
    (row,) = ftps.audit("refusals.counted")
    assert f"connection refused ({cause.name}) {len(refused)}" in row["reason"]
    assert row["remote_ip"] == "127.0.0.1"
    assert counted(ftps) == len(refused)


def test_a_stranger_who_makes_room_is_told_why(served: Serve) -> None:
    ftps = served(options={"max_connections": 4})
    with ExitStack() as stack:
        with witness(ftps) as seen:
            first, greeting = _connected(ftps, stack, "127.1.0.1")
            assert greeting.startswith(b"220")
            for number in range(2, 8):
                _connected(ftps, stack, f"127.1.0.{number}")
            assert read_reply(first).startswith(b"421 No login yet")
        rows = [r for r in ftps.audit("session.closed") if r["remote_ip"] == "127.1.0.1"]
        seen.row = rows[0]
    names(seen, causes.MADE_ROOM)


def test_no_login_in_time_is_named(served: Serve) -> None:
    ftps = served(options={"login_timeout": 2})
    with witness(ftps) as seen, in_the_clear(ftps) as sock:
        assert read_reply(sock).startswith(b"421 No login in time")
    names(seen, causes.NO_LOGIN_IN_TIME)
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.final_reply().startswith("421 No login in time")
    names(seen, causes.NO_LOGIN_IN_TIME)


@pytest.mark.parametrize(
    ("limit", "reply", "cause"),
    [
        ("idle_timeout", "421 Timed out", causes.IDLE),
        ("max_session_age", "421 The session is too old", causes.TOO_OLD),
    ],
    ids=("idle", "age"),
)
def test_a_session_that_is_ended_by_its_time_tells_so_and_is_no_failure(
    served: Serve, limit: str, reply: str, cause: causes.Cause
) -> None:
    ftps = served(options={limit: 2})
    with witness(ftps) as seen, ftps.login() as client:
        client.upload("a.txt", b"x")
        assert client.final_reply().startswith(reply)
    names(seen, cause, "success")
    assert f"warning  {cause.name}: once" in ftps.manage("doctor", "--partner", "acme")


def test_a_client_that_does_not_read_its_replies_is_named(served: Serve) -> None:
    ftps = served(options={"max_queued_output": 4096})
    with (
        witness(ftps) as seen,
        socket.socket() as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect((ftps.host, ftps.port))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(2000):  # the replies are 90 MB
                sock.sendall(b"HELP\r\n" * 100)
        poll = select.poll()
        poll.register(sock, select.POLLERR | select.POLLHUP)
        assert poll.poll(60_000), "still open"
    names(seen, causes.NOT_READING)


def test_lines_that_are_no_commands_are_named(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, in_the_clear(ftps) as sock:
        while not (reply := told(sock, b"\xff\r\n")).startswith("421"):
            assert reply.startswith("5")
        assert reply.startswith("421 Too many errors")
    names(seen, causes.BAD_COMMANDS)


def test_a_session_whose_connection_breaks_tells_so(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login() as client:
        client.upload("a.txt", b"x")
        assert client.sock is not None
        reset_on_close(client.sock)
        client.close()
    names(seen, causes.CONTROL_LOST, "success")


def test_a_handshake_that_is_none_is_named(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, in_the_clear(ftps) as sock:
        assert told(sock, b"AUTH TLS\r\n").startswith("234")
        sock.sendall(handshake_record(b"\x01\x00\x00\x02\x03\x03"))
        assert sock.recv(4096)[:1] == b"\x15"  # an alert
    names(seen, causes.TLS_FAILED)


# --- the data channel ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["EPSV", "PASV"])
def test_no_passive_port_is_named(served: Serve, verb: str) -> None:
    ftps = served()
    ftps.manage("partner_set", "acme", "--max-passive-listeners", "1")
    with ftps.login() as other:
        passive(other)
        with witness(ftps) as seen, ftps.login() as client:
            assert client.reply_to(verb).startswith("425 No passive port")
        names(seen, causes.NO_PASSIVE_PORT)


def test_an_address_that_is_not_found_is_named(served: Serve) -> None:
    ftps = served(options={"ftps_passive_address": "unknown.invalid"})
    with witness(ftps) as seen, ftps.login() as client:
        assert client.reply_to("PASV").startswith("425 ")
    names(seen, causes.ADDRESS_UNKNOWN)


def test_handshakes_beyond_the_budget_are_named(served: Serve) -> None:
    ftps = served()
    ftps.store.put("acme/there.txt", b"x")
    with witness(ftps) as seen, ftps.login() as client:
        address = passive(client)

        def crowd() -> None:
            for _ in range(2 * BURST):
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(address, 30) as data,
                    client.context.wrap_socket(data, server_hostname=client.host),
                ):
                    pass

        assert data_reply(client, "RETR there.txt", crowd).startswith("522 ")
    names(seen, causes.TOO_MANY_HANDSHAKES)
