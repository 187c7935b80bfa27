"""``account_show``: one account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.management.found import account_named


class Command(SentenceCommand):
    help = "Show an account: its partner, what it may do, whether it is locked out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="what the client sends as USER")
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        row = shown.account_row(account_named(options["username"]))
        self.stdout.write(shown.one(row, options["format"]))
