"""``partner_delete``: the end of a partner."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.changes import belongings, delete_partner
from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.found import partner_named


class Command(SentenceCommand):
    help = (
        "Delete a partner with its accounts, network rules and rows in the ledger. Its files in "
        "storage and its audit rows stay. Asks for --yes; refuses while an upload is running. To "
        "lock it out for a while: partner_set NAME --enabled off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the partner's name")
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument(
            "--if-exists", action="store_true", help="no error where there is none (any more)"
        )
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            partner = partner_named(options["name"])
        except CommandError:
            if not options["if_exists"]:
                raise
            self.stdout.write(shown.deletion([], [], options["format"]))
            return
        stays = [f"files under {partner.prefix} in storage {partner.storage}", "audit rows"]
        if not options["yes"]:
            going = belongings(partner)
            raise CommandError(
                f"This deletes the partner “{partner.name}” with {going.accounts} accounts, "
                f"{going.rules} network rules and {going.uploads} rows of the ledger. These stay: "
                f"{', '.join(stays)}. Say --yes to do it."
            )
        name = partner.name
        gone = delete_partner(partner, operator())
        deleted = [
            f"partner {name}",
            f"{gone.accounts} accounts",
            f"{gone.rules} network rules",
            f"{gone.uploads} ledger rows",
        ]
        self.stdout.write(shown.deletion(deleted, stays, options["format"]))
