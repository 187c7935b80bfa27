"""``uploads_recover``: finish or undo what a crash left."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp.conf import get_conf
from securedrop_ftp.intake.recovery import recovery_for_command
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.server.identity import is_dead, new_boot, node_name, owner_name


class Command(SentenceCommand):
    help = (
        "Finish or undo uploads that a crash, a lost database or a silent storage left: published "
        "ones are committed, others are suspended (whole parts are kept) or aborted. Uploads of "
        "running servers are not touched. The service does this by itself when it starts and when "
        "a worker dies. Exit code 1 if some could not be settled now."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--all",
            action="store_true",
            help="take every writer for dead, on other nodes too: only while no service runs",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        conf = get_conf()
        node, pid = node_name(conf), os.getpid()
        recovery = recovery_for_command(conf, owner_name(conf, new_boot(), 0, 0))
        counts = recovery.recover(lambda owner: options["all"] or is_dead(owner, node, pid))
        pending = counts.pop("pending", 0)
        told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        self.stdout.write(f"Settled: {told or 'nothing was left'}.")
        if pending:
            raise CommandError(
                f"{pending} could not be settled now, because storage or the database did not "
                "answer or because another node must do it; see the log, and run this again."
            )
