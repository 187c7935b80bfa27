"""How an operator runs a command here: sentences that name one say what can be pasted."""

from __future__ import annotations

import os
from typing import Final

#: The settings of the ready-to-run project, which the script ``securedrop-ftp`` comes with.
OUR_SETTINGS: Final = "securedrop_ftp.project.settings"


def command_line(arguments: str) -> str:
    """``arguments`` (``migrate``) with the program before them: ``securedrop-ftp``, or
    ``python manage.py`` in a project of somebody's own."""
    ours = os.environ.get("DJANGO_SETTINGS_MODULE", OUR_SETTINGS) == OUR_SETTINGS
    return f"{'securedrop-ftp' if ours else 'python manage.py'} {arguments}"
