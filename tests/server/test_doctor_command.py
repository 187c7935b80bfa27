"""``manage.py doctor`` against a service that runs, and against none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import keys


def doctor(ftps: ServedFtps) -> tuple[int, str]:
    """Its exit code and its lines."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor"],
        capture_output=True,
        text=True,
        env=ftps.environment,
        cwd=ROOT,
        timeout=110,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def left_behind(ftps: ServedFtps) -> list[object]:
    """Whatever of the doctor's should not be there."""
    rows = ftps.query("SELECT name FROM securedrop_ftp_partner WHERE name LIKE 'doctor-%%'")
    users = ftps.query("SELECT username FROM auth_user WHERE username LIKE 'doctor-%%'")
    return [*rows, *users, *(k for k in keys(ftps.store) if "doctor" in k)]


@pytest.mark.parametrize(("database", "storage"), [("sqlite", "s3"), ("postgres", "filesystem")])
def test_a_running_service_takes_the_upload(standing: Serve, database: str, storage: str) -> None:
    ftps = standing(database, storage)
    code, lines = doctor(ftps)
    if database == "postgres":  # the tests' server is quick, and not for keeps
        assert "problem  database: PostgreSQL runs with fsync off" in lines
        assert "clock: that of the database agrees" in lines
    assert f"ok       storage: “default” ({storage}) puts, lists, reads and deletes" in lines
    expected = (1, 1) if database == "postgres" else (0, 0)
    assert (code, lines.count("\nproblem ")) == expected, lines
    assert "ok       service: serves on 127.0.0.1:" in lines
    assert "went to the running service, came back and were removed" in lines
    assert left_behind(ftps) == []
    assert ftps.audit("upload.committed")[-1]["account"].startswith("doctor-")


def test_without_a_service_one_is_started_for_it(served: Serve) -> None:
    ftps = served(start=False)
    code, lines = doctor(ftps)
    assert code == 0, lines
    assert "ok       service: none runs" in lines
    assert "went to a service started for it" in lines
    assert left_behind(ftps) == []


def test_a_broken_installation_gets_a_sentence_for_each_fault(
    served: Serve, tmp_path: Path
) -> None:
    ftps = served(start=False)
    ftps.settings["TLS_KEY_FILE"] = tmp_path / "missing.key"
    ftps.settings["STORAGE_URL"] = f"file://{tmp_path}/file"
    (tmp_path / "file").write_text("not a directory")
    code, lines = doctor(ftps)
    assert code == 1
    assert "problem  certificate: SECUREDROP_TLS_KEY_FILE: cannot read" in lines
    assert "problem  storage: “default” failed at reaching it" in lines
    assert f"See that {tmp_path}/file is a folder where the service's user may write." in lines
    assert "problem  upload: A real upload failed: ftps_serve does not start" in lines
    assert "ok       database:" in lines
    assert left_behind(ftps) == []


def test_a_database_that_is_away_or_not_migrated_is_told(served: Serve, tmp_path: Path) -> None:
    ftps = served(start=False)
    ftps.settings["DATABASE_URL"] = f"sqlite:///{tmp_path}/new.sqlite3"
    code, lines = doctor(ftps)
    assert code == 1
    assert "problem  database: The database is not up to date" in lines
    ftps.settings["DATABASE_URL"] = "postgres://nobody:x@127.0.0.1:1/none"
    code, lines = doctor(ftps)
    assert code == 1
    assert "problem  database: The database cannot be reached" in lines
    assert "Check SECUREDROP_DATABASE_URL, and whether its server runs." in lines
    assert "ok       storage:" in lines
    assert "upload:" not in lines
