"""A login whose partner's storage cannot be looked at: what the client is told, the trail says."""

from __future__ import annotations

from pathlib import Path

import pytest

from securedrop_ftp import causes
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps
from tests.ftps.why_not import names, witness


def _log_in_in_vain(ftps: ServedFtps, partner: str = "acme", account: str = "alice") -> None:
    """421 with what happened and what to do; one row of the login, and it says so; one line in the
    log."""
    rows, lines = len(ftps.audit()), len(ftps.log_lines("login.storage_unusable"))
    with witness(ftps) as seen, ftps.connect() as client:
        assert client.reply_to(f"USER {account}").startswith("331 ")
        reply = client.reply_to(f"PASS {password_of(account)}")
        assert client.file is not None
        assert client.file.readline() == ""  # the session is closed
    assert reply.startswith("421 Service not available: the partner's storage cannot be used.")
    assert "Try again later" in reply
    names(seen, causes.SERVICE_UNAVAILABLE)
    logins = [row for row in ftps.audit()[rows:] if row["event"].startswith("login.")]
    assert [(r["event"], r["outcome"], r["partner"]) for r in logins] == [
        ("login.failed", "denied", partner)
    ]
    assert logins[0]["reply"] == reply
    assert logins[0]["reason"].startswith("storage “")
    (line,) = ftps.log_lines("login.storage_unusable")[lines:]
    assert line["partner"] == partner
    assert "Traceback" not in ftps.log
    assert "exception" not in line


def _logs_in(ftps: ServedFtps, account: str = "alice") -> None:
    with ftps.login(account):
        pass
    assert ftps.audit("login.succeeded")[-1]["account"] == account


@pytest.mark.parametrize("store", ["filesystem", "s3"])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_ledger_that_cannot_be_asked_where_files_are(
    served: Serve, database: str, store: str
) -> None:
    ftps = served(database, store, workers=1)
    ftps.faults_expected = True
    ftps.query("ALTER TABLE securedrop_ftp_storagelocation RENAME TO away")
    for _ in range(2):
        _log_in_in_vain(ftps)
    ftps.query("ALTER TABLE away RENAME TO securedrop_ftp_storagelocation")
    _logs_in(ftps)


def test_a_folder_that_is_not_the_one_of_the_ledgers_files(served: Serve, tmp_path: Path) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.fixtures.others_project",
        "TEST_ARCHIVE_URL": f"file://{tmp_path}/archive",
    }
    ftps = served(env=env)
    with witness(ftps), ftps.login() as client:  # its last row is not another's
        assert client.try_to_store("STOR a.txt", b"one").startswith("226")
    ftps.query("UPDATE securedrop_ftp_upload SET storage = 'archive'")
    ftps.query("UPDATE securedrop_ftp_partner SET storage = 'archive' WHERE name = 'acme'")
    for _ in range(2):
        _log_in_in_vain(ftps)
    assert "Is its disk mounted?" in ftps.audit("login.failed")[-1]["reason"]
    (tmp_path / "archive" / "acme").mkdir(parents=True)
    (tmp_path / "archive" / "acme" / "a.txt").write_bytes(b"one")
    _logs_in(ftps)  # without a restart
