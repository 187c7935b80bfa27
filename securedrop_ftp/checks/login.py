"""Django settings that logging in relies on, in a project that brings its own."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DEFAULT_DB_ALIAS

HASHER: Final = "securedrop_ftp.access.hashers.Argon2id"
HANDLER: Final = "securedrop_ftp.access.axes_handler.LockoutHandler"
AXES_BACKEND: Final = "axes.backends.AxesStandaloneBackend"


def check_login(**kwargs: Any) -> list[CheckMessage]:
    """W040, W041 and W042."""
    return [*_hashers(), *_axes(), *_sqlite()]


def _hashers() -> list[CheckMessage]:
    hashers = list(settings.PASSWORD_HASHERS)
    rivals = [name for name in hashers if name.endswith("Argon2PasswordHasher")]
    if hashers[:1] == [HASHER] and not rivals:
        return []
    return [
        checks.Warning(
            "PASSWORD_HASHERS does not begin with ours, or names Django's argon2 beside it: hashes "
            "take 100 MiB each, and nothing bounds how many run at once (security bar, row 30).",
            hint=f"Put “{HASHER}” first and take “Argon2PasswordHasher” out; stored passwords stay "
            "valid.",
            id="securedrop.W040",
        )
    ]


def _axes() -> list[CheckMessage]:
    backends = list(settings.AUTHENTICATION_BACKENDS)
    ours = getattr(settings, "AXES_HANDLER", "") == HANDLER
    if ours and backends[:1] == [AXES_BACKEND]:
        return []
    return [
        checks.Warning(
            "django-axes does not use our handler: the lockout of FTPS logins is exact all the "
            "same, that of the admin site is not, and the two count apart (row 28).",
            hint=f"Set AXES_HANDLER = “{HANDLER}” and put “{AXES_BACKEND}” first in "
            "AUTHENTICATION_BACKENDS.",
            id="securedrop.W041",
        )
    ]


def _sqlite() -> list[CheckMessage]:
    database = settings.DATABASES.get(DEFAULT_DB_ALIAS, {})
    if not str(database.get("ENGINE", "")).endswith("sqlite3"):
        return []
    if str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper() == "IMMEDIATE":
        return []
    return [
        checks.Warning(
            "SQLite's transactions are deferred: two that read and then write fail with “database "
            "is locked” instead of taking turns.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": '
            '"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"}.',
            id="securedrop.W042",
        )
    ]
