"""``manage.py ftps_replace``: the running service takes the code and settings on disk."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from securedrop_ftp.conf import get_conf
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.server.replacement import replace_generation


class Command(BaseCommand):
    """Thin: ask, wait, tell."""

    help = (
        "Replace the running service by the code and settings on disk without refusing a "
        "connection: a new generation serves, then the old one ends its transfers. Where the new "
        "one cannot serve, says why (exit code 1), and the old one serves on."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for the new generation."""
        try:
            status = replace_generation(get_conf().data_dir)
        except ConfigurationError as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"Generation {status.generation} serves (pid {status.pid}).")
