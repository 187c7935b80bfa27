"""``partner_show``: one partner."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.management.found import partner_named


class Command(SentenceCommand):
    help = "Show a partner: its settings, limits, network rules and accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the partner's name")
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        row = shown.partner_row(partner_named(options["name"]))
        self.stdout.write(shown.one(row, options["format"]))
