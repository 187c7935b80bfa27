"""docs/howto/backups.md, followed to the letter after a crash."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.fixtures.processes import ROOT
from tests.fixtures.served import Serve

GUIDE = (ROOT / "docs" / "howto" / "backups.md").read_text()


def commands(start: str) -> str:
    """The guide's command lines that begin so, without their prompts and notes."""
    found = re.findall(rf"^\s*\$ ({start}[^#\n]*)", GUIDE, re.MULTILINE)
    assert found
    return "\n".join(found)


def test_a_restore_after_a_crash_brings_the_backup_back(served: Serve, tmp_path: Path) -> None:
    ftps = served(start=False)
    (tmp_path / "var").mkdir()
    path = tmp_path / "var" / "securedrop.sqlite3"
    Path(ftps.database_url.removeprefix("sqlite:///")).rename(path)
    ftps.database_url = f"sqlite:///{path}"
    ftps.settings["DATABASE_URL"] = ftps.database_url
    ftps.start()

    def follow(script: str) -> None:
        subprocess.run(["bash", "-ec", script], cwd=tmp_path, check=True, timeout=60)

    follow(commands("sqlite3"))
    with ftps.login():  # rows that are not in the backup
        pass
    later = len(ftps.audit())
    workers = ftps.workers
    ftps.kill()
    for pid in workers:
        subprocess.run(["kill", "-9", str(pid)], check=False)
    log = path.with_name(f"{path.name}-wal")
    assert log.exists(), "the crash left nothing to play back"
    assert log.stat().st_size
    follow(commands("rm") + "\n" + commands("cp"))
    assert len(ftps.audit()) < later
    assert "holds" in ftps.manage("audit_verify")
