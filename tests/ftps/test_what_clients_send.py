"""Small things that clients send in their own way, and what they are answered."""

from __future__ import annotations

import re
import socket
import ssl

import pytest

from securedrop_ftp.ftps.wire import Command, parse
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

# --- blanks ----------------------------------------------------------------------------------

BLANKS = {
    "TYPE I ": "200", "TYPE A ": "200", "TYPE A N ": "200", "TYPE  L 8": "200", "type i": "200",
    "MODE S ": "200", "STRU F ": "200", "PBSZ 0 ": "200", "PROT P  ": "200", "REST 0 ": "350",
    "ALLO 10 ": "200", "ALLO 10 R 5 ": "200", "EPSV 1 ": "229", "EPSV ": "229", "PASV ": "227",
    "PWD ": "257", "CDUP  ": "250", "SYST ": "215", "FEAT  ": "211", "NOOP ": "200", "HELP ": "214",
    "HELP TYPE ": "214", "OPTS UTF8 ON ": "200", "OPTS UTF8": "200", "OPTS UTF-8 ON": "200",
    "opts utf8 on": "200", "OPTS UTF8 NLST": "200", "OPTS MLST type; size; ": "200", "CWD ": "250",
    "CWD  ": "250", "MLST  ": "250", "STAT ": "211", "STAT  ": "211", "ABOR ": "225",
    "SITE HELP ": "502", "TYPE A X": "504", "TYPE": "501", "REST  5": "501", "STOR  ": "501",
}  # fmt: skip


@pytest.mark.parametrize("line", BLANKS)
def test_a_blank_behind_words_and_numbers_means_nothing(ftps: ServedFtps, line: str) -> None:
    with ftps.login() as client:
        client.makepasv()
        assert client.reply_to(line).startswith(BLANKS[line])
        assert client.sendcmd("NOOP").startswith("200")


def test_a_client_that_ends_every_line_with_a_blank_gets_in(ftps: ServedFtps) -> None:
    with ftps.connect(tls=False) as client:
        assert client.sendcmd("AUTH TLS ").startswith("234")
        assert client.sock is not None
        client.sock = client.context.wrap_socket(client.sock, server_hostname="127.0.0.1")
        client.file = client.sock.makefile(encoding="utf-8")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sendcmd("USER alice ").startswith("331")
        assert client.sendcmd(f"PASS {password_of('alice')}").startswith("230")
        for line in ("PBSZ 0 ", "PROT P ", "TYPE I ", "QUIT "):
            assert client.sendcmd(line)[0] == "2"


