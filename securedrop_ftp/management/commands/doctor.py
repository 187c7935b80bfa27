"""``doctor``: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake.locations import adopt
from securedrop_ftp.management.base import operator
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.server.doctor.examination import examine, partly
from securedrop_ftp.server.doctor.finding import Finding, Level
from securedrop_ftp.server.doctor.partner import PARTNER, examine_partner


class Command(BaseCommand):
    help = (
        "Check certificate, passive ports, storage, database, clock and limits, and make one real "
        "FTPS upload to this service (to one started for it on loopback, where none runs). One "
        "line for each finding: ok, warning or problem. Exit code 1 where there is a problem. "
        "With --partner: what one partner's software fails with, and what to change."
    )
    # It reports them itself, one line each.
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--partner",
            metavar="NAME",
            help="instead: how this partner's last sessions went, what client it has, what failed "
            "and why, and the settings that matter for it",
        )
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="for people, or for scripts"
        )
        parser.add_argument(
            "--adopt-storage",
            metavar="ALIAS",
            help="instead: say that this alias of STORAGES leads to the right place as it is now, "
            "though it is another or an empty one (restored, moved, emptied on purpose)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["adopt_storage"]:
            self._adopt(options["adopt_storage"])
        elif options["partner"]:
            findings = partly(PARTNER, lambda: examine_partner(partner_named(options["partner"])))
            self._tell(findings, options["format"])
        else:
            # What it does leaves audit rows; their log lines would stand between the findings.
            logging.getLogger("securedrop_ftp").setLevel(logging.WARNING)
            self._tell(examine(), options["format"])

    def _adopt(self, alias: str) -> None:
        if alias not in settings.STORAGES:
            raise CommandError(f"STORAGES has no alias “{alias}”: {', '.join(settings.STORAGES)}.")
        try:
            place = adopt(alias, operator())
        except (SecureDropError, DatabaseError) as exc:
            raise CommandError(f"“{alias}” could not be adopted: {exc}") from exc
        self.stdout.write(f"“{alias}” is at {place or 'a place of its own'} from now on.")

    def _tell(self, findings: Iterable[Finding], form: str) -> None:
        counts: Counter[Level] = Counter()
        told = []
        styles = {Level.WARNING: self.style.WARNING, Level.PROBLEM: self.style.ERROR}
        for finding in findings:
            counts[finding.level] += 1
            if form == "json":
                told.append(finding.row())
                continue
            style = styles.get(finding.level, str)
            self.stdout.write(style(str(finding)))
            self.stdout.flush()
        self.stdout.write(json.dumps(told, indent=2) if form == "json" else _sum(counts))
        if counts[Level.PROBLEM]:
            sys.exit(1)


def _sum(counts: Counter[Level]) -> str:
    problems, warnings = counts[Level.PROBLEM], counts[Level.WARNING]
    return (
        f"{problems} problem{'' if problems == 1 else 's'}, "
        f"{warnings} warning{'' if warnings == 1 else 's'}, {counts[Level.OK]} ok."
    )
