"""What may be a file's name, what may not, and what is said of it."""

from __future__ import annotations

import ftplib
import re

import pytest

from tests.fixtures.served import Serve, ServedFtps


@pytest.fixture(params=["filesystem", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing(storage=request.param)


@pytest.mark.parametrize("end", ["/", "//", "/."])
def test_a_file_is_not_named_as_a_directory(anywhere: ServedFtps, end: str) -> None:
    with anywhere.login() as client:
        client.upload("slash.txt", b"x")
        client.voidcmd("TYPE I")
        for verb in ("SIZE", "MDTM", "HASH", "DELE"):
            assert client.reply_to(f"{verb} slash.txt{end}").startswith("550"), verb
        for verb in ("STOR", "APPE"):
            assert client.try_to_store(f"{verb} unslashed{end}", b"y").startswith("550"), verb
        with pytest.raises(ftplib.error_perm, match=r"^550"):
            client.download(f"slash.txt{end}")
        assert client.download("slash.txt") == b"x"
        assert "unslashed" not in client.names()


def test_a_name_that_is_refused_is_told_why(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert "backslash" in client.reply_to("MKD a\\b")
        assert "longer than 255 bytes" in client.reply_to("MKD " + "€" * 86)
        assert "longer than 1024 bytes" in client.reply_to("MKD " + "/a234567890" * 100)
        assert client.reply_to("MKD tab\there").startswith("501")


def test_a_directory_cannot_be_moved_into_itself(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.reply_to("MKD loop")
        client.reply_to("MKD loop/in")
        client.sendcmd("RNFR loop")
        assert client.reply_to("RNTO loop/in/loop").startswith("553 A directory cannot")
        client.sendcmd("RNFR loop")
        assert client.reply_to("RNTO loop").startswith("250")  # onto itself: nothing to do
        assert "in" in client.names("loop")


def test_renaming_a_file_onto_itself_loses_nothing(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.upload("same.txt", b"kept")
        assert client.rename("same.txt", "./same.txt").startswith("250")
        assert client.download("same.txt") == b"kept"


def test_nothing_is_made_below_a_file(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.upload("leaf.txt", b"x")
        client.upload("other.txt", b"x")
        client.reply_to("MKD branch")
        for path in ("leaf.txt/d", "leaf.txt/d/e"):
            assert client.reply_to(f"MKD {path}").startswith("550"), path
            client.makepasv()
            assert client.reply_to(f"STOR {path}") == "550 Not a directory.", path
            for source in ("other.txt", "branch"):
                client.sendcmd(f"RNFR {source}")
                assert client.reply_to(f"RNTO {path}").startswith("550"), path
        assert client.delete("leaf.txt").startswith("250")
        assert client.reply_to("CWD leaf.txt").startswith("550")  # no directory is in its place
        assert client.download("other.txt") == b"x"


def test_mdtm_sets_no_time_and_says_so(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.upload("timed.txt", b"x")
        told = client.sendcmd("MDTM timed.txt")
        for line in ("MDTM 20200102030405 timed.txt", "MDTM 20200102030405.123 timed.txt"):
            assert re.match(r"550 .*sets no time", client.reply_to(line))
        assert client.sendcmd("MDTM timed.txt") == told
        client.upload("20200102030405 timed.txt", b"x")  # RFC 3659 §3.1: it is a name like others
        assert client.sendcmd("MDTM 20200102030405 timed.txt").startswith("213 ")


@pytest.mark.parametrize("storage", ["filesystem", "s3"])
def test_an_operator_renames_a_directory_in_the_partners_name(
    standing: Serve, storage: str
) -> None:
    ftps = standing("sqlite", storage, workers=1)
    with ftps.login() as client:
        client.reply_to("MKD of-2025")
        client.upload("of-2025/a", b"bytes")
        assert "is a file" in ftps.manage(
            "partner_rename_directory", "acme", "/of-2025/a", "/b", check=False
        )
        ftps.manage("partner_rename_directory", "acme", "/of-2025", "/archive-2025")
        assert client.download("archive-2025/a") == b"bytes"
        assert client.reply_to("CWD of-2025").startswith("550")
    row = ftps.audit("file.renamed")[-1]
    assert (row["path"], row["partner"], row["outcome"]) == (
        "/of-2025 -> /archive-2025",
        "acme",
        "success",
    )
    assert "command" in row["actor"]
