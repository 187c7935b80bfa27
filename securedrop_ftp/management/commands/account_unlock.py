"""``account_unlock``: lift a lockout."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access import lockout
from securedrop_ftp.access.provisioning import unlock_address, unlock_user
from securedrop_ftp.events import By
from securedrop_ftp.management.base import SentenceCommand, operator


class Command(SentenceCommand):
    help = (
        "Lift every lockout of a user name, from whatever address. A whole address that is "
        "locked out stays so, and is named; lift that with --address."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="the login to unlock")
        parser.add_argument("--address", help="also lift the lockout of this whole address")

    def handle(self, *args: Any, **options: Any) -> None:
        username, address = options["username"], options["address"]
        by = operator()
        lifted = unlock_user(username, by)
        if address:
            self._lift_address(address, by)
        if not lifted and not address and not _is_user(username):
            raise CommandError(f"There is no user “{username}”, and no lockout of that name.")
        self.stdout.write(f"{username}: {'unlocked' if lifted else 'was not locked out'}.")
        for row in lockout.current_lockouts():
            if row.username == lockout.WHOLE_SOURCE:
                self.stdout.write(
                    f"Note: everyone from {row.source} is locked out until "
                    f"{row.until:%Y-%m-%d %H:%M:%S} UTC; lift that with --address {row.source}."
                )

    def _lift_address(self, address: str, by: By) -> None:
        try:
            lifted = unlock_address(address, by)
        except ValueError as exc:
            raise CommandError(f"“{address}” is not an address.") from exc
        self.stdout.write(f"{address}: {'unlocked' if lifted else 'was not locked out'}.")


def _is_user(username: str) -> bool:
    model = get_user_model()
    found: bool = model._default_manager.filter(**{model.USERNAME_FIELD: username}).exists()
    return found
