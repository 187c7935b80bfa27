"""``account_list``: the accounts, of all partners or of one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.models import Account


class Command(SentenceCommand):
    help = "List the accounts, by partner and user name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--partner", metavar="NAME", help="of this partner only")
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.select_related("user", "partner")
        if options["partner"] is not None:
            accounts = accounts.filter(partner=partner_named(options["partner"]))
        rows = [shown.account_row(account) for account in accounts]
        rows.sort(key=lambda row: (row["partner"], row["username"]))
        self.stdout.write(shown.many(rows, shown.ACCOUNT_COLUMNS, options["format"]))
