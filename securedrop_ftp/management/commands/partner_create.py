"""``partner_create``: a partner and its prefix."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.access.provisioning import create_partner
from securedrop_ftp.management.base import SentenceCommand, operator
from securedrop_ftp.management.values import add_switch
from securedrop_ftp.models import Mode, OverwritePolicy, Partner


class Command(SentenceCommand):
    help = (
        "Create a partner: a company whose accounts live under one prefix in storage. "
        "Then give it a login with account_create."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="letters, digits, dot, dash and underscore")
        parser.add_argument(
            "--prefix", default="", help="where its files live in storage (default: NAME/)"
        )
        parser.add_argument(
            "--mode",
            choices=Mode.values,
            default=Mode.DROP.value,
            help="drop: upload only (default); dropbox: upload, list own, resume; "
            "pickup: list and read; exchange: everything inside the prefix",
        )
        parser.add_argument(
            "--storage", default="default", metavar="ALIAS", help="an alias of STORAGES"
        )
        parser.add_argument(
            "--overwrite",
            choices=OverwritePolicy.values,
            default="",
            help="what an upload to a taken name does (default: version in drop mode, else "
            "replace)",
        )
        add_switch(
            parser,
            "--create-directories",
            "on: uploads, renames and new directories make the directories that are missing above "
            "them; off: they are refused (default)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if Partner.objects.filter(name=options["name"]).exists():
            raise CommandError(f"There is a partner “{options['name']}” already.")
        partner = create_partner(
            operator(),
            name=options["name"],
            prefix=options["prefix"],
            mode=options["mode"],
            storage=options["storage"],
            overwrite=options["overwrite"],
            create_directories=bool(options["create_directories"]),
        )
        self.stdout.write(
            f"Partner {partner.name}: mode {partner.mode}, prefix {partner.prefix}, "
            f"storage {partner.storage}."
        )
