"""``partner_rules``: from where a partner may come."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.changes import add_rule, remove_rule
from securedrop_ftp.management import shown
from securedrop_ftp.management.base import USAGE, SentenceCommand, operator
from securedrop_ftp.management.found import partner_named
from securedrop_ftp.models import IPRule


class Command(SentenceCommand):
    help = (
        "List, add or remove a partner's network rules. Deny wins; with any allow rule an address "
        "must match one. A rule that is there already, or not any more, is no error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the partner's name")
        parser.add_argument("act", nargs="?", choices=("list", "add", "remove"), default="list")
        parser.add_argument("action", nargs="?", choices=IPRule.Action.values, metavar="allow|deny")
        parser.add_argument("network", nargs="?", help="192.0.2.7, 198.51.100.0/24, 2001:db8::/32")
        parser.add_argument("--note", default="", help="why, for the next operator")
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        partner = partner_named(options["name"])
        act, action, network = options["act"], options["action"], options["network"]
        if act == "list" and action is not None:
            raise CommandError("list takes no rule.", returncode=USAGE)
        if act != "list":
            if action is None or network is None:
                raise CommandError(
                    f"{act} which rule? Write: partner_rules {partner.name} {act} allow "
                    "198.51.100.0/24",
                    returncode=USAGE,
                )
            if act == "add":
                new = add_rule(partner, operator(), action, network, options["note"])
                told = "added" if new else "was there already"
            else:
                there = remove_rule(partner, operator(), action, network)
                told = "removed" if there else "was not there"
            self.stderr.write(f"Partner {partner.name}: {action} {network} {told}.")
        rows = [shown.rule_row(rule) for rule in partner.ip_rules.all()]
        self.stdout.write(shown.many(rows, shown.RULE_COLUMNS, options["format"]))
