"""``doctor``: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake.locations import adopt
from securedrop_ftp.management.base import operator
from securedrop_ftp.server.doctor.examination import examine
from securedrop_ftp.server.doctor.finding import Level


class Command(BaseCommand):
    help = (
        "Check certificate, passive ports, storage, database, clock and limits, and make one real "
        "FTPS upload to this service (to one started for it on loopback, where none runs). One "
        "line for each finding: ok, warning or problem. Exit code 1 where there is a problem."
    )
    # It reports them itself, one line each.
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--adopt-storage",
            metavar="ALIAS",
            help="instead: say that this alias of STORAGES leads to the right place as it is now, "
            "though it is another or an empty one (restored, moved, emptied on purpose)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["adopt_storage"]:
            self._adopt(options["adopt_storage"])
        else:
            self._examine()

    def _adopt(self, alias: str) -> None:
        if alias not in settings.STORAGES:
            raise CommandError(f"STORAGES has no alias “{alias}”: {', '.join(settings.STORAGES)}.")
        try:
            place = adopt(alias, operator())
        except (SecureDropError, DatabaseError) as exc:
            raise CommandError(f"“{alias}” could not be adopted: {exc}") from exc
        self.stdout.write(f"“{alias}” is at {place or 'a place of its own'} from now on.")

    def _examine(self) -> None:
        # What it does leaves audit rows; their log lines would stand between the findings.
        logging.getLogger("securedrop_ftp").setLevel(logging.WARNING)
        counts: Counter[Level] = Counter()
        styles = {Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        for finding in examine():
            counts[finding.level] += 1
            style = styles.get(finding.level, str)
            self.stdout.write(style(str(finding)))
            self.stdout.flush()
        self.stdout.write(
            f"{counts[Level.PROBLEM]} problems, {counts[Level.WARNING]} warnings, "
            f"{counts[Level.OK]} ok."
        )
        if counts[Level.PROBLEM]:
            sys.exit(1)
