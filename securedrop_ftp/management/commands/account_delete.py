"""``account_delete``: the end of a login."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.provisioning import delete_account
from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.found import account_named


class Command(SentenceCommand):
    help = (
        "Delete an account, and its Django user where that one was made with it and is not one of "
        "the staff. Its files, its rows in the ledger and its audit rows stay. Asks for --yes. To "
        "lock somebody out for a while: account_set USERNAME --enabled off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="what the client sends as USER")
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument(
            "--if-exists", action="store_true", help="no error where there is none (any more)"
        )
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = account_named(options["username"])
        except CommandError:
            if not options["if_exists"]:
                raise
            self.stdout.write(shown.deletion([], [], options["format"]))
            return
        user = "and its user" if account.governs_user else "; its user stays"
        stays = [
            f"files under {account.root} in storage {account.partner.storage}",
            "ledger rows",
            "audit rows",
        ]
        if not options["yes"]:
            raise CommandError(
                f"This deletes the account “{account.username}” of {account.partner.name} {user}. "
                f"These stay: {', '.join(stays)}. Say --yes to do it."
            )
        name = account.username
        both = delete_account(account, operator())
        with_user = [f"user {name}"]
        deleted = [f"account {name}", *(with_user if both else [])]
        stays = stays if both else [*with_user, *stays]
        self.stdout.write(shown.deletion(deleted, stays, options["format"]))
