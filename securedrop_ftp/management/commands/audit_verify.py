"""``audit_verify``: does the chain hold?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from securedrop_ftp.audit.chain import verify
from securedrop_ftp.management.base import SentenceCommand


class Command(SentenceCommand):
    help = (
        "Walk the chain of audit rows. Exit code 0 if it holds, else 1, naming the first broken "
        "row. Keep the printed head elsewhere: a later chain must still contain it."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = verify()
        if verdict.broken:
            raise CommandError(f"The audit chain is broken: {verdict.broken}.")
        head = f", head {verdict.head}" if verdict.rows else ""
        self.stdout.write(f"The audit chain holds: {verdict.rows} rows{head}.")
