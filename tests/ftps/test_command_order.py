"""What REST, ALLO and RNFR said is for the command that they precede, and for no later one."""

from __future__ import annotations

import ftplib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import ServedFtps

DATA = bytes(range(256)) * 40


def list_(client: FtpsClient) -> None:
    client.retrlines("LIST", lambda _line: None)


def refused_download(client: FtpsClient) -> None:
    with suppress(ftplib.error_perm):
        client.download("never-there.bin")


def refused_stou(client: FtpsClient) -> None:
    """It takes no offset (RFC 3659 §5.3)."""
    with pytest.raises(ftplib.error_perm, match=r"^554"):
        client.upload("", b"x", command="STOU")


BETWEEN: Final[dict[str, Callable[[FtpsClient], object]]] = {
    "LIST": list_,
    "MLSD": lambda client: client.names(),
    "a refused RETR": refused_download,
    "CWD": lambda client: client.cwd("/"),
    "SIZE": lambda client: client.size("order.bin"),
    "PWD": lambda client: client.pwd(),
    "an unknown verb": lambda client: client.reply_to("WHAT"),
    "a line that is none": lambda client: client.reply_to("STAT a\x01b"),
    "a refused STOU": refused_stou,
}


@pytest.mark.parametrize("between", BETWEEN)
def test_an_offset_is_for_the_next_command_and_no_later_one(ftps: ServedFtps, between: str) -> None:
    ftps.store.put("acme/order.bin", DATA)
    with ftps.login() as client:
        assert client.sendcmd("REST 5000").startswith("350")
        BETWEEN[between](client)
        assert client.download("order.bin") == DATA
        assert client.sendcmd("REST 5000").startswith("350")
        BETWEEN[between](client)
        assert client.upload("order-new.bin", DATA).startswith("226")
        assert client.delete("order-new.bin").startswith("250")


@pytest.mark.parametrize("line", ["NOOP", "TYPE I", "MODE S", "STRU F", "PROT P", "EPRT |1||9|"])
def test_what_sets_a_transfer_up_leaves_its_offset(ftps: ServedFtps, line: str) -> None:
    """RFC 959 §4.1.3: NOOP affects nothing that was sent before it; clients send the parameters
    and EPSV on either side of REST."""
    ftps.store.put("acme/order.bin", DATA)
    with ftps.login() as client:
        assert client.sendcmd("REST 5000").startswith("350")
        client.reply_to(line)
        assert client.download("order.bin") == DATA[5000:]  # TYPE I and EPSV stand between, too


def test_the_last_offset_counts(ftps: ServedFtps) -> None:
    ftps.store.put("acme/order.bin", DATA)
    with ftps.login() as client:
        client.sendcmd("REST 5000")
        assert client.download("order.bin", rest=0) == DATA


@pytest.mark.parametrize("line", ["PWD", "SIZE old.txt", "TYPE I", "REST 0", "WHAT", "CWD /"])
def test_rnto_without_rnfr_directly_before_it_renames_nothing(ftps: ServedFtps, line: str) -> None:
    """RFC 959 §4.1.3: RNFR must be immediately followed by RNTO."""
    ftps.store.put("acme/old.txt", b"old")
    with ftps.login() as client:
        assert client.sendcmd("RNFR old.txt").startswith("350")
        client.reply_to(line)
        assert client.reply_to("RNTO new.txt").startswith("503")
    assert ftps.stored("acme/old.txt") == b"old"
    assert "acme/new.txt" not in set(ftps.keys())


def test_noop_between_rnfr_and_rnto_affects_nothing(ftps: ServedFtps) -> None:
    ftps.store.put("acme/kept-alive.txt", b"old")
    with ftps.login() as client:
        assert client.sendcmd("RNFR kept-alive.txt").startswith("350")
        assert client.sendcmd("NOOP").startswith("200")
        assert client.sendcmd("RNTO renamed.txt").startswith("250")
        assert client.delete("renamed.txt").startswith("250")
