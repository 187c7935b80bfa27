"""``uploads_prune``: sweep expired partials and orphan multiparts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from securedrop_ftp import engine
from securedrop_ftp.conf import get_conf
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.server.readiness.storages import aliases_of_partners, unusable


class Command(SentenceCommand):
    help = (
        "Discard suspended uploads whose resume window is over, and unfinished uploads in storage "
        "that carry our marks and that the ledger has ended. Others' are never touched. The "
        "service does this every hour. Exit code 1 if a storage could not be swept."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = engine.current().recovery().prune()
        self.stdout.write(f"Expired: {pruned.expired}. Swept: {pruned.swept}.")
        if pruned.failed:
            raise CommandError(
                f"Storage {', '.join(pruned.failed)} could not be swept; see the log."
            )
        failing = unusable(aliases_of_partners(), get_conf().storage_timeout)
        if failing:
            told = "; ".join(f"“{alias}”: {why}" for alias, why in failing.items())
            raise CommandError(f"There is storage that cannot be used: {told}")
