"""Secrets stay out of the log at its loudest, in both formats; out of tracebacks of our own and of
others' faults; out of reprs."""

from __future__ import annotations

import contextlib
import ftplib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from securedrop_ftp.access.certificates import PeerCertificate
from securedrop_ftp.access.login import log_in
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.conf import get_conf
from securedrop_ftp.models import LoginAttempt, Upload
from securedrop_ftp.storage.protocol import ObjectSpec, Partial
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_secrets import _files_of, _log_in, _process_tree

PASSWORD = "Planted-Sekrit-b40e"
STORAGE_KEY = "Planted/Storage+Key91a7"


@pytest.fixture(params=["json", "console"])
def loud(request: pytest.FixtureRequest, served: Serve) -> ServedFtps:
    """Over object storage, everything logged, with a back end that raises what it knows."""
    ftps = served(
        storage="s3",
        options={"log_format": request.param},
        env={
            "DJANGO_SETTINGS_MODULE": "tests.fixtures.debug_settings",
            "AWS_SECRET_ACCESS_KEY": STORAGE_KEY,  # moto takes any
        },
    )
    ftps.faults_expected = True
    return ftps


def test_the_loudest_log_holds_no_secret(loud: ServedFtps) -> None:
    loud.manage("account_create", "acme", "zoe", "--password-stdin", stdin=PASSWORD + "\n")
    with loud.login("zoe", PASSWORD) as client:
        assert client.upload("/a.bin", os.urandom(9_000_000)).startswith("226")
        assert len(client.download("/a.bin")) == 9_000_000
    _log_in(loud, "zoe", PASSWORD + "x")  # the leaky back end fails with it
    wait_until(lambda: "RuntimeError" in loud.log, "the back end's failure")
    with loud.login("zoe", PASSWORD) as client, contextlib.suppress(ftplib.Error, EOFError):
        loud.query("ALTER TABLE securedrop_ftp_auditevent RENAME TO away")
        client.mkd("/directory")  # its row cannot be written
    loud.query("ALTER TABLE away RENAME TO securedrop_ftp_auditevent")
    arguments = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in _process_tree(loud.pid)]
    loud.stop()

    assert "debug" in loud.log  # it was at its loudest
    assert "Traceback (most recent call last)" in loud.log
    secrets = (PASSWORD, STORAGE_KEY, str(loud.settings["SECRET_KEY"]))
    for secret in secrets:
        for where, content in _files_of(loud).items():
            assert secret.encode() not in content, where
        assert not any(secret.encode() in text for text in arguments)


def test_no_repr_holds_a_secret(db: None) -> None:
    partner = create_partner("test", name="acme")
    account = create_account(partner, "alice", PASSWORD, "test")
    principal = log_in("alice", PASSWORD, remote_ip="192.0.2.1", session="s")
    token = "https://storage.example/upload?token=Planted-Token-0d2b"
    row = Upload(partner=partner, username="alice", resume_token=token, key="acme/a")
    partial = Partial(ObjectSpec("acme/a", "u1"), token=token)
    certificate = PeerCertificate.from_der([b"Planted-Der-77"])
    shown = "".join(
        repr(thing) + str(thing)
        for thing in (
            get_conf(), principal, partner, account, account.user, row, partial, certificate,
            LoginAttempt(username="alice", source="192.0.2.1"),
        )
    )  # fmt: skip
    for secret in (PASSWORD, "Planted-", settings.SECRET_KEY, account.user.password):
        assert secret not in shown


def test_the_doctors_password_is_in_no_argument(served: Serve) -> None:
    """It logs in with a password of its own, as a client and through a service it starts."""
    ftps = served(start=False)
    doctor = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "doctor"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ftps.environment,
        cwd=ROOT,
    )
    seen: set[bytes] = set()
    while doctor.poll() is None:
        for pid in [doctor.pid, *_children(doctor.pid)]:
            with contextlib.suppress(OSError):
                seen.add(Path(f"/proc/{pid}/cmdline").read_bytes())
        time.sleep(0.05)
    assert doctor.stdout is not None
    lines = doctor.stdout.read()
    assert doctor.returncode == 0, lines
    assert any(b"ftps_serve" in line for line in seen)
    known = {b"doctor", b"ftps_serve", b"--bind", b"127.0.0.1:0", b"--workers", b"1", b"-m"}
    known |= {b"django", sys.executable.encode(), str(ROOT / "manage.py").encode(), b""}
    assert {word for line in seen for word in line.split(b"\0")} <= known
    assert str(ftps.settings["SECRET_KEY"]) not in lines


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return list(_process_tree(pid))[1:]
    return []


def test_debug_is_off_and_no_variable_turns_it_on(served: Serve) -> None:
    ftps = served(start=False, env={"DEBUG": "1", "DJANGO_DEBUG": "1"})
    printed = ftps.manage("shell", "-c", "from django.conf import settings; print(settings.DEBUG)")
    assert printed.strip().splitlines()[-1] == "False"
    ftps.settings["DEBUG"] = "1"
    refused = ftps.manage("check", check=False)
    assert "SECUREDROP_DEBUG is not a setting of this service" in refused
