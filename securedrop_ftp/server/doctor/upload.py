"""One real upload: a client of our own logs in over FTPS, stores a file, reads it back, removes it.

It does so as a partner that exists for this moment only. Where no service listens, one is started
on loopback for as long as it takes. What stays are the audit rows.
"""

from __future__ import annotations

import ftplib
import hashlib
import os
import re
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, Final

from securedrop_ftp import clock
from securedrop_ftp.access import provisioning
from securedrop_ftp.conf import Conf
from securedrop_ftp.db import write_transaction
from securedrop_ftp.models import Account, Mode, Partner, Upload, UploadState
from securedrop_ftp.server.doctor.client import FtpsClient
from securedrop_ftp.server.doctor.finding import Finding, ok, problem
from securedrop_ftp.server.doctor.service import header_for, reachable
from securedrop_ftp.server.status import ServiceStatus

CHECK: Final = "upload"
BY: Final = "doctor"

SIZE: Final = 256 * 1024 + 1

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 15.0

_READY: Final = re.compile(r"^ready ftps://(.+):(\d+)$")
_OURS: Final = re.compile(r"doctor-[0-9a-f]{12}")
#: A run that was killed leaves its partner to the next.
_FORGOTTEN: Final = timedelta(minutes=15)


class _Failed(Exception):
    """The sentence says what."""


def real_upload(conf: Conf, status: ServiceStatus | None) -> Iterator[Finding]:
    """Send one file as a partner would, read it back and delete it. Needs the database."""
    remove_forgotten()
    try:
        address = reachable(conf, status)
    except OSError as exc:
        yield problem(
            CHECK,
            f"Cannot be tried: {exc}, and it is not this service.",
            "Stop it, or set SECUREDROP_FTPS_BIND to a free address.",
        )
        return
    try:
        with _partner() as (username, password):
            if address is not None:
                yield _tried(conf, address, username, password, "the running service")
            else:
                with _private_service() as private:
                    yield _tried(conf, private, username, password, "a service started for it")
    except (_Failed, OSError, EOFError, ftplib.Error) as exc:
        yield problem(
            CHECK,
            f"A real upload failed: {exc}",
            "The service's log says more (standard error, journalctl).",
        )


def _tried(
    conf: Conf, address: tuple[str, int], username: str, password: str, where: str
) -> Finding:
    data = os.urandom(SIZE)
    digest = hashlib.sha256(data).hexdigest()
    began = time.monotonic()
    with FtpsClient() as client:
        client.header = header_for(address[0], conf)
        client.reach(*address)
        client.auth()
        client.login(username, password, secure=False)
        client.prot_p()
        reply = client.upload("doctor.bin", data)
        if digest not in reply.replace(" ", ""):
            raise _Failed(f"the reply does not carry the file's SHA-256: {reply}")
        if client.download("doctor.bin") != data:
            raise _Failed("other bytes came back than were sent")
        client.delete("doctor.bin")
        client.quit()
    committed = Upload.objects.filter(sha256=digest, state=UploadState.COMMITTED)
    if committed.count() != 1:
        raise _Failed("the ledger has no row of it")
    spent = (time.monotonic() - began) * 1000
    return ok(CHECK, f"{SIZE} bytes went to {where}, came back and were removed, {spent:.0f} ms.")


# --- the partner of the moment -------------------------------------------------------


@contextmanager
def _partner() -> Iterator[tuple[str, str]]:
    name = f"doctor-{secrets.token_hex(6)}"
    password = provisioning.generate_password()
    partner = provisioning.create_partner(BY, name=name, mode=Mode.EXCHANGE)
    try:
        provisioning.create_account(partner, name, password, BY)
        yield name, password
    finally:
        _remove(partner)


def remove_forgotten() -> None:
    """Partners of runs that were killed."""
    old = Partner.objects.filter(name__startswith="doctor-", created__lt=clock.now() - _FORGOTTEN)
    for partner in old:
        if _OURS.fullmatch(partner.name) and partner.prefix == f"{partner.name}/":
            _remove(partner)


def _remove(partner: Partner) -> None:
    with write_transaction():
        Upload.objects.filter(partner=partner).delete()
        for account in Account.objects.filter(partner=partner).select_related("user", "partner"):
            provisioning.delete_account(account, BY)
        provisioning.partner_changed(partner, f"removed by {BY}")
        partner.delete()


# --- the service of the moment -------------------------------------------------------


@contextmanager
def _private_service() -> Iterator[tuple[str, int]]:
    """``ftps_serve`` on a free loopback port, with the same settings."""
    command = [sys.executable, "-m", "django", "ftps_serve", "--bind", "127.0.0.1:0"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            yield _ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _ready(process: subprocess.Popen[bytes], log: IO[bytes]) -> tuple[str, int]:
    assert process.stdout is not None
    deadline = time.monotonic() + START_TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(1.0):
                continue
            line = process.stdout.readline().decode("utf-8", "replace")
            if match := _READY.match(line.strip()):
                return match.group(1), int(match.group(2))
            if not line:
                break
    raise _Failed(f"ftps_serve does not start: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    with suppress(OSError):
        log.seek(0)
        lines = log.read()[-20_000:].decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
    return "its log cannot be read"
