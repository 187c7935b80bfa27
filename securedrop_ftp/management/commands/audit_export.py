"""``audit_export``: the audit trail to standard output."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.audit import export
from securedrop_ftp.events import EVENT_NAMES
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.models import Partner


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ArgumentTypeError(
            f"“{text}” is not a time; write 2026-11-23 or 2026-11-23T06:00:00Z."
        ) from exc
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class Command(SentenceCommand):
    help = (
        "Write audit rows to standard output in the order of the chain. The columns, and how to "
        "verify an export without this service, are in docs/reference/audit.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=export.FORMATS, default="jsonl")
        parser.add_argument(
            "--since", type=_time, metavar="ISO", help="rows at or after this time (UTC)"
        )
        parser.add_argument("--until", type=_time, metavar="ISO", help="rows before this time")
        parser.add_argument("--partner", default="", metavar="NAME", help="rows of one partner")
        parser.add_argument(
            "--event", default="", choices=EVENT_NAMES, metavar="E", help=", ".join(EVENT_NAMES)
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = export.select(
            since=options["since"],
            until=options["until"],
            partner=options["partner"],
            event=options["event"],
        )
        if options["partner"] and not rows.exists() and not _ever_was(options["partner"]):
            raise CommandError(
                f"There is no partner “{options['partner']}”, and no row of one. partner_list "
                "shows all."
            )
        # Not self.stdout: it would add a newline to each write and ask for the style each time.
        out = options.get("stdout") or sys.stdout
        try:
            export.write(rows, out, options["format"])
        except BrokenPipeError:
            pass  # “| head” has seen enough


def _ever_was(name: str) -> bool:
    return Partner.objects.filter(name=name).exists() or export.select(partner=name).exists()
