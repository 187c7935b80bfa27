"""What a reply says of a name can be sent again and means the same file."""

from __future__ import annotations

import pytest

from securedrop_ftp.replies import Reply
from tests.clients import FtpsClient
from tests.fixtures.served import ServedFtps

NAMES = {
    "ideographic space": "請求書\u30002026",
    "no-break space": "Facture n°\u00a012",
    "narrow no-break space": "1\u202f000",
    "joined emoji": "👨\u200d👩\u200d👧",
    "Persian joiner": "می\u200cخواهم",
    "soft hyphen": "Donau\u00addampf",
    "byte order mark": "\ufeffdata",
    "private use": "logo\uf8ff",
    "right-to-left mark": "חשבון\u200f7",
    "not assigned": "new\U0001fffd",
    "quotes": 'a "good" name',
}


def listed(client: FtpsClient, command: str) -> list[str]:
    lines: list[str] = []
    client.encoding = "utf-8"
    client.retrlines(command, lines.append)
    return lines


@pytest.mark.parametrize("kind", NAMES)
def test_every_reply_and_listing_gives_a_name_back_unchanged(ftps: ServedFtps, kind: str) -> None:
    name = NAMES[kind]
    quoted = name.replace('"', '""')
    with ftps.login() as client:
        assert client.sendcmd(f"MKD {name}") == f'257 "/{quoted}" created.'
        assert client.sendcmd(f"CWD {name}") == f'250 "/{quoted}" is the working directory.'
        assert client.pwd() == f"/{name}"
        assert client.upload(name, b"content").startswith("226")
        assert client.sendcmd(f"HASH {name}").endswith(f" /{name}/{name}")
        assert client.sendcmd(f"MLST {name}").splitlines()[1].endswith(f" /{name}/{name}")
        assert client.sendcmd(f"STAT {name}").splitlines()[1].endswith(f" {name}")
        assert listed(client, "NLST") == [name]
        assert listed(client, "LIST")[0].endswith(f" {name}")
        assert listed(client, "MLSD")[0].endswith(f"; {name}")
        assert client.delete(name).startswith("250")
        assert client.cwd("/").startswith("250")
        assert client.rmd(name).startswith("250")


def test_stored_as_gives_the_name_unchanged(ftps: ServedFtps) -> None:
    name = NAMES["ideographic space"]
    with ftps.login("carol") as client:  # of a drop-only partner, whose names are numbered
        assert client.upload(name, b"first").startswith("226")
        assert f"stored as {name} (1)" in client.upload(name, b"second")


def test_nothing_that_ends_a_line_is_sent() -> None:
    reply = Reply(550, "a\r\n221 b\x85c\u2028d\u2029e\x1b[2J\ud800\x7f")
    assert reply.line() == b"550 a??221 b?c?d?e?[2J??\r\n"
