"""``account_create``: a login for a partner."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.provisioning import (
    check_new_password,
    create_account,
    generate_password,
)
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.models import Partner


class Command(SentenceCommand):
    help = (
        "Create a login for a partner. A password never stands on the command line, where other "
        "users of the machine could read it: it comes on standard input, or is generated and "
        "printed on standard output, once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("partner", help="the partner's name")
        parser.add_argument("username", help="what the client sends as USER")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--password-stdin", action="store_true", help="read the password's line from stdin"
        )
        source.add_argument(
            "--generate-password", action="store_true", help="make one and print it"
        )
        parser.add_argument(
            "--sub-prefix", default="", help="a directory of the partner that is this login's root"
        )

    @sensitive_variables("password")
    def handle(self, *args: Any, **options: Any) -> None:
        partner = Partner.objects.filter(name=options["partner"]).first()
        if partner is None:
            raise CommandError(
                f"There is no partner “{options['partner']}”. Create it with partner_create."
            )
        generated = options["generate_password"]
        password = generate_password() if generated else _password_from_stdin()
        account = create_account(
            partner, options["username"], password, operator(), sub_prefix=options["sub_prefix"]
        )
        self.stderr.write(f"Account {account.username} of partner {partner.name}.")
        if generated:
            self.stdout.write(password)


@sensitive_variables("password")
def _password_from_stdin() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("Password, then Enter: ")
        sys.stderr.flush()
    try:
        password = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise CommandError("The password is not valid UTF-8.") from exc
    if not password:
        raise CommandError("No password came on standard input.")
    check_new_password(password)
    return password
