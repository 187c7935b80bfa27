"""``uploads_prune``: sweep expired partials and orphan multiparts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from securedrop_ftp.conf import get_conf
from securedrop_ftp.engine.identity import command_owner
from securedrop_ftp.intake.recovery import recovery_for_command
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.server.readiness.storages import aliases_of_partners, unusable


class Command(SentenceCommand):
    help = (
        "Discard suspended uploads whose resume window is over, and unfinished uploads in storage "
        "that carry our marks and that the ledger has ended. Others' are never touched. The "
        "service does this every hour. Exit code 1 if a storage could not be swept."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        conf = get_conf()
        pruned = recovery_for_command(conf, command_owner(conf)).prune()
        self.stdout.write(f"Expired: {pruned.expired}. Swept: {pruned.swept}.")
        if pruned.failed:
            raise CommandError(
                f"Storage {', '.join(pruned.failed)} could not be swept; see the log."
            )
        failing = unusable(aliases_of_partners(), conf.storage_timeout)
        if failing:
            told = "; ".join(f"“{alias}”: {why}" for alias, why in failing.items())
            raise CommandError(f"There is storage that cannot be used: {told}")
