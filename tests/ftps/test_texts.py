"""Files under TYPE A as clients send them: converted, refused, or stored as sent, by partner."""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import pytest

from tests.clients import FtpsClient
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024
LINES = b"".join(b"line %d, of some length\n" % n for n in range(2000))
#: Parts are 5 MiB: these have one, several, and CR LF across their edges.
SOURCES = {
    "empty": b"",
    "one-byte": b"\n",
    "last-cr": b"x\r",
    "lines": LINES,
    "no-last-line-end": LINES + b"end",
    "bare-cr": b"a\rb\n\rc\r\r",
    "empty-lines": b"\n" * 200_001,
    "long": LINES * 250,
    "binary": os.urandom(6 * MIB + 1).replace(b"\r\n", b"\r."),
}


@pytest.fixture(params=[("sqlite", "filesystem"), ("postgres", "s3")], ids="-".join)
def ftps(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    """A server whose uploads have one part in memory, so that they wait for storage."""
    ftps = standing(*request.param, options={"part_size": 5 * MIB, "upload_memory": 5 * MIB})
    choose(ftps, "convert")
    return ftps


def choose(ftps: ServedFtps, ascii_: str, **others: object) -> None:
    columns = {"ascii": ascii_, "max_file_size": None, "overwrite": "", **others}
    sets = ", ".join(f"{name} = %s" for name in columns)
    ftps.query(
        f"UPDATE securedrop_ftp_partner SET {sets} WHERE name = 'acme'",
        *columns.values(),
    )


def as_filezilla(data: bytes) -> bytes:
    """FileZilla on Unix and commons-net alike: CR before each LF that has none."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", data)


def as_read_by_them(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def send(client: FtpsClient, command: str, data: bytes) -> str:
    with client.transfercmd(command) as channel:
        channel.sendall(data)
        channel.unwrap()  # type: ignore[attr-defined]
    return client.final_reply()


def fetch(client: FtpsClient, path: str) -> bytes:
    got = io.BytesIO()
    with client.transfercmd(f"RETR {path}") as channel:
        while chunk := channel.recv(65536):
            got.write(chunk)
        channel.unwrap()  # type: ignore[attr-defined]
    assert client.final_reply().startswith("226")
    return got.getvalue()


def rows_of(ftps: ServedFtps, path: str) -> list[dict[str, object]]:
    return [row for row in ftps.audit() if row["path"] == path]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("type_", ["TYPE A", ""], ids=["filezilla", "commons-net"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_file_arrives_as_its_sender_has_it_and_comes_back_so(
    ftps: ServedFtps, source: str, type_: str
) -> None:
    data = SOURCES[source]
    path = f"/{source}-{type_[-1:]}.txt"
    with ftps.login(
        binary=False
    ) as client:  # a session begins under TYPE A, and commons-net says nothing
        if type_:
            client.voidcmd(type_)
        reply = send(client, f"STOR {path}", as_filezilla(data))
        assert reply.startswith(f"226 Transfer complete; {len(data)} bytes; SHA-256 {digest(data)}")
        assert f"{len(as_filezilla(data))} bytes came under TYPE A" in reply
        assert as_read_by_them(fetch(client, path)) == data
        client.voidcmd("TYPE I")
        assert fetch(client, path) == data
        assert client.size(path) == len(data)
        assert client.sendcmd(f"HASH {path}").split()[3] == digest(data)
    assert ftps.stored(f"acme{path}") == data
    (row, *_), upload = rows_of(ftps, path), ftps.uploads()[-1]
    assert (row["event"], row["size"], row["sha256"]) == (
        "upload.committed",
        len(data),
        digest(data),
    )
    assert str(len(as_filezilla(data))) in str(row["details"])
    assert digest(as_filezilla(data)) in str(row["details"])
    assert (upload["size"], upload["sent_size"]) == (len(data), len(as_filezilla(data)))
    assert bool(upload["converted"])


def test_a_cr_lf_that_two_tls_records_share_is_one(ftps: ServedFtps) -> None:
    with ftps.login(binary=False) as client:
        with client.transfercmd("STOR /records.txt") as channel:
            for piece in (b"a\r", b"\nb\r", b"\r", b"\n", b"c\r", b"d\r"):
                channel.sendall(piece)
                wait_until(lambda: "0 bytes" not in client.reply_to("STAT"), "bytes")
            channel.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
    assert ftps.stored("acme/records.txt") == b"a\nb\r\nc\rd\r"


@pytest.mark.parametrize("command", ["STOU", "APPE /new.txt"])
def test_every_verb_that_stores_converts(ftps: ServedFtps, command: str) -> None:
    with ftps.login(binary=False) as client:
        client.reply_to("DELE /new.txt")
        assert send(client, command, b"a\r\nb\r\n").startswith("226")
    assert ftps.stored(str(ftps.uploads()[-1]["key"])) == b"a\nb\n"


def test_real_clients_get_back_what_they_sent(ftps: ServedFtps, tmp_path: Path) -> None:
    source = tmp_path / "lines.txt"
    source.write_bytes(LINES * 20)
    done = ftps.lftp(f"put -a {source} -o /lftp.txt", f"get -a /lftp.txt -o {tmp_path}/lftp.back")
    assert done.returncode == 0, done.stderr
    assert ftps.stored("acme/lftp.txt") == LINES * 20
    assert (tmp_path / "lftp.back").read_bytes() == LINES * 20
    # curl sets the type and leaves the bytes alone, both ways, unless told --crlf.
    for options in ([], ["--crlf"]):
        done = ftps.curl("-B", *options, "-T", str(source), path="/curl.txt")
        assert done.returncode == 0, done.stderr
        assert ftps.stored("acme/curl.txt") == LINES * 20
        assert "TYPE A" in ftps.audit("upload.committed")[-1]["reply"]
    done = ftps.curl("-B", "-o", str(tmp_path / "curl.back"), path="/curl.txt")
    assert done.returncode == 0, done.stderr
    assert as_read_by_them((tmp_path / "curl.back").read_bytes()) == LINES * 20


def test_under_type_a_nothing_begins_in_the_midst_of_a_file(ftps: ServedFtps) -> None:
    with ftps.login(binary=False) as client:
        client.upload("/middle.txt", LINES)
        client.voidcmd("TYPE A")
        reply = client.reply_to("REST 5")
        assert reply.startswith("554")
        assert "TYPE I" in reply
        assert client.reply_to("REST 0").startswith("350")
        for verb in ("STOR", "RETR"):
            client.voidcmd("TYPE I")
            assert client.reply_to("REST 5").startswith("350")
            client.voidcmd("TYPE A")
            client.makepasv()
            reply = client.reply_to(f"{verb} /middle.txt")
            assert reply.startswith("554")
            assert "TYPE I" in reply
        reply = client.reply_to("SIZE /middle.txt")
        assert reply.startswith("550")
        assert "TYPE I" in reply
    rejected = [r["event"] for r in rows_of(ftps, "/middle.txt") if "554" in str(r["reply"])]
    assert rejected == ["upload.rejected", "download.aborted"]


def test_what_is_converted_is_not_gone_on_with_however_it_ends(ftps: ServedFtps) -> None:
    with ftps.login(binary=False) as client:
        channel = client.transfercmd("STOR /cut.txt")
        channel.sendall(as_filezilla(LINES * 300))
        channel.close()
        assert client.final_reply().startswith("426")
        client.voidcmd("TYPE I")
        assert client.reply_to("SIZE /cut.txt").startswith("550")
        client.sendcmd("REST 5242880")
        client.makepasv()
        assert client.reply_to("STOR /cut.txt").startswith("554 There is nothing to go on with")
    assert next(row["event"] for row in rows_of(ftps, "/cut.txt")) == "upload.aborted"


def test_who_takes_over_finds_nothing_to_go_on_with(ftps: ServedFtps) -> None:
    path = "/overtaken.txt"
    with ftps.login(binary=False) as old, ftps.login(binary=False) as new:
        channel = old.transfercmd(f"STOR {path}")
        channel.sendall(as_filezilla(LINES * 300))
        wait_until(lambda: ftps.uploads()[-1]["parts"] not in ("[]", []), "a part in the ledger")
        new.voidcmd("TYPE I")
        new.sendcmd("REST 5242880")
        new.makepasv()
        assert new.reply_to(f"STOR {path}").startswith("554 There is nothing to go on with")
        assert new.upload(path, b"whole").startswith("226")
        channel.close()
        assert old.final_reply()[0] in "45"
    assert ftps.stored(f"acme{path}") == b"whole"
    ended = [row["event"] for row in rows_of(ftps, path) if row["event"] != "upload.rejected"]
    assert sorted(map(str, ended)) == ["upload.aborted", "upload.committed"]


def test_appe_does_not_go_on_with_bytes_that_came_under_type_i(ftps: ServedFtps) -> None:
    with ftps.login(binary=False) as client:
        client.voidcmd("TYPE I")
        channel = client.transfercmd("STOR /appended.txt")
        channel.sendall(LINES * 300)
        channel.close()
        assert client.final_reply().startswith("426")
        length = client.size("/appended.txt")
        assert length is not None
        client.voidcmd("TYPE A")
        client.makepasv()
        reply = client.reply_to("APPE /appended.txt")
        assert reply.startswith("554")
        assert "TYPE I" in reply
        client.voidcmd("TYPE I")
        assert client.size("/appended.txt") == length
        assert send(client, "APPE /appended.txt", (LINES * 300)[length:]).startswith("226")
    assert ftps.stored("acme/appended.txt") == LINES * 300


@pytest.mark.parametrize("command", ["STOR /no.txt", "STOU", "APPE /no.txt", "RETR /there.txt"])
def test_refused_files_leave_a_row_and_a_reply_that_name_type_i(
    ftps: ServedFtps, command: str
) -> None:
    choose(ftps, "refuse")
    with ftps.login(binary=False) as client:
        client.upload("/there.txt", LINES)
        assert client.voidcmd("TYPE A").startswith("200 Type is ASCII, for listings")
        assert client.nlst("/there.txt") == ["/there.txt"]
        client.makepasv()
        reply = client.reply_to(command)
        assert reply.startswith("504")
        assert "TYPE I" in reply
        assert ftps.audit()[-1]["reply"] == reply
        assert client.reply_to("SIZE /there.txt").startswith("550")
    assert "acme/no.txt" not in set(ftps.keys())


def test_as_sent_is_as_sent(ftps: ServedFtps) -> None:
    choose(ftps, "as-sent")
    sent = as_filezilla(LINES)
    with ftps.login(binary=False) as client:
        reply = send(client, "STOR /as-sent.txt", sent)
        assert reply.startswith(f"226 Transfer complete; {len(sent)} bytes")
        assert "TYPE A" not in reply
        assert client.reply_to("SIZE /as-sent.txt") == f"213 {len(sent)}"
        assert fetch(client, "/as-sent.txt") == sent
        assert client.reply_to("REST 5").startswith("350")
    assert ftps.stored("acme/as-sent.txt") == sent
    assert ftps.uploads()[-1]["sent_size"] is None


def test_limits_and_announcements_are_of_what_is_stored(ftps: ServedFtps) -> None:
    choose(ftps, "convert", max_file_size=100_000)
    with ftps.login(binary=False) as client:
        for path, stored, code in (("/fits.txt", 100_000, "226"), ("/over.txt", 100_001, "552")):
            client.sendcmd("ALLO 200000")
            assert send(client, f"STOR {path}", b"\r\n" * stored).startswith(code)
        assert client.reply_to("ALLO 200001").startswith("552")
    assert ftps.stored("acme/fits.txt") == b"\n" * 100_000
    assert "acme/over.txt" not in set(ftps.keys())


def test_abor_ends_an_upload_that_is_being_converted(ftps: ServedFtps) -> None:
    with ftps.login(binary=False) as client:
        with client.transfercmd("STOR /aborted.txt") as channel:
            channel.sendall(as_filezilla(LINES * 30))
            client.putcmd("ABOR")
            assert client.final_reply().startswith("426")
            assert client.final_reply().startswith("226")
        assert send(client, "STOR /after.txt", b"x\r\n").startswith("226")
    assert ftps.stored("acme/after.txt") == b"x\n"
