"""Variables to settings: types, files, and sentences for what is not understood."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from securedrop_ftp.project.environment import Environment
from tests.fixtures.processes import ROOT
from tests.fixtures.served import environment


def test_a_value_comes_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("from the file\n")
    assert Environment({"SECUREDROP_SECRET_KEY_FILE": str(secret)}).text("SECRET_KEY") == (
        "from the file"
    )


def test_a_value_given_twice_is_refused(tmp_path: Path) -> None:
    env = Environment({"SECUREDROP_X": "a", "SECUREDROP_X_FILE": str(tmp_path / "x")})
    with pytest.raises(ImproperlyConfigured, match="both set"):
        env.text("X")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    env = Environment({"SECUREDROP_X_FILE": str(tmp_path / "nothing")})
    with pytest.raises(ImproperlyConfigured, match=r"SECUREDROP_X_FILE: cannot read .*nothing"):
        env.text("X")


def test_an_empty_variable_is_an_absent_one() -> None:
    assert Environment({"SECUREDROP_IDLE_TIMEOUT": ""}).conf() == {}


def test_fields_come_in_their_types() -> None:
    env = Environment(
        {
            "SECUREDROP_FTPS_WORKERS": "3",
            "SECUREDROP_IDLE_TIMEOUT": "2.5",
            "SECUREDROP_DISK_SPOOL": "yes",
            "SECUREDROP_TLS_CERT_FILE": "/a/b.pem",
            "SECUREDROP_DATA_DIR": "/var/lib/x",
        }
    )
    assert env.conf() == {
        "FTPS_WORKERS": 3,
        "IDLE_TIMEOUT": 2.5,
        "DISK_SPOOL": True,
        "TLS_CERT_FILE": "/a/b.pem",
        "DATA_DIR": Path("/var/lib/x"),
    }


def test_what_is_not_understood_is_left_for_the_checks() -> None:
    env = Environment({"SECUREDROP_FTPS_WORKERS": "many", "SECUREDROP_FTP_BIND": "x:1"})
    assert env.conf() == {"FTPS_WORKERS": "many", "FTP_BIND": "x:1"}


def test_a_variable_that_was_read_by_name_is_not_taken_for_a_field() -> None:
    env = Environment({"SECUREDROP_SECRET_KEY": "x"})
    env.text("SECRET_KEY")
    assert env.conf() == {}


@pytest.mark.parametrize(("value", "meant"), [("true", True), ("0", False), ("", False)])
def test_a_flag_is_yes_or_no(value: str, meant: bool) -> None:
    assert Environment({"SECUREDROP_X": value}).flag("X") is meant


def test_a_flag_that_is_neither_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="write true or false"):
        Environment({"SECUREDROP_X": "perhaps"}).flag("X")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("DATABASE_URL", "mysqlite://x", "SECUREDROP_DATABASE_URL is not understood"),
        ("STORAGE_URL", "/srv/incoming", "SECUREDROP_STORAGE_URL: write file:///srv/incoming."),
        ("CACHE_URL", "memcached://x", "SECUREDROP_CACHE_URL is not understood"),
        ("STORAGE_URL", "ftp://x", "SECUREDROP_STORAGE_URL: 'ftp' is not a scheme"),
        ("DATA_DIR", "/proc/nowhere", "The data directory /proc/nowhere cannot be made"),
        ("FTPS_WORKERS", "many", "SECUREDROP_FTPS_WORKERS is 'many'"),
        ("FTP_BIND", "x:1", "Did you mean SECUREDROP_FTPS_BIND?"),
        ("SECRET_KEY", "", "Set SECUREDROP_SECRET_KEY"),
    ],
)
def test_a_command_says_what_is_wrong_in_a_sentence_and_exits_with_1(
    tmp_path: Path, variable: str, value: str, sentence: str
) -> None:
    settings: dict[str, object] = {"DATA_DIR": tmp_path, "SECRET_KEY": "k" * 60, variable: value}
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check"],
        env=environment(settings),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
