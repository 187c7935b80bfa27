"""``audit_verify``: does the chain hold?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from securedrop_ftp.audit.chain import verify
from securedrop_ftp.management.base import COULD_NOT_LOOK, SentenceCommand


class Command(SentenceCommand):
    help = (
        "Walk the chain of audit rows. Exit code 0 if it holds; 1 names the first broken row; 2 "
        "where it could not look. Keep the printed head elsewhere: a later chain must still "
        "contain it."
    )

    code_of_faults = COULD_NOT_LOOK

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = verify()
        if verdict.broken:
            raise CommandError(f"The audit chain is broken: {verdict.broken}.")
        head = f", head {verdict.head}" if verdict.rows else ""
        self.stdout.write(f"The audit chain holds: {verdict.rows} rows{head}.")