def test_a_blank_behind_a_name_belongs_to_the_name(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.upload("blank ", b"with").startswith("226")
        assert client.upload("blank", b"without").startswith("226")
        assert client.download("blank ") == b"with"
        assert client.delete("blank ").startswith("250")
        assert client.download("blank") == b"without"


# --- passwords and names in another encoding ----------------------------------------------------


def said(client: FtpsClient, line: bytes) -> str:
    assert client.sock is not None
    client.sock.sendall(line + b"\r\n")
    return client.final_reply()


def test_a_password_that_is_not_utf8_is_a_wrong_password_and_counts(served: Serve) -> None:
    ftps = served()
    wrong = "Sicher§heit grün".encode("latin-1")
    for _ in range(5):
        with ftps.connect() as client:
            assert client.sendcmd("USER alice").startswith("331")
            assert said(client, b"PASS " + wrong).startswith("530 Login incorrect")
    with ftps.connect() as client:  # the fifth has locked the account
        assert client.sendcmd("USER alice").startswith("331")
        assert client.reply_to(f"PASS {password_of('alice')}").startswith("530")
    rows = ftps.audit("login.failed")
    assert len(rows) == 5
    assert all("another encoding than UTF-8" in row["reason"] for row in rows)
    assert {row["account"] for row in rows} == {"alice"}


def test_a_name_that_is_not_utf8_is_nobodys_and_its_attempt_leaves_a_row(ftps: ServedFtps) -> None:
    before = len(ftps.audit("login.failed"))
    with ftps.connect() as client:
        assert said(client, "USER müller".encode("latin-1")).startswith("331")
        assert client.reply_to("PASS whatever").startswith("530 Login incorrect")
        assert client.sendcmd("NOOP").startswith("200")
    row = ftps.audit("login.failed")[before]
    assert row["account"] == r"m\udcfcller"


def test_only_user_and_pass_take_bytes_that_are_not_utf8() -> None:
    assert parse(b"PASS a\xff") == Command("PASS", "a\udcff")
    assert parse(b"user a\xff") == Command("USER", "a\udcff")
    for line in (b"STOR a\xff", b"PASSX a\xff", b"\xe9PASS a", b"OPTS \xff", b"PASS\xff a"):
        assert not isinstance(parse(line), Command)


def test_a_control_character_in_a_password_is_said_to_be_in_the_password(ftps: ServedFtps) -> None:
    with ftps.connect() as client:
        client.sendcmd("USER alice")
        assert said(client, b"PASS a\x01b").startswith("501 The password holds")


# --- STOU, OPTS HASH, MLST of the top, HELP -----------------------------------------------------


@pytest.mark.parametrize("argument", ["", " hint.csv", " "])
def test_stou_tells_the_name_before_the_data(ftps: ServedFtps, argument: str) -> None:
    """RFC 1123 §4.1.2.9: ``150 FILE: name``."""
    with ftps.login() as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        with socket.create_connection((host, port), timeout=60) as connection:
            told = re.fullmatch(r"150 FILE: (\S+)", client.sendcmd(f"STOU{argument}"))
            assert told is not None
            with client.context.wrap_socket(
                connection, session=client.sock.session, server_hostname=host
            ) as data:
                data.sendall(b"unique")
                data.unwrap()
        assert client.final_reply().startswith("226")
        assert client.download(told[1]) == b"unique"


def test_opts_hash_tells_and_chooses_the_algorithm(ftps: ServedFtps) -> None:
    """draft-bryan-ftpext-hash-02."""
    with ftps.login() as client:
        assert "HASH SHA-256*" in client.sendcmd("FEAT")
        assert client.sendcmd("OPTS HASH") == "200 SHA-256"
        assert client.sendcmd("OPTS HASH sha-256") == "200 SHA-256"
        assert client.reply_to("OPTS HASH MD5").startswith("501")
        assert client.sendcmd("OPTS HASH") == "200 SHA-256"
        client.upload("hashed.bin", b"x")
        assert client.sendcmd("HASH hashed.bin").startswith("213 SHA-256 ")


@pytest.mark.parametrize("storage", ["filesystem", "s3", "memory"])
@pytest.mark.parametrize("username", ["alice", "bob", "carol"])
def test_mlst_of_the_top_directory_has_its_time(
    standing: Serve, storage: str, username: str
) -> None:
    with standing(storage=storage).login(username) as client:
        for argument in ("", " /", " "):
            line = client.sendcmd(f"MLST{argument}").splitlines()[1]
            assert re.fullmatch(r" type=dir;modify=2\d{13};perm=\w+; /", line), line


def test_help_of_a_verb_that_is_off_says_so(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        for verb in ("PORT", "SITE", "CCC", "WHAT"):
            assert client.reply_to(f"HELP {verb}").startswith("502")


# --- unknown verbs ------------------------------------------------------------------------------


def test_unknown_verbs_end_a_session_only_in_a_row(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        for _ in range(4):
            for _ in range(9):
                assert client.reply_to("XCRC some.file").startswith("500")
            assert client.sendcmd("PWD").startswith("257")
        for _ in range(9):
            assert client.reply_to("CSID Name=x").startswith("500")
        assert client.reply_to("CSID Name=x").startswith("421")
