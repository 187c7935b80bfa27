"""The database: does it answer, has it our tables, does it take a row?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from securedrop_ftp.db import write_transaction
from securedrop_ftp.db.sentences import first_line, not_migrated, unreached
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.models import Lockout

#: In a row that is never kept.
PROBE: Final = "readiness"


class DatabaseUnreached(ConfigurationError):
    """It does not answer."""


class NotMigrated(ConfigurationError):
    """Tables or columns that the service uses are missing."""


class NotWritable(ConfigurationError):
    """It answers and takes no row: read-only, a full disk, a role without the right."""


class _Undo(Exception):
    """Nothing of the trial is kept."""


def usable() -> None:
    """Raises ConfigurationError, which says what to do, unless the service can work with it."""
    migrated()
    writable()


def migrated() -> None:
    """Raises DatabaseUnreached or NotMigrated. Other apps' pending migrations are theirs."""
    try:
        applied = MigrationRecorder(connections["default"]).applied_migrations()
    except (DatabaseError, InterfaceError) as exc:
        raise DatabaseUnreached(unreached(exc)) from exc
    missing = [".".join(key) for key in _needed() if not _is_applied(key, applied)]
    if missing:
        named = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
        raise NotMigrated(not_migrated(named))


def writable() -> None:
    """Raises NotWritable. Nothing is left: the transaction is undone."""
    try:
        with write_transaction():
            Lockout.objects.create(source=PROBE, username=PROBE, touched=timezone.now())
            raise _Undo
    except _Undo:
        pass
    except (DatabaseError, InterfaceError) as exc:
        raise NotWritable(
            f"The database cannot be written: {first_line(exc)}. Uploads and logins need it: look "
            "at the disk's space and at the permissions of the file and its directory, or at the "
            "database role's and whether the server is a standby."
        ) from exc


def foreign_migrations() -> list[str]:
    """What other apps of the project have not migrated yet: ``app.name`` of each."""
    loader = MigrationLoader(connections["default"])
    needed = set(_needed())
    applied = loader.applied_migrations or {}
    return [
        ".".join(key)
        for key in sorted(loader.graph.nodes)
        if key not in applied and key not in needed
    ]


@lru_cache(maxsize=1)
def _graph() -> tuple[tuple[tuple[str, str], ...], dict[tuple[str, str], list[tuple[str, str]]]]:
    """The migrations that the service stands on, and what squashed ones stand for: our own, the
    user model's (each login selects all its columns), and axes' (each login clears its rows)."""
    loader = MigrationLoader(None)
    labels = {"securedrop_ftp", get_user_model()._meta.app_label}
    labels |= {"axes"} if apps.is_installed("axes") else set()
    found: dict[tuple[str, str], None] = {}
    for leaf in loader.graph.leaf_nodes():
        if leaf[0] in labels:
            found |= dict.fromkeys(loader.graph.forwards_plan(leaf))
    replaces = {key: list(loader.graph.nodes[key].replaces) for key in found}
    return tuple(found), replaces


def _needed() -> tuple[tuple[str, str], ...]:
    return _graph()[0]


def _is_applied(key: tuple[str, str], applied: Any) -> bool:
    replaced = _graph()[1].get(key)
    return key in applied or bool(replaced and all(old in applied for old in replaced))
