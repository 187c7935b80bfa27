"""What the demo needs before anything starts: secret key, certificates, database, accounts.

Everything is made once and found again at the next start. No secret is ever built in (security
bar, row 35): each stands in a file that only its owner can read.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import string
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command

from securedrop_ftp.checks import certificate_problems
from securedrop_ftp.checks.exposure import DEMO_FILE
from securedrop_ftp.conf import Conf
from securedrop_ftp.models import Account, Mode, Partner
from securedrop_ftp.tls.development import make_certificates

PARTNER: Final = "demo"
ACCOUNT: Final = "demo"
ADMIN: Final = "admin"

_ALPHABET: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Passwords:
    """The generated ones. They are shown on the demo's screen, and nowhere else."""

    account: str
    admin: str


def secret_key_file(data_dir: Path) -> Path:
    """``<data dir>/secret_key``, made if it is not there."""
    path = data_dir / "secret_key"
    if not path.exists():
        _write_private(path, secrets.token_urlsafe(64) + "\n")
    return path


def development_pair(directory: Path) -> tuple[Path, Path]:
    """The development certificate and key in ``directory``; made if they are missing, and made
    anew if they have expired or are broken."""
    certificate, key = directory / "server.pem", directory / "server.key"
    conf = Conf(tls_cert_file=str(certificate), tls_key_file=str(key))
    whole = (directory / "ca.pem").exists()
    if not whole or any(p.is_serious() for p in certificate_problems(conf)):
        make_certificates(directory)
    return certificate, key


def prepare_database(data_dir: Path) -> Passwords:
    """Migrate, and make the demo's partner, account and admin if they are missing."""
    call_command("migrate", verbosity=0)
    passwords = _passwords(data_dir / DEMO_FILE)
    if not Partner.objects.filter(name=PARTNER).exists():
        _quietly("partner_create", PARTNER, f"--mode={Mode.EXCHANGE}")
    users = get_user_model().objects
    if not Account.objects.filter(user__username=ACCOUNT).exists():
        _quietly("account_create", PARTNER, ACCOUNT, "--generate-password")
    if not users.filter(username=ADMIN).exists():
        users.create_superuser(ADMIN, password=passwords.admin)
    _set_password(ACCOUNT, passwords.account)
    _set_password(ADMIN, passwords.admin)
    return passwords


def environment_file(data_dir: Path) -> Path:
    """``<data dir>/environment``: the demo's settings, for another shell to read (``. FILE``)."""
    path = data_dir / "environment"
    settings = sorted((n, v) for n, v in os.environ.items() if n.startswith("SECUREDROP_"))
    path.unlink(missing_ok=True)
    _write_private(path, "".join(f"export {n}={shlex.quote(v)}\n" for n, v in settings))
    return path


def _quietly(command: str, *arguments: str) -> None:
    call_command(command, *arguments, stdout=StringIO(), stderr=StringIO())


def _passwords(path: Path) -> Passwords:
    try:
        return Passwords(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        passwords = Passwords(account=_password(), admin=_password())
        path.unlink(missing_ok=True)
        _write_private(path, json.dumps(asdict(passwords)) + "\n")
        return passwords


def _set_password(username: str, password: str) -> None:
    user = get_user_model().objects.get(username=username)
    assert isinstance(user, AbstractUser)
    if not user.check_password(password):
        user.set_password(password)
        user.save()


def _password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
