"""What was allowed at login may be allowed no longer: sessions end, transfers included (row 31)."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from argon2 import PasswordHasher
from django.contrib.auth.models import User
from django.test import Client

from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_guessing import PATIENT

QUICK = {"control_check_interval": 0.2, "presence_interval": 0.2}

ACME = "(SELECT id FROM securedrop_ftp_partner WHERE name = 'acme')"
CHANGES = {
    "the account is disabled": f"""
        UPDATE securedrop_ftp_account SET enabled = (1 = 0) WHERE partner_id = {ACME}""",
    "the user is inactive": """
        UPDATE auth_user SET is_active = (1 = 0) WHERE username = 'alice'""",
    "the partner is disabled": f"""
        UPDATE securedrop_ftp_partner SET enabled = (1 = 0) WHERE id = {ACME}""",
    "the address is denied": f"""
        INSERT INTO securedrop_ftp_iprule (partner_id, action, network, note)
        VALUES ({ACME}, 'deny', '127.0.0.0/8', '')""",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_session_ends_when(served: Serve, what: str) -> None:
    ftps = served(options=QUICK)
    with ftps.login() as client, ftps.login() as busy, ftps.login("bob") as other:
        busy.voidcmd("TYPE I")
        with busy.transfercmd("STOR /never-whole.bin") as data:
            data.sendall(b"x" * 100_000)
            ftps.query(CHANGES[what])
            assert client.final_reply().startswith("421")
            assert busy.final_reply().startswith("421")
            data.settimeout(5)
            with contextlib.suppress(ConnectionError):
                assert data.recv(1) == b""
        assert other.sendcmd("NOOP").startswith("200")
    assert ftps.keys() == []
    wait_until(lambda: len(endings_of(ftps)) == 1, "the audit row")
    assert endings_of(ftps)[0] in ("upload.aborted", "upload.suspended")


def test_a_crowd_that_logs_in_keeps_no_session_alive(served: Serve) -> None:
    """Each of its hashes takes a second, and one is made at a time."""
    crowd = {"account_threads": 1, "concurrent_hashes": 1, "login_timeout": 300}
    ftps = served(options=QUICK | PATIENT | crowd)
    slow = PasswordHasher(time_cost=80, memory_cost=19456, parallelism=1).hash("another")
    ftps.query("UPDATE auth_user SET password = %s WHERE username = %s", f"argon2{slow}", "bob")
    with ftps.login() as client, contextlib.ExitStack() as stack:
        for guesser in [stack.enter_context(ftps.connect()) for _ in range(20)]:
            assert guesser.reply_to("USER bob").startswith("331")
            guesser.putcmd("PASS wrong")
        wait_until(lambda: bool(ftps.audit("login.failed")), "the first of them")
        ftps.query(CHANGES["the account is disabled"])
        assert client.final_reply().startswith("421")
        assert len(ftps.audit("login.failed")) < 15


def endings_of(ftps: ServedFtps) -> list[str]:
    return [r["event"] for r in ftps.audit() if r["path"] == "/never-whole.bin"]


def live(ftps: ServedFtps) -> list[dict[str, object]]:
    return ftps.query("SELECT * FROM securedrop_ftp_livesession")


def test_operators_see_live_sessions_and_what_they_do(served: Serve) -> None:
    ftps = served(options=QUICK, workers=2)
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /being-sent.bin") as data:
            data.sendall(b"x" * 100_000)
            wait_until(lambda: [r["bytes_moved"] for r in live(ftps)] == [100_000], "its row")
            (row,) = live(ftps)
            assert (row["partner"], row["account"]) == ("acme", "alice")
            assert (row["remote_ip"], row["doing"]) == ("127.0.0.1", "Upload of /being-sent.bin")
    wait_until(lambda: live(ftps) == [], "the end of the row")


def test_an_operator_ends_a_session(served: Serve) -> None:
    ftps = served(options=QUICK)
    with ftps.login() as client, ftps.login("bob") as other:
        wait_until(lambda: len(live(ftps)) == 2, "both rows")
        ftps.query(
            "UPDATE securedrop_ftp_livesession SET end_requested_by = %s WHERE account = %s",
            "olga (admin)",
            "alice",
        )
        assert client.final_reply() == "421 The session was ended by the operator."
        assert other.sendcmd("NOOP").startswith("200")
    wait_until(lambda: len(ftps.audit("session.closed")) == 2, "the audit rows")
    (row,) = [r for r in ftps.audit("session.closed") if r["account"] == "alice"]
    assert row["reason"] == "ended by olga (admin); control.ended-by-operator 1"


@pytest.mark.django_db
def test_the_admin_shows_sessions_and_asks_for_their_end() -> None:
    from django.utils import timezone

    from securedrop_ftp.models import LiveSession

    row = LiveSession.objects.create(
        id=uuid.uuid4().hex,
        owner="n:b:0.1",
        node="n",
        partner="acme",
        account="alice",
        remote_ip="192.0.2.1",
        doing="Upload of /<script>alert(1)</script>",
        started=timezone.now(),
        seen=timezone.now(),
    )
    User.objects.create_superuser("olga", password="a-long-test-password")
    client = Client()
    client.force_login(User.objects.get(username="olga"))
    url = "/admin/securedrop_ftp/livesession/"
    page = client.get(url, secure=True)
    assert page.status_code == 200
    assert b"alice" in page.content
    assert b"<script>alert" not in page.content
    answer = client.post(url, {"action": "end_selected", "_selected_action": [row.pk]}, secure=True)
    assert answer.status_code == 302
    row.refresh_from_db()
    assert row.end_requested_by == "olga (admin)"
