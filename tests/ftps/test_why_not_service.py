"""What is on our side, or the operator's: the client reads it, and the trail has it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest

from securedrop_ftp import causes
from tests.clients import FtpsClient
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.why_not import names, passive, witness
from tests.security.test_live_control import CHANGES, QUICK, live

FAULTY = {"DJANGO_SETTINGS_MODULE": "tests.fixtures.faulty_settings"}


@pytest.fixture
def faulty(served: Serve) -> ServedFtps:
    """A service whose storage fails as a file's name asks."""
    ftps = served(env=FAULTY, options={"operation_timeout": 3, "storage_timeout": 2})
    ftps.faults_expected = True
    return ftps


_FAULTS = {
    "full": ("452", causes.STORAGE_FULL),
    "refused": ("550", causes.STORAGE_REFUSED),
    "failed": ("451 Storage is not available", causes.STORAGE_FAILED),
    "pending": ("451 Outcome pending", causes.OUTCOME_PENDING),
    "slow": ("421 The operation took too long", causes.OPERATION_TOO_LONG),
}


@pytest.mark.parametrize("what", _FAULTS)
def test_a_storage_that_fails_is_named(faulty: ServedFtps, what: str) -> None:
    reply, cause = _FAULTS[what]
    with witness(faulty) as seen, faulty.login() as client:
        assert client.try_to_store(f"STOR {what}.txt", b"x" * 1000).startswith(reply)
    names(seen, cause)
    assert seen.row["partner"] == "acme"
    assert (seen.details["transfers"], seen.details["failed"]) == (0, 1)
    assert f"problem  {cause.name}: once" in faulty.manage(
        "doctor", "--partner", "acme", check=False
    )


@pytest.mark.parametrize("command", ["RETR mistake.txt", "STOR mistake.txt"])
def test_a_mistake_of_ours_is_named(faulty: ServedFtps, command: str) -> None:
    faulty.store.put("acme/mistake.txt", b"x")
    with witness(faulty) as seen, faulty.login() as client:
        passive(client)
        assert client.reply_to(command).startswith("451 Local error")
    names(seen, causes.LOCAL_FAULT)


# --- transfers -----------------------------------------------------------------------------


def test_a_file_that_another_account_writes_is_named(served: Serve) -> None:
    ftps = served()
    ftps.manage(
        "account_create", "acme", "anna", "--password-stdin", stdin=f"{password_of('anna')}\n"
    )
    with ftps.login() as other, other.transfercmd("STOR busy.txt") as data:
        data.sendall(b"x" * 100_000)
        with witness(ftps) as seen, ftps.login("anna") as client:
            assert client.try_to_store("STOR busy.txt", b"y").startswith("450 The file is being")
        names(seen, causes.BUSY)


def test_a_file_that_the_same_account_sends_anew_is_named_in_the_session_before(
    served: Serve,
) -> None:
    ftps = served()
    with ftps.login() as before, before.transfercmd("STOR a.txt") as data:
        data.sendall(b"x" * 100_000)
        with witness(ftps) as sent, ftps.login() as client:
            assert client.try_to_store("STOR a.txt", b"y").startswith("226")
        assert sent.causes == []
        with suppress(OSError):
            data.sendall(b"x" * 100_000)
            data.unwrap()  # type: ignore[attr-defined]  # the data channel is a TLS socket
        with witness(ftps) as seen:
            assert before.final_reply().startswith("450 Another session")
            before.quit()
    names(seen, causes.BUSY)


def test_a_transfer_in_the_midst_of_another_is_named(ftps: ServedFtps) -> None:
    with witness(ftps) as seen, ftps.login() as client:
        with client.transfercmd("STOR one.txt") as data:
            assert isinstance(data, ssl.SSLSocket)
            data.sendall(b"x")
            assert client.reply_to("STOR two.txt").startswith("503")
            data.unwrap()
        assert client.final_reply().startswith("226")
    assert seen.causes == [causes.OVERLAPPING.name]
    assert seen.details["troubles"][0]["remedy"] == causes.OVERLAPPING.remedy


