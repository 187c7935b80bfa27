"""A client that was cut off is back before that was noticed: it is told the durable length."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps

PART = 64 * 1024


@pytest.fixture
def ftps(standing: Serve) -> ServedFtps:
    return standing(options={"part_size": PART})


@contextmanager
def running(ftps: ServedFtps, name: str) -> Iterator[FtpsClient]:
    """An upload whose client says nothing any more, with three parts stored."""
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd(f"STOR {name}") as connection:
            connection.sendall(b"x" * (3 * PART + 1000))
            wait_for_parts(ftps, name)
            yield client


def wait_for_parts(ftps: ServedFtps, name: str) -> None:
    deadline = time.monotonic() + 20
    query = "SELECT received FROM securedrop_ftp_upload WHERE path = %s"
    while time.monotonic() < deadline:
        if any(row["received"] == 3 * PART for row in ftps.query(query, f"/{name}")):
            return
        time.sleep(0.05)
    raise AssertionError("the parts were not stored")


@pytest.mark.parametrize("verb", ["SIZE", "MLST", "MDTM"])
def test_it_waits_for_the_end(ftps: ServedFtps, verb: str) -> None:
    name = f"ending-{verb}.bin"
    with ftps.login() as second:
        second.voidcmd("TYPE I")
        with running(ftps, name) as first:
            assert first.sock is not None
            line = threading.Timer(1.0, first.sock.shutdown, [2])
            line.start()
            began = time.monotonic()
            reply = second.reply_to(f"{verb} {name}")
            took = time.monotonic() - began
            line.join()
        assert reply.startswith("2"), reply
        assert 0.8 < took < 3.0
        if verb == "SIZE":
            assert reply == f"213 {3 * PART}"


def test_it_waits_no_longer_than_three_seconds_and_ends_nothing(ftps: ServedFtps) -> None:
    with ftps.login() as second:
        second.voidcmd("TYPE I")
        with running(ftps, "running.bin"):
            began = time.monotonic()
            told = second.reply_to("SIZE running.bin")
            assert told in {f"213 {2 * PART}", f"213 {3 * PART}"}  # whole parts that are stored
            assert 2.5 < time.monotonic() - began < 6
            states = ftps.query(
                "SELECT state FROM securedrop_ftp_upload WHERE path = '/running.bin'"
            )
            assert [row["state"] for row in states] == ["receiving"]


def test_it_does_not_wait_for_one_that_goes_on(ftps: ServedFtps) -> None:
    with ftps.login() as second, ftps.login() as first:
        for client in (first, second):
            client.voidcmd("TYPE I")
        with first.transfercmd("STOR going.bin") as connection:
            connection.sendall(b"x" * (3 * PART + 1000))
            wait_for_parts(ftps, "going.bin")
            more = threading.Timer(0.5, connection.sendall, [b"x" * 2 * PART])
            more.start()
            began = time.monotonic()
            told = second.reply_to("SIZE going.bin")
            took = time.monotonic() - began
            more.join()
        assert told.startswith("213 ")
        assert took < 2.5


def test_a_name_of_nothing_is_answered_at_once(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        began = time.monotonic()
        assert client.reply_to("SIZE nothing.bin").startswith("550")
        assert time.monotonic() - began < 2
