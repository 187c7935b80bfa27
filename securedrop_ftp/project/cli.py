"""The console script ``securedrop-ftp``: Django's management commands with our settings."""

from __future__ import annotations

import os
import sys

from securedrop_ftp import __version__


def main() -> None:
    """Run a management command; a setting that cannot be understood is one sentence, exit 1."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "securedrop_ftp.project.settings")
    if sys.argv[1:] == ["--version"]:
        print(f"securedrop_ftp {__version__}")  # noqa: T201
        return
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import InterfaceError, OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        sys.exit(f"securedrop-ftp: {exc}")
    except (OperationalError, InterfaceError) as exc:  # in Django's own commands
        from securedrop_ftp.management.base import database_sentence

        sys.exit(f"securedrop-ftp: {database_sentence(exc)}")


if __name__ == "__main__":
    main()