def test_ascii_of_a_partner_that_has_none_is_named(served: Serve) -> None:
    ftps = served()
    ftps.manage("partner_set", "acme", "--ascii", "refuse")
    with witness(ftps) as seen, ftps.login() as client:
        client.voidcmd("TYPE A")
        passive(client)
        assert client.reply_to("STOR a.txt").startswith("504")
    names(seen, causes.ASCII_REFUSED)


@pytest.mark.parametrize("profile", ["tls12", "modern"])
def test_an_upload_without_close_notify_is_named(standing: Serve, profile: str) -> None:
    ftps = standing(options={"tls_profile": profile})
    with witness(ftps) as seen, ftps.login(tls13=profile == "modern") as client:
        assert client.truncated_upload("cut.txt", b"x" * 1000).startswith("426")
    names(seen, causes.NO_CLOSE_NOTIFY)


# --- the service and its operator ----------------------------------------------------------


def _uploading(client: FtpsClient) -> ssl.SSLSocket:
    data = client.transfercmd("STOR running.txt")
    assert isinstance(data, ssl.SSLSocket)
    data.sendall(b"x" * 100_000)
    return data


def test_the_end_of_the_service_is_named(served: Serve) -> None:
    ftps = served(options={"drain_timeout": 1})
    with ftps.login() as idle, ftps.login("bob") as busy, _uploading(busy):
        ftps.stop()
        assert idle.final_reply().startswith("421 The service is shutting down")
        assert busy.final_reply().startswith("426 The service is shutting down")
        assert busy.final_reply().startswith("421 The service is shutting down")
    rows = {row["account"]: row for row in ftps.audit("session.closed")}
    for account, outcome in ("alice", "success"), ("bob", "failure"):
        assert causes.SERVICE_ENDED.name in rows[account]["reason"], account
        assert causes.SERVICE_ENDED.remedy in rows[account]["details"], account
        assert rows[account]["outcome"] == outcome


def _ended(ftps: ServedFtps) -> None:
    ftps.query("UPDATE securedrop_ftp_livesession SET end_requested_by = %s", "olga (admin)")


def _changed(ftps: ServedFtps) -> None:
    ftps.query(CHANGES["the account is disabled"])


@pytest.mark.parametrize("act", [_ended, _changed])
@pytest.mark.parametrize("busy", [False, True], ids=("idle", "in a transfer"))
def test_a_session_that_an_operator_ended_is_named(
    served: Serve, act: Callable[[ServedFtps], None], busy: bool
) -> None:
    ftps = served(options=QUICK)
    with witness(ftps) as seen, ftps.login() as client:
        data = _uploading(client) if busy else None
        wait_until(lambda: len(live(ftps)) == 1, "its row")
        act(ftps)
        assert client.final_reply().startswith("421 ")
        if data is not None:
            data.close()
    names(seen, causes.ENDED_BY_OPERATOR, "failure" if busy else "success")


def test_a_storage_that_is_none_is_named_with_its_partner(served: Serve) -> None:
    ftps = served()
    ftps.query("UPDATE securedrop_ftp_partner SET storage = 'nowhere' WHERE name = 'acme'")
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to(f"PASS {password_of('alice')}").startswith("421 Service not")
    names(seen, causes.SERVICE_UNAVAILABLE)
    assert (seen.row["partner"], seen.row["account"]) == ("acme", "alice")
    assert "nowhere" in seen.row["reason"]


def test_a_database_that_fails_is_named(served: Serve) -> None:
    ftps = served()
    ftps.faults_expected = True
    ftps.query("ALTER TABLE securedrop_ftp_account RENAME TO away")
    with witness(ftps) as seen, ftps.connect() as client:
        client.reply_to("USER alice")
        assert client.reply_to(f"PASS {password_of('alice')}").startswith("421 Service not")
    names(seen, causes.SERVICE_UNAVAILABLE)
