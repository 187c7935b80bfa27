"""Row 35: the demo's accounts are for this machine, and its secrets are nobody else's.

192.0.2.1 is an address of nobody's (RFC 5737), so that nothing listens there even if we fail.
"""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from securedrop_ftp.project.demo.preparation import secret_key_file
from tests.fixtures.certificates import Certificates
from tests.fixtures.processes import ROOT, free_port
from tests.project.test_demo import demo_environment, refused

ELSEWHERE = "192.0.2.1"


@pytest.mark.parametrize("variable", ["FTPS_BIND", "WEB_BIND"])
def test_row_35_the_demo_never_listens_outside_loopback(tmp_path: Path, variable: str) -> None:
    message = refused(demo_environment(tmp_path, **{variable: f"{ELSEWHERE}:{free_port()}"}))
    assert "not a loopback address" in message
    assert not (tmp_path / "demo.json").exists()


def test_row_35_the_service_refuses_to_show_a_demo_to_the_world(
    tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "demo.json").write_text("{}")
    env = demo_environment(
        tmp_path,
        SECRET_KEY="k" * 60,
        FTPS_BIND=f"{ELSEWHERE}:{free_port()}",
        TLS_CERT_FILE=certificates.server,
        TLS_KEY_FILE=certificates.server_key,
    )
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], env=env | {"SECUREDROP_FTPS_BIND": ""}, check=True)
    done = subprocess.run(
        [*manage, "ftps_serve"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "the demo's accounts" in done.stderr


def test_row_35_each_demo_makes_a_key_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    files = [secret_key_file(tmp_path / name) for name in ("one", "two")]
    assert len({file.read_text() for file in files}) == 2
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text()) > 50
    assert secret_key_file(tmp_path / "one").read_text() == files[0].read_text()
