"""Commands that wait behind a transfer hide nothing that is to end it."""

from __future__ import annotations

import os
import socket

import pytest

from securedrop_ftp.ftps.waiting import WaitingLines
from securedrop_ftp.ftps.wire import Command, parse
from tests.clients import FtpsClient
from tests.fixtures.processes import wait_until
from tests.fixtures.served import ServedFtps

#: More than the queue takes outside a transfer (``max_queued_lines``), and than one turn takes.
CROWDS = {
    "NOOP": ["NOOP"] * 2000,
    "all different": [f"SIZE name-{n}.dat" for n in range(1000)],
}


def say(client: FtpsClient, *lines: str) -> None:
    say_bytes(client, "".join(f"{line}\r\n" for line in lines).encode())


@pytest.mark.parametrize("crowd", CROWDS)
def test_abor_is_heeded_behind_whatever_waits(ftps: ServedFtps, crowd: str) -> None:
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR behind.bin") as data:
            data.sendall(b"a" * 50_000)
            say(client, *CROWDS[crowd], "STAT", "ABOR")
            assert client.final_reply().startswith("213")
            assert client.final_reply().startswith("426")
            assert client.final_reply().startswith("226 ABOR")
        answers = {client.final_reply()[:3] for _ in CROWDS[crowd]}
        assert answers == ({"200"} if crowd == "NOOP" else {"550"})
        assert client.sendcmd("PWD").startswith("257")
    assert "acme/behind.bin" not in set(ftps.keys())


@pytest.mark.parametrize("crowd", CROWDS)
def test_stat_and_abor_reach_a_download_that_nobody_reads(ftps: ServedFtps, crowd: str) -> None:
    ftps.store.put("acme/unread.bin", os.urandom(1024) * 30_000)
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR unread.bin") as data:
            data.recv(1000)
            say(client, *CROWDS[crowd], "STAT", "ABOR")
            assert [client.final_reply()[:3] for _ in range(3)] == ["213", "426", "226"]


@pytest.mark.parametrize("crowd", CROWDS)
def test_the_upload_of_a_client_that_is_gone_ends_whatever_waits(
    ftps: ServedFtps, crowd: str
) -> None:
    path = f"/gone-{crowd.replace(' ', '-')}.bin"
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd(f"STOR {path}") as data:
            data.sendall(b"a" * 50_000)
            say(client, *CROWDS[crowd])
            client.close()
            wait_until(lambda: _ended(ftps, path), "the end of the upload")


def test_abor_in_one_write_with_a_transfer_and_more_is_heeded(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.makepasv()  # nobody connects
        say(client, "STOR never-came.bin", "NOOP", "PWD", "ABOR")
        replies = [client.final_reply()[:3] for _ in range(5)]
    assert replies == ["150", "426", "226", "200", "257"] or replies[:2] == ["426", "226"]


def test_urgent_data_below_tls_does_no_harm(ftps: ServedFtps) -> None:
    """Clients send Telnet's Synch as urgent data (RFC 959 §4.1.3), some of them below TLS."""
    with ftps.login() as client:
        assert client.sock is not None
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR urgent.bin") as data:
            data.sendall(b"a" * 50_000)
            with socket.socket(fileno=os.dup(client.sock.fileno())) as below:
                below.send(b"\xff", socket.MSG_OOB)
            say_bytes(client, b"\xff\xf4\xff\xf2ABOR\r\n")
            assert client.final_reply().startswith("426")
            assert client.final_reply().startswith("226 ABOR")
        assert client.sendcmd("PWD").startswith("257")


def say_bytes(client: FtpsClient, data: bytes) -> None:
    assert client.sock is not None
    client.sock.sendall(data)


def _ended(ftps: ServedFtps, path: str) -> bool:
    names = {row["event"] for row in ftps.audit() if row["path"] == path}
    return bool(names & {"upload.aborted", "upload.suspended"})


def test_keeping_the_control_channel_alive_is_answered_after_the_transfer(
    ftps: ServedFtps,
) -> None:
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR kept.bin") as data:
            for _ in range(400):
                data.sendall(b"b" * 1000)
                say(client, "NOOP")
            data.unwrap()  # type: ignore[attr-defined]  # the data channel is a TLS socket
        assert client.final_reply().startswith("226")
        assert {client.final_reply()[:3] for _ in range(400)} == {"200"}


def test_who_sends_without_end_behind_a_transfer_is_cut_off(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR endless.bin") as data:
            data.sendall(b"a")
            for n in range(20):
                say(client, *(f"SIZE {n}-{i}" for i in range(500)))
            assert client.final_reply().startswith("421")
    wait_until(lambda: _ended(ftps, "/endless.bin"), "the end of the upload")


def test_equal_lines_in_a_row_are_kept_once() -> None:
    lines, noop = WaitingLines(), Command("NOOP")
    for _ in range(100_000):
        lines.append(noop)
    lines.append(Command("PWD"))
    assert len(lines) == 100_001
    assert lines.cost < 1000
    assert [lines.popleft() for _ in range(100_001)][-2:] == [noop, Command("PWD")]
    assert (len(lines), lines.cost) == (0, 0)


def test_a_line_is_taken_out_of_its_turn_up_to_a_bound() -> None:
    lines = WaitingLines()
    for verb in ("NOOP", "NOOP", "ABOR", "STOR", "QUIT"):
        lines.append(Command(verb))

    def take(verb: str) -> object:
        return lines.take(lambda i: i == Command(verb), until=lambda i: i == Command("STOR"))

    assert take("QUIT") is None
    assert take("ABOR") == Command("ABOR")
    assert take("NOOP") == Command("NOOP")
    assert [lines.popleft() for _ in range(len(lines))] == [
        Command("NOOP"), Command("STOR"), Command("QUIT")
    ]  # fmt: skip
    assert lines.cost == 0


@pytest.mark.parametrize(
    "before",
    [
        b"\xff\xf4\xff\xf2",
        b"\xff\xf4\xff",  # Data Mark went as urgent data
        b"\xf2",  # IAC did
        b"\xff\xf4\xf2",
        b"\xff\xf1\xff\xfb\x03\xff\xfe\xff",  # no operation, WILL, DON'T
    ],
)
def test_telnet_before_a_command_is_skipped(before: bytes) -> None:
    """RFC 959 §4.1.3: IP and Synch stand before ABOR and STAT; RFC 854 has the rest."""
    assert parse(before + b"ABOR") == Command("ABOR")
