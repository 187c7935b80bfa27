"""Every mode × every verb (CVE-2019-12815), and the neighbour's files by every verb."""

from __future__ import annotations

import ftplib
from pathlib import Path

import pytest

from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

#: Mode's account to the verbs that it may use on a finished file and on directories.
MAY = {
    "alice": {"STOR", "APPE-new", "RETR", "LIST", "SIZE", "DELE", "RENAME", "MKD", "RMD", "HASH"},
    "carol": {"STOR", "APPE-new", "MKD"},
    "dave": {"RETR", "LIST", "SIZE", "HASH"},
    "erin": {"STOR", "APPE-new", "LIST", "SIZE", "MKD"},
}


@pytest.fixture(scope="module")
def prepared(standing: Serve) -> ServedFtps:
    """Each partner's prefix holds a file, an empty directory; the mode may forbid to make them."""
    ftps = standing("sqlite", "filesystem", options={"part_size": 1048576}, workers=1)
    with ftps.login("alice") as client:
        client.upload("/there.txt", b"bytes")
    location = str(ftps.settings["STORAGE_URL"]).removeprefix("file://")
    for partner in ("acme", "initech", "umbrella", "hooli"):
        directory = Path(location) / partner / "empty"
        directory.mkdir(parents=True, exist_ok=True)
        (Path(location) / partner / "there.txt").write_bytes(b"bytes")
        (Path(location) / partner / "doomed.txt").write_bytes(b"bytes")
    return ftps


def attempt(ftps: ServedFtps, username: str, verb: str) -> bool:
    """Whether the verb did it."""
    with ftps.login(username) as client:
        try:
            if verb == "STOR":
                client.upload(f"new-{username}.txt", b"x")
            elif verb == "APPE-new":
                client.upload(f"appended-{username}.txt", b"x", "APPE")
            elif verb == "RETR":
                return client.download("there.txt") == b"bytes"
            elif verb == "LIST":
                client.nlst()
            elif verb == "SIZE":
                client.size("there.txt")
            elif verb == "DELE":
                client.delete("doomed.txt")
            elif verb == "RENAME":
                client.rename("there.txt", "elsewhere.txt")
                client.rename("elsewhere.txt", "there.txt")
            elif verb == "MKD":
                client.mkd(f"made-{username}")
            elif verb == "RMD":
                client.rmd("empty")
            elif verb == "HASH":
                return not client.reply_to("HASH there.txt").startswith("550")
        except ftplib.error_perm as exc:
            if not str(exc).startswith("550"):
                raise
            return False
    return True


@pytest.mark.parametrize("verb", sorted(MAY["alice"]))
@pytest.mark.parametrize("username", MAY)
def test_a_mode_gives_what_it_says_and_nothing_more(
    prepared: ServedFtps, username: str, verb: str
) -> None:
    assert attempt(prepared, username, verb) == (verb in MAY[username])


NEIGHBOUR = [
    "/../acme/there.txt", "../acme/there.txt", "..\\acme\\there.txt", "/acme/there.txt",
    "//acme/there.txt", "/./../acme/there.txt", "acme/there.txt", "/globex/../acme/there.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", NEIGHBOUR)
def test_the_neighbours_file_is_out_of_reach_of_every_verb(prepared: ServedFtps, name: str) -> None:
    before = prepared.stored("acme/there.txt")
    with prepared.login("bob") as client:
        for line in ("SIZE", "MDTM", "DELE", "RMD", "CWD", "RNFR", "HASH"):
            assert client.reply_to(f"{line} {name}")[0] == "5", line
        for verb in ("RETR", "MLSD", "LIST", "NLST"):
            client.makepasv()
            assert client.reply_to(f"{verb} {name}")[0] == "5", verb
        client.upload("mine.txt", b"mine")
        client.sendcmd("RNFR mine.txt")
        client.reply_to(f"RNTO {name}")  # inside its own prefix, if anywhere
        assert prepared.stored("acme/there.txt") == before
        client.reply_to(f"DELE {name}")
    assert prepared.stored("acme/there.txt") == before


def test_a_refused_act_is_in_the_audit_trail(prepared: ServedFtps) -> None:
    before = len(prepared.audit("access.denied"))
    attempt(prepared, "dave", "DELE")
    wait_until(lambda: len(prepared.audit("access.denied")) > before, "the row")
    row = prepared.audit("access.denied")[-1]
    assert (row["account"], row["outcome"]) == ("dave", "denied")
    assert row["path"].strip("/") == "doomed.txt"


def test_a_drop_account_renames_what_it_stored_in_any_session(prepared: ServedFtps) -> None:
    with prepared.login("carol") as client:
        client.upload("invoice.tmp", b"whole")
        assert client.rename("invoice.tmp", "invoice.xml").startswith("250")
        assert client.reply_to("RNFR there.txt").startswith("550")
    with prepared.login("carol") as client:
        assert client.rename("invoice.xml", "invoice.done").startswith("250")
    assert prepared.stored("initech/invoice.done") == b"whole"
