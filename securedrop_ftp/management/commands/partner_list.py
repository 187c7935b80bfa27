"""``partner_list``: the partners."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from securedrop_ftp.management import shown
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.models import Partner


class Command(SentenceCommand):
    help = "List the partners, by name."

    def add_arguments(self, parser: CommandParser) -> None:
        shown.add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        partners = Partner.objects.prefetch_related("ip_rules", "accounts__user")
        rows = [shown.partner_row(partner) for partner in partners]
        self.stdout.write(shown.many(rows, shown.PARTNER_COLUMNS, options["format"]))
