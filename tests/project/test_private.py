"""Keys that can be guessed, and folders that everybody can look into, are remarked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.processes import ROOT
from tests.fixtures.served import environment


def _manage(data: Path, *arguments: str, key: str = "k" * 64) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(
            {
                "DATA_DIR": data,
                "SECRET_KEY": key,
                "TLS_CERT_FILE": data / "server.pem",
                "TLS_KEY_FILE": data / "server.key",
                "FTPS_BIND": "127.0.0.1:0",
            }
        ),
        capture_output=True,
        text=True,
        timeout=120,
        umask=0o022,
    )


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.integration
@pytest.mark.parametrize("key", ["x", "k" * 31])
def test_a_key_that_can_be_guessed_serves_nothing(tmp_path: Path, key: str) -> None:
    make_certificates(tmp_path / "data")
    assert _manage(tmp_path / "data", "migrate").returncode == 0  # with a good key
    for command in ("check", "ftps_serve"):
        done = _manage(tmp_path / "data", command, key=key)
        assert done.returncode != 0
        assert f"The secret key has {len(key)} characters" in done.stderr


@pytest.mark.integration
def test_an_open_data_folder_is_remarked_and_ours_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert _manage(data, "migrate").returncode == 0
    database = data / "securedrop.sqlite3"
    assert (_mode(data), _mode(database)) == (0o700, 0o600)
    told = _manage(data, "check").stderr
    assert "W043" not in told
    assert "W044" not in told
    data.chmod(0o755)
    database.chmod(0o644)
    done = _manage(data, "check")
    assert done.returncode == 0
    assert "securedrop.W043" in done.stderr
    assert "securedrop.W044" in done.stderr


@pytest.mark.parametrize("unit", ["securedrop-ftp", "securedrop-admin"])
def test_the_units_leave_no_core_files(unit: str) -> None:
    assert "LimitCORE=0" in (ROOT / "docs" / "howto" / f"{unit}.service").read_text().splitlines()
