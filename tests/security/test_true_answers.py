"""Replies tell what is so, whoever changed it a moment ago (row 44)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import BucketStore

Pair = tuple[FtpsClient, FtpsClient]


@pytest.fixture(params=["filesystem", "s3", "memory", "another node"])
def pair(request: pytest.FixtureRequest, standing: Serve, served: Serve) -> Iterator[Pair]:
    """Two sessions of one account: who looks, and who changes what is there."""
    node = request.param == "another node"
    here = standing("sqlite", "s3" if node else request.param)
    there = served("sqlite", "s3", beside=here) if node else here
    with here.login() as looking, there.login() as changing:
        yield looking, changing


def code(client: FtpsClient, line: str) -> str:
    """The reply's code, errors included."""
    return client.reply_to(line)[:3]


def test_row_44_a_size_is_that_of_the_file_that_another_session_just_stored(pair: Pair) -> None:
    looking, changing = pair
    changing.upload("grows.txt", b"12345")
    assert looking.size("grows.txt") == 5
    assert "size=5;" in looking.sendcmd("MLST grows.txt")
    changing.upload("grows.txt", b"1234567890")
    assert looking.size("grows.txt") == 10
    assert "size=10;" in looking.sendcmd("MLST grows.txt")
    assert " 10 " in looking.sendcmd("STAT grows.txt")
    assert looking.sendcmd("HASH grows.txt").startswith("213 SHA-256 0-10 ")


def test_row_44_a_file_that_another_session_deleted_is_gone_for_every_verb(pair: Pair) -> None:
    looking, changing = pair
    verbs = ("SIZE", "MDTM", "MLST", "STAT", "RNFR", "HASH", "XSHA256", "DELE")
    for verb in verbs:
        changing.upload("goes.txt", b"12345")
        for seen in verbs[:-1]:
            assert code(looking, f"{seen} goes.txt")[0] in "23", seen
        changing.delete("goes.txt")
        assert code(looking, f"{verb} goes.txt") == "550", verb


def test_row_44_a_directory_that_another_session_renamed_is_under_its_new_name_alone(
    pair: Pair,
) -> None:
    looking, changing = pair
    looking.sendcmd("TYPE I")
    for verb in ("CWD", "MLST", "RNFR", "STAT"):
        changing.mkd("old")
        assert code(looking, "MLST new") == "550"
        for seen in ("MLST", "RNFR", "STAT"):
            assert code(looking, f"{seen} old")[0] in "23"
        changing.rename("old", "new")
        assert code(looking, f"{verb} old") == "550", verb
        assert code(looking, "MLST new") == "250"
        changing.rmd("new")


def test_row_44_what_is_listed_is_what_another_session_left(pair: Pair) -> None:
    looking, changing = pair
    changing.mkd("listed")
    assert looking.names("listed") == []
    changing.upload("listed/a", b"a")
    assert looking.names("listed") == ["a"]
    changing.rename("listed/a", "listed/b")
    assert looking.names("listed") == ["b"]
    assert looking.nlst("listed") == ["listed/b"]
    changing.delete("listed/b")
    changing.rmd("listed")


@pytest.fixture
def bucket(standing: Serve) -> Iterator[tuple[ServedFtps, BucketStore, FtpsClient]]:
    ftps = standing("sqlite", "s3")
    assert isinstance(ftps.store, BucketStore)
    with ExitStack() as stack:
        client = stack.enter_context(ftps.login())
        client.upload("there.txt", b"12345")
        code(client, "MKD directory")
        yield ftps, ftps.store, client


@pytest.mark.parametrize("verb", ["SIZE", "MDTM", "MLST", "RNFR", "STAT", "HASH"])
def test_row_44_a_true_answer_of_a_file_costs_one_storage_request(
    bucket: tuple[ServedFtps, BucketStore, FtpsClient], verb: str
) -> None:
    _, store, client = bucket
    before = len(store.server.requests(store.bucket))
    for _ in range(3):
        assert code(client, f"{verb} there.txt")[0] in "23"
    asked = store.server.requests(store.bucket)[before:]
    assert asked == [f"HEAD /{store.bucket}/acme/there.txt"] * 3


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("SIZE missing", "550"),
        ("MLST missing", "550"),
        ("RNFR missing", "550"),
        ("CWD missing", "550"),
        ("CWD /directory", "250"),
        ("MLST /directory", "250"),
    ],
)
def test_row_44_a_missing_name_or_a_directory_costs_two(
    bucket: tuple[ServedFtps, BucketStore, FtpsClient], line: str, answer: str
) -> None:
    _, store, client = bucket
    before = len(store.server.requests(store.bucket))
    assert code(client, line) == answer
    assert len(store.server.requests(store.bucket)) - before == 2
