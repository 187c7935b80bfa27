"""Checks of who else on the machine can read what the service keeps."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004 - Django's own name
from django.db import DEFAULT_DB_ALIAS

from securedrop_ftp.conf import get_conf

#: Read, write or search by users who are neither the owner nor of the group.
_OTHERS: Final = stat.S_IRWXO


def check_private(**kwargs: Any) -> list[CheckMessage]:
    """W043: the data folder; W044: the SQLite file, where its folder lets others in."""
    try:
        return [*_folder(get_conf().data_dir), *_database()]
    except (TypeError, ValueError):  # SECUREDROP itself is broken; other checks say so
        return []


def _open_to_others(path: Path) -> int:
    """Its mode, where others have any right to it; else 0."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # not there yet
        return 0
    return mode if mode & _OTHERS else 0


def _folder(path: Path) -> list[CheckMessage]:
    mode = _open_to_others(path)
    if not mode:
        return []
    return [
        Warning(
            f"Every user of the machine can enter the data folder {path} (mode {mode:04o}).",
            hint=f"chmod 0700 {path} (0750 where a group reads what is stored in it).",
            id="securedrop.W043",
        )
    ]


def _database() -> list[CheckMessage]:
    database = settings.DATABASES.get(DEFAULT_DB_ALIAS, {})
    name = str(database.get("NAME", ""))
    if not str(database.get("ENGINE", "")).endswith("sqlite3") or not Path(name).is_absolute():
        return []
    path = Path(name)
    mode = _open_to_others(path)
    if not mode or not _open_to_others(path.parent):
        return []
    return [
        Warning(
            f"Every user of the machine can read the database {path} (mode {mode:04o}): password "
            "hashes, sessions, the whole trail.",
            hint=f"chmod 0600 {path}*, and 0700 its folder.",
            id="securedrop.W044",
        )
    ]
