"""What an operator tightens reaches sessions that live: they end, or go on with less (row 73)."""

from __future__ import annotations

import contextlib
import ssl
from concurrent.futures import ThreadPoolExecutor
from ftplib import all_errors
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password

from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

QUICK = {"control_check_interval": 0.2, "presence_interval": 0.2}


def partner(ftps: ServedFtps, sets: str) -> None:
    ftps.query(f"UPDATE securedrop_ftp_partner SET {sets} WHERE name = 'acme'")


def change_password(ftps: ServedFtps) -> None:
    new = make_password("quite-another-password")
    ftps.query("UPDATE auth_user SET password = %s WHERE username = %s", new, "alice")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_password_change_ends_the_sessions_on_every_node(served: Serve, database: str) -> None:
    ftps = served(database, options=QUICK)
    node = served(database, options=QUICK, beside=ftps)
    with (
        ftps.login() as here,
        node.login() as there,
        ftps.login() as busy,
        ftps.login("bob") as other,
    ):
        busy.voidcmd("TYPE I")
        with busy.transfercmd("STOR stolen.bin") as data:
            data.sendall(b"x" * 100_000)
            change_password(ftps)
            for client in (here, there, busy):
                assert client.final_reply().startswith("421")
        assert other.sendcmd("NOOP").startswith("200")
    assert ftps.keys() == []
    with ftps.login(password="quite-another-password") as client:
        assert client.upload("mine.bin", b"x").startswith("226")
    reasons = [r["reason"] for r in ftps.audit("session.closed") if r["account"] == "alice"]
    assert any(reason.startswith("The password was changed.") for reason in reasons)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_logins_at_once_that_store_the_password_anew_are_no_change_of_it(
    served: Serve, database: str
) -> None:
    ftps = served(database, options=QUICK)
    old = make_password(password_of("alice"), hasher="pbkdf2_sha256")
    ftps.query("UPDATE auth_user SET password = %s WHERE username = %s", old, "alice")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as threads:
        logins = [threads.submit(stack.enter_context, ftps.login()) for _ in range(6)]
        clients = [login.result() for login in logins]
        (row,) = ftps.query("SELECT password FROM auth_user WHERE username = %s", "alice")
        assert row["password"].startswith("argon2")
        with ftps.login("bob") as other:  # once it has ended, all have been looked at
            ftps.query("UPDATE auth_user SET password = %s WHERE username = %s", old, "bob")
            assert other.final_reply().startswith("421")
        for client in clients:
            assert client.sendcmd("NOOP").startswith("200")


@pytest.mark.parametrize(
    "sets",
    ["overwrite = 'reject'", "overwrite = 'version'", "mode = 'drop', overwrite = 'replace'"],
)
def test_an_upload_that_would_overwrite_ends_with_the_right_to(served: Serve, sets: str) -> None:
    ftps = served(options=QUICK)
    with ftps.login() as client:
        client.upload("kept.bin", b"before")
        with client.transfercmd("STOR kept.bin") as data:
            data.sendall(b"x" * 100_000)
            partner(ftps, sets)
            assert client.final_reply().startswith("421")
    assert ftps.stored("acme/kept.bin") == b"before"


def test_a_lower_file_limit_holds_for_the_upload_that_runs(served: Serve) -> None:
    ftps = served(options=QUICK)
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR long.bin") as data:
            data.sendall(b"x" * 1000)
            partner(ftps, "max_file_size = 100")
            data.settimeout(0.1)

            def refused() -> bool:
                with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):
                    data.sendall(b"x")
                    return data.recv(1) == b""
                return False

            with contextlib.suppress(OSError):
                wait_until(refused, "the end of the upload")
            assert client.getmultiline().startswith("552")
        # And for the next, in the same session.
        assert client.reply_to("ALLO 101").startswith("552")
        assert client.upload("small.bin", b"x" * 100).startswith("226")
    assert ftps.keys() == ["acme/small.bin"]


def test_sessions_beyond_a_lower_limit_end_and_no_others(served: Serve) -> None:
    ftps = served(options=QUICK, workers=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ftps.login()) for _ in range(6)]
        partner(ftps, "max_sessions = 2")
        wait_until(lambda: len(ftps.audit("session.closed")) == 4, "the ends of four")
        alive = [client for client in clients if _answers(client)]
        assert len(alive) == 2
    reasons = [r["reason"] for r in ftps.audit("session.closed")]
    assert sum(r.startswith("The partner may have fewer sessions now.") for r in reasons) == 4


def _answers(client: FtpsClient) -> bool:
    try:
        return client.sendcmd("NOOP").startswith("200")
    except all_errors:
        return False


def test_a_session_without_the_certificate_that_is_required_now_ends(served: Serve) -> None:
    ftps = served(options=QUICK)
    with ftps.login() as client:
        partner(ftps, f"client_certificates = 'required', client_fingerprints = '{'a' * 64}'")
        assert client.final_reply().startswith("421")


def test_limits_of_the_service_reach_live_sessions_by_a_reload(
    served: Serve, tmp_path: Path
) -> None:
    file = tmp_path / "bad-commands"
    file.write_text("10")
    ftps = served(options=QUICK | {"max_bad_commands_file": file})
    with ftps.login() as client:
        file.write_text("2")
        ftps.reload()
        wait_until(lambda: bool(ftps.log_lines("worker.reloaded")), "the reload")
        assert client.reply_to("WHAT").startswith("500")
        assert client.reply_to("WHAT").startswith("421")
