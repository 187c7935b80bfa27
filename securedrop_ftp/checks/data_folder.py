"""Check of whether the service can keep what it keeps in its data folder."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error

from securedrop_ftp.conf import get_conf


def check_data_folder(**kwargs: Any) -> list[CheckMessage]:
    """E045, for ``check --deploy``: an operator who may not write there may run other commands."""
    try:
        return data_folder_problems(get_conf().data_dir)
    except (TypeError, ValueError):  # SECUREDROP itself is broken; other checks say so
        return []


def data_folder_problems(path: Path) -> list[CheckMessage]:
    """E045: this process's user cannot make files in the folder ``path``, or cannot make the
    folder. The audit spool would fail on the day when the database is away."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    what = "" if there == path else f", because {there} is in the way or not writable"
    user = _user()
    return [
        Error(
            f"The data folder {path} cannot be written by the user {user}{what}.",
            hint=f"chown {user} {path}; chmod 0700 {path}; or set SECUREDROP_DATA_DIR to a folder "
            "of the service's user.",
            id="securedrop.E045",
        )
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # no name for this user id
        return str(os.geteuid())
