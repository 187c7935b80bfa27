"""Refusals again and again do not fill the trail; what it does not take singly is counted."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from securedrop_ftp.access import axes_handler
from securedrop_ftp.models import AuditEvent
from securedrop_ftp.refusals import BURST, Refusals
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import logged_in_raw, raw, read_reply, secured

BOUND = {"refusal_rows_per_minute": 60}


def counted(ftps: ServedFtps) -> int:
    """Refusals that were told by their number."""
    return sum(int(row["reason"].split()[0]) for row in ftps.audit("refusals.counted"))


def most_rows(began: float) -> float:
    """Rows that one partner's or stranger's refusals may have left by now."""
    return BURST + (time.monotonic() - began) + 1


def test_row_68_refused_commands_of_all_sessions_of_a_partner_have_a_bound(served: Serve) -> None:
    ftps = served(workers=2, options=BOUND)
    began = time.monotonic()
    with ExitStack() as stack:
        flood = [stack.enter_context(logged_in_raw(ftps, "carol")) for _ in range(4)]
        for _ in range(25):
            for sock in flood:
                sock.sendall(b"RETR /secret.txt\r\n")
            for sock in flood:
                assert read_reply(sock).startswith(b"550")
        rows = len(ftps.audit("access.denied"))
        assert BURST <= rows <= most_rows(began)
        # Another partner behind the same address is told singly still.
        with ftps.login("dave") as other:
            assert other.reply_to("MKD x").startswith("550")
    ftps.stop()
    assert len(ftps.audit("access.denied")) == rows + 1
    assert rows + counted(ftps) == 100, "nothing is lost without a word"
    told = ftps.audit("refusals.counted")[-1]
    assert (told["partner"], told["account"], told["outcome"]) == ("initech", "carol", "denied")
    assert told["partner_id"] == ftps.audit("access.denied")[-2]["partner_id"]
    assert "access.denied" in told["reason"]


def test_row_68_a_stranger_that_connects_and_hangs_up_has_the_same_bound(served: Serve) -> None:
    ftps = served(workers=2, options=BOUND)
    began = time.monotonic()
    for _ in range(80):
        with socket.create_connection(("127.0.0.1", ftps.port), 20) as sock:
            assert read_reply(sock).startswith(b"220")
    wait_until(lambda: bool(ftps.audit("session.closed")), "the first rows")
    ftps.stop()
    rows = len(ftps.audit("session.opened"))
    assert rows == len(ftps.audit("session.closed"))
    assert 2 * rows <= most_rows(began)
    assert rows + counted(ftps) == 80
    told = ftps.audit("refusals.counted")[-1]
    assert (told["remote_ip"], told["partner"]) == ("127.0.0.1", "")


def test_row_68_a_refused_upload_leaves_its_row_whatever_the_bound(served: Serve) -> None:
    ftps = served(options={"refusal_rows_per_minute": 1})
    ftps.manage("partner_set", "hooli", "--overwrite", "reject")
    with ftps.login("erin") as client:
        assert client.upload("there.txt", b"1").startswith("226")
        for _ in range(24):
            client.makepasv()
            assert client.reply_to("STOR there.txt")[0] == "5"
    assert len(ftps.audit("upload.rejected")) == 24


def test_row_68_locked_logins_at_the_admin_site_are_counted_too(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = Refusals()
    bound.told_by_owner = True
    monkeypatch.setattr(axes_handler, "refusals", bound)
    get_user_model().objects.create_user("olga", password="a long password of hers", is_staff=True)
    began = time.monotonic()
    for _ in range(100):
        client.post(reverse("admin:login"), {"username": "olga", "password": "wrong"})
    rows = AuditEvent.objects.filter(event="login.locked").count()
    assert BURST <= rows <= most_rows(began)
    (told,) = bound.due(everything=True)
    failed = AuditEvent.objects.filter(event="login.failed").count()
    assert failed + rows + told.extra["count"] == 100
    assert "login.locked" in told.reason


#: What a client sends, how it is answered, the event, and what its path ends in.
ATTEMPTS: list[Any] = [
    (b"STOR a\\b", b"501", "upload.rejected", "a\\\\b"),
    (b"STOR M\xfcller", b"501", "upload.rejected", "ller"),
    (b"STOR tab\there", b"501", "upload.rejected", "here"),
    (b"APPE " + b"x" * 300, b"501", "upload.rejected", "xxx"),
    (b"STOU", b"425", "upload.rejected", ""),
    (b"RETR M\xfcller", b"501", "download.aborted", "ller"),
    (b"RETR no-port", b"425", "download.aborted", "/no-port"),
    (b"DELE a\\b", b"501", "file.deleted", "b"),
    (b"DELE nothing", b"550", "file.deleted", "/nothing"),
    (b"RNFR nothing", b"550", "file.renamed", "/nothing"),
    (b"RNTO without-rnfr", b"503", "file.renamed", "/without-rnfr"),
    (b"MKD a\\b", b"501", "directory.created", "b"),
    (b"XRMD nothing", b"550", "directory.removed", "/nothing"),
    (b"RMD /", b"550", "directory.removed", "/"),
    (b"DELE " + b"long" * 2000, b"500", "file.deleted", ""),
]


@pytest.mark.parametrize(("line", "reply", "event", "ending"), ATTEMPTS)
def test_row_70_a_refused_attempt_leaves_one_row(
    standing: Serve, line: bytes, reply: bytes, event: str, ending: str
) -> None:
    ftps = standing()
    before = len(ftps.audit())
    with logged_in_raw(ftps) as sock:
        sock.sendall(b"PBSZ 0\r\nPROT P\r\n" + line + b"\r\n")
        read_reply(sock)
        read_reply(sock)
        answer = read_reply(sock)
        assert answer.startswith(reply), answer
        (row,) = [row for row in ftps.audit()[before:] if row["event"] == event]
    assert row["outcome"] == "failure"
    assert row["path"].endswith(ending)
    assert row["reply"].encode() == answer.strip()
    assert (row["account"], row["partner"]) == ("alice", "acme")
    assert row["reason"]


@pytest.mark.parametrize("encrypted", [True, False])
def test_row_70_attempts_before_the_login_leave_rows_too(ftps: ServedFtps, encrypted: bool) -> None:
    before = len(ftps.audit())
    with (secured if encrypted else raw)(ftps) as sock:
        for line in (b"STOR early.txt", b"PASS secret-of-mine"):
            sock.sendall(line + b"\r\n")
            assert read_reply(sock)[:2] in (b"53", b"50")
        rows = ftps.audit()[before:]
    told = {row["event"]: row for row in rows}
    assert told["upload.rejected"]["path"] == "early.txt"
    assert told["upload.rejected"]["outcome"] == "denied"
    assert told["login.failed"]["path"] == ""
    assert "secret-of-mine" not in str(rows)


def test_row_70_a_password_or_name_that_is_no_text_is_a_failed_login(ftps: ServedFtps) -> None:
    before = len(ftps.audit("login.failed"))
    with secured(ftps) as sock:
        for line in (b"USER a\tb", b"USER alice", b"PASS gr\xfcn", b"USER alice", b"PASS a\0b"):
            sock.sendall(line + b"\r\n")
            read_reply(sock)
        rows = ftps.audit("login.failed")[before:]
    assert [row["account"] for row in rows] == ["a\\x09b", "alice", "alice"]
    assert [row["path"] for row in rows] == ["", "", ""]
    assert not any("gr" in row["reason"] or "a\\x00b" in row["reason"] for row in rows)
