"""No password and no key leaves the place where it is needed. One is
planted, everything that can go wrong with a login does, and then it is looked for."""

from __future__ import annotations

import contextlib
import ftplib
from collections.abc import Iterator
from pathlib import Path

from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

PLANTED = "Planted-Sekrit-7c1f"


def _process_tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _process_tree(int(child))


def _files_of(ftps: ServedFtps) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in ftps.directory.rglob("*") if p.is_file()}


def _log_in(ftps: ServedFtps, username: str, password: str) -> None:
    with contextlib.suppress(ftplib.Error, OSError, EOFError), ftps.login(username, password):
        pass


def test_a_planted_password_is_nowhere_but_where_it_was_sent(served: Serve) -> None:
    ftps = served(options={"max_line_length": 512})
    ftps.faults_expected = True  # the database is taken away below; no frame may tell
    ftps.manage("account_create", "acme", "zoe", "--password-stdin", stdin=PLANTED + "\n")

    _log_in(ftps, "zoe", PLANTED)  # right
    for name in ("zoe", "alice", "nobody", "zo\u202ee"):
        _log_in(ftps, name, PLANTED + "x")  # wrong, unknown, impossible
    _log_in(ftps, "alice", PLANTED * 40)  # longer than a line may be
    with ftps.connect() as client:
        for line in (
            f"PASS {PLANTED}",
            f"pass  {PLANTED} ",
            f"XPASS {PLANTED}",
            "PASS\x00" + PLANTED,
        ):
            with contextlib.suppress(ftplib.Error, EOFError, OSError):
                client.sendcmd(line)  # out of order, misspelt, with a NUL
    for _ in range(7):
        _log_in(ftps, "alice", PLANTED)  # until locked
    ftps.query("ALTER TABLE securedrop_ftp_account RENAME TO away")
    _log_in(ftps, "zoe", PLANTED)  # the database fails
    ftps.query("ALTER TABLE away RENAME TO securedrop_ftp_account")

    wait_until(lambda: len(ftps.audit("login.locked")) > 0, "the lockout's row")
    arguments = [
        Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()
        for pid in _process_tree(ftps.pid)
    ]
    ftps.stop()
    for where, content in _files_of(ftps).items():
        assert PLANTED.encode() not in content, where
    assert not any(PLANTED.encode() in text for text in arguments)
    exported = ftps.manage("audit_export")
    assert PLANTED not in exported
    assert exported.count('"login.') >= 10


def test_the_secret_key_is_in_no_argument_log_or_row(served: Serve) -> None:
    ftps = served()
    key = str(ftps.settings["SECRET_KEY"])
    with ftps.login() as client:
        client.upload("/a.bin", b"x" * 100_000)
    for pid in _process_tree(ftps.pid):
        assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ftps.stop()
    for where, content in _files_of(ftps).items():
        assert key.encode() not in content, where


def test_the_database_holds_hashes_of_passwords_and_no_password(served: Serve) -> None:
    ftps = served()
    _log_in(ftps, "alice", password_of("alice"))
    for row in ftps.query("SELECT password FROM auth_user"):
        assert row["password"].startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
