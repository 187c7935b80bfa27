"""``account_create``: a login for a partner."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.provisioning import create_account
from securedrop_ftp.management.base import USAGE, SentenceCommand, operator
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.management.passwords import add_password_sources, password_from


class Command(SentenceCommand):
    help = (
        "Create a login for a partner. A password never stands on the command line, where other "
        "users of the machine could read it: it comes on standard input, or is generated and "
        "printed on standard output, once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("partner", help="the partner's name")
        parser.add_argument("username", nargs="?", help="what the client sends as USER")
        source = parser.add_mutually_exclusive_group(required=True)
        add_password_sources(source)
        source.add_argument(
            "--user",
            metavar="EXISTING",
            help="for a user who is there already and keeps its password; none of the staff",
        )
        parser.add_argument(
            "--sub-prefix", default="", help="a directory of the partner that is this login's root"
        )

    @sensitive_variables("password")
    def handle(self, *args: Any, **options: Any) -> None:
        partner = partner_named(options["partner"])
        existing = options["user"]
        if (options["username"] is None) == (existing is None):
            raise CommandError(
                "Name the login once: account_create PARTNER USERNAME with a password, or "
                "account_create PARTNER --user EXISTING.",
                returncode=USAGE,
            )
        user = _user_named(existing) if existing is not None else None
        password = password_from(options) if user is None else ""
        account = create_account(
            partner,
            options["username"] or "",
            password,
            operator(),
            user=user,
            sub_prefix=options["sub_prefix"],
        )
        self.stderr.write(f"Account {account.username} of partner {partner.name}.")
        if options["generate_password"]:
            self.stdout.write(password)


def _user_named(username: str) -> Any:
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(username)
    except model.DoesNotExist:
        raise CommandError(f"There is no user “{username}”.") from None
