"""``account_set``: change an account, or its password."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access.changes import set_account
from securedrop_ftp.access.provisioning import refuse_power, set_password
from securedrop_ftp.db import write_transaction
from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.files import text_of
from securedrop_ftp.management.found import account_named, partner_named
from securedrop_ftp.management.passwords import add_password_sources, password_from
from securedrop_ftp.management.values import add_switch
from securedrop_ftp.models import Account, Permission


class Command(SentenceCommand):
    help = (
        "Change an account. What is not named stays; a change that is none writes nothing. A new "
        "password ends the sessions of the old one; a generated one is all that is printed on "
        "standard output. The password of a user who was there before its account, or is one of "
        "the staff, is refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", help="what the client sends as USER")
        add_switch(parser, "--enabled", "off: it does not log in, its sessions end")
        parser.add_argument(
            "--permissions",
            metavar="A,B|mode",
            help=f"narrower than the mode: some of {', '.join(Permission)}; mode: all it gives",
        )
        parser.add_argument("--sub-prefix", help="a directory of the partner that is its root")
        parser.add_argument("--partner", metavar="NAME", help="let it belong to another partner")
        parser.add_argument(
            "--fingerprints", metavar="FILE", help="SHA-256 of its certificates, one a line"
        )
        add_password_sources(parser.add_mutually_exclusive_group())
        shown.add_format(parser)

    @sensitive_variables("password")
    def handle(self, *args: Any, **options: Any) -> None:
        account = account_named(options["username"])
        by, values = operator(), _values(options)
        password = ""
        if options["password_stdin"] or options["generate_password"]:
            refuse_power(account)
            password = password_from(options)
        with write_transaction():  # both or neither
            changes = set_account(account, by, values)
            if password:
                set_password(account, password, by)
                changes.append("password changed")
        for change in changes or ["nothing was changed"]:
            self.stderr.write(f"Account {account.username}: {change}.")
        if options["generate_password"]:
            self.stdout.write(password)
        else:
            fresh = Account.objects.select_related("user", "partner").get(pk=account.pk)
            self.stdout.write(shown.one(shown.account_row(fresh), options["format"]))


def _values(options: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in ("enabled", "sub_prefix"):
        if options[name] is not None:
            values[name] = options[name]
    if options["permissions"] is not None:
        given = options["permissions"]
        names = [] if given in ("mode", "") else [name.strip() for name in given.split(",")]
        values["permissions"] = sorted(set(names))
    if options["partner"] is not None:
        values["partner"] = partner_named(options["partner"])
    if options["fingerprints"] is not None:
        values["client_fingerprints"] = text_of(options["fingerprints"])
    return values
