"""Writers in blocks over real sockets: APPE, and REST at the end with STOR, to finished files."""

from __future__ import annotations

import io
import os
from typing import Final

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps

MIB: Final = 1024 * 1024


@pytest.fixture(params=["filesystem", "s3", "memory"])
def appending(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """A service whose partners' files may be appended to."""
    ftps = standing("sqlite", storage=request.param, options={"part_size": 8388608})
    for partner in ("acme", "globex"):
        ftps.manage("partner_set", partner, "--overwrite", "replace", "--append", "on")
    return ftps


def store(client: FtpsClient, command: str, data: bytes, rest: int | None = None) -> str:
    """As :meth:`FtpsClient.upload`; the reply's text, errors included."""
    return client.try_to_store(command, data, rest=rest)


def test_a_writer_in_blocks_stores_its_file(appending: ServedFtps) -> None:
    """fsspec's way: STOR, then REST at what was sent and STOR, a block each."""
    blocks = [os.urandom(3 * MIB) for _ in range(4)]
    with appending.login() as client:
        at = 0
        for number, block in enumerate(blocks):
            reply = store(client, "STOR in-blocks", block, rest=at or None)
            assert reply.startswith("226 "), reply
            assert (f"; appended at {at}." in reply) == (number > 0)
            at += len(block)
            assert client.size("in-blocks") == at  # each step is published
        assert client.download("in-blocks") == b"".join(blocks)


def test_appe_adds_to_what_is_there(appending: ServedFtps) -> None:
    """suppaftp's way."""
    with appending.login() as client:
        for line in (b"one\n", b"two\n", b"", b"three\n"):
            assert store(client, "APPE lines.log", line).startswith("226 ")
        assert client.download("lines.log") == b"one\ntwo\nthree\n"
        client.voidcmd("TYPE A")
        client.storlines("APPE lines.log", io.BytesIO(b"four\n"))
        client.voidcmd("TYPE I")
        assert client.download("lines.log") == b"one\ntwo\nthree\nfour\n"
        facts = {name: f for name, f in client.mlsd() if name == "lines.log"}
        assert facts["lines.log"]["perm"].startswith("a")


def test_another_offset_is_told_the_one_that_fits(appending: ServedFtps) -> None:
    with appending.login() as client:
        client.upload("offsets", b"12345")
        reply = store(client, "STOR offsets", b"x", rest=4)
        assert reply.startswith("554 The file has 5 bytes; REST 5 appends to it.")
        assert client.download("offsets") == b"12345"
        client.truncated_upload("offsets-cut", b"x" * 10)
        store(client, "APPE offsets", b"67890")
        assert client.download("offsets", rest=5) == b"67890"


def test_a_connection_that_breaks_leaves_the_file(appending: ServedFtps) -> None:
    with appending.login() as client:
        client.upload("kept.bin", b"old")
        client.voidcmd("TYPE I")
        with client.transfercmd("APPE kept.bin") as connection:
            connection.sendall(os.urandom(MIB))
        assert client.final_reply().startswith("426")
        assert client.download("kept.bin") == b"old"
        assert client.size("kept.bin") == 3
        assert store(client, "STOR kept.bin", b" new", rest=3).startswith("226")
        assert client.download("kept.bin") == b"old new"


def test_after_twenty_a_day_it_is_552(appending: ServedFtps) -> None:
    with appending.login() as client:
        for _ in range(21):
            assert store(client, "APPE often", b".").startswith("226")
        reply = store(client, "APPE often", b".")
        assert reply.startswith("552 A file is appended to at most 20 times in 24 hours")
        assert client.download("often") == b"." * 21
        assert store(client, "STOR often", b"whole").startswith("226")


def test_off_is_the_default_and_other_policies_refuse_it(standing: Serve) -> None:
    ftps = standing()
    with ftps.login() as client:
        client.upload("finished", b"old")
        for command, rest in (("APPE finished", None), ("STOR finished", 3)):
            reply = store(client, command, b"x", rest=rest)
            assert reply.startswith("550 The file is finished and nothing is appended to it")
    for overwrite in ("reject", "version"):
        said = ftps.manage(
            "partner_set", "acme", "--append", "on", "--overwrite", overwrite, check=False
        )
        assert f"and this partner has “{overwrite}”" in said
