"""A script reads from the exit code what happened, and a person one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve, ServedFtps


def run(ftps: ServedFtps, *arguments: str) -> tuple[int, str]:
    """The exit code and standard error, which holds no traceback."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=ftps.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "--database", "default"], 1),
        (["migrate"], 1),
        (["createsuperuser", "--noinput", "--username", "a", "--email", "a@b.example"], 1),
        (["uploads_prune"], 1),
        (["uploads_recover"], 1),
        (["partner_list"], 1),
        (["audit_verify"], 2),
    ],
)
def test_without_a_database_there_is_one_sentence(
    served: Serve, arguments: list[str], code: int
) -> None:
    ftps = served(start=False)
    ftps.settings["DATABASE_URL"] = "postgres://nobody:x@127.0.0.1:1/none"
    status, told = run(ftps, *arguments)
    assert status == code
    assert "SECUREDROP_DATABASE_URL" in told


def test_a_broken_chain_is_one_and_a_whole_one_zero(served: Serve) -> None:
    ftps = served(start=False)
    assert run(ftps, "audit_verify")[0] == 0
    ftps.query("UPDATE securedrop_ftp_auditevent SET reason = 'nothing' WHERE seq = 3")
    status, told = run(ftps, "audit_verify")
    assert status == 1
    assert "row 3" in told


def test_what_names_nothing_is_an_error(served: Serve, tmp_path: Path) -> None:
    ftps = served(start=False)
    status, told = run(ftps, "audit_export", "--partner", "nosuch")
    assert (status, "There is no partner “nosuch”" in told) == (1, True)
    assert run(ftps, "audit_export", "--partner", "acme", "--since", "2999-01-01")[0] == 0
    status, told = run(ftps, "account_unlock", "alice", "--address", "10.0.0.0/33")
    assert (status, "is not an address" in told) == (1, True)
    (tmp_path / "file").write_text("not a directory")
    ftps.settings["STORAGE_URL"] = f"file://{tmp_path}/file/below"
    status, told = run(ftps, "uploads_prune")
    assert status == 1
    assert "default" in told
