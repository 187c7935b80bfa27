"""``uploads_recover``: finish or undo what a crash left."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from securedrop_ftp import engine
from securedrop_ftp.intake.owners import BEAT_EVERY, gone
from securedrop_ftp.management.base import SentenceCommand
from securedrop_ftp.models import NameChange, Upload
from securedrop_ftp.models.upload import LIVE


def _dead_writers() -> set[str]:
    """Of live rows, renames and deletions. Looked at twice, so that where the database itself was
    away, and nobody could beat, those that live have done it again."""
    live = Upload.objects.filter(state__in=LIVE).order_by().values_list("owner", flat=True)
    changes = NameChange.objects.order_by().values_list("owner", flat=True)
    dead = gone({*live, *changes})
    if dead:
        time.sleep(BEAT_EVERY + 1)
    return gone(dead)


class Command(SentenceCommand):
    help = (
        "Finish or undo uploads that a crash, a lost database or a silent storage left: published "
        "ones are committed, others are suspended (whole parts are kept) or aborted. Renames and "
        "deletions are done or undone, as storage tells. What belongs to "
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
        recovery = engine.current().recovery()
        dead = set() if options["all"] else _dead_writers()
        counts = recovery.recover(lambda owner: options["all"] or owner in dead)
        pending = counts.pop("pending", 0)
        told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        self.stdout.write(f"Settled: {told or 'nothing was left'}.")
        if pending:
            raise CommandError(
                f"{pending} could not be settled now, because storage or the database did not "
                "answer or because another node must do it; see the log, and run this again."
            )
