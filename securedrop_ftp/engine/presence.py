"""A process's sessions, written where operators see them; and their wish to end one.

Who is not logged in is not shown: a crowd of strangers would cost a row each. A row is written
when something changed, apart from the trail's transactions: a thousand sessions that were written
anew every five seconds took 15 % of a core and 11 GB of WAL a day.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import connections, router, transaction

from securedrop_ftp import clock
from securedrop_ftp.intake import owners
from securedrop_ftp.models import LiveSession

#: A row of a writer that has no heartbeat, and that nobody has written for so long, is forgotten.
STALE_AFTER: Final = timedelta(minutes=5)
#: Seconds between looks at which rows are there: one may have been removed, or, after a crash of
#: PostgreSQL, all of them (the table is not logged).
RECONCILE_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One session at one moment."""

    id: str
    partner: str
    account: str
    remote_ip: str
    doing: str
    bytes_moved: int
    started: datetime


@dataclass(slots=True)
class Board:
    """What stands in the database of one process's sessions, as far as the process knows.

    :meth:`publish` is called by one thread at a time.
    """

    owner: str
    node: str
    _shown: dict[str, Snapshot] = field(default_factory=dict)
    _reconcile_at: float = 0.0

    def publish(self, snapshots: Sequence[Snapshot]) -> dict[str, str]:
        """Write what changed and forget ended sessions; a database job.

        Returns the sessions that operators want ended: session id to operator.
        """
        alive = {s.id: s for s in snapshots if _is_shown(s)}
        own = LiveSession.objects.filter(owner=self.owner)
        shown = self._shown
        if reconciling := time.monotonic() >= self._reconcile_at:
            there = set(own.values_list("id", flat=True))
            shown = {key: s for key, s in shown.items() if key in there}
            self._leftover(there - alive.keys())
        new = [s for key, s in alive.items() if key not in shown]
        changed = [s for key, s in alive.items() if key in shown and _differ(shown[key], s)]
        ended = [key for key in shown if key not in alive]
        if new or changed or ended:
            self._write(new, changed, ended)
        self._shown = {**{k: s for k, s in shown.items() if k in alive}, **_by_id(new, changed)}
        if reconciling:
            self._reconcile_at = time.monotonic() + RECONCILE_EVERY
        if not alive:
            return {}
        wanted = own.exclude(end_requested_by="").values_list("id", "end_requested_by")
        return {session: operator for session, operator in wanted if session in alive}

    @staticmethod
    def _leftover(ids: set[str]) -> None:
        if ids:
            LiveSession.objects.filter(id__in=ids).delete()

    def _write(
        self, new: Sequence[Snapshot], changed: Sequence[Snapshot], ended: Sequence[str]
    ) -> None:
        now = clock.now()
        alias = router.db_for_write(LiveSession)
        with transaction.atomic(using=alias):
            if ended:
                LiveSession.objects.filter(id__in=ended).delete()
            LiveSession.objects.bulk_create(
                [
                    LiveSession(
                        id=s.id,
                        owner=self.owner,
                        node=self.node,
                        partner=s.partner,
                        account=s.account,
                        remote_ip=s.remote_ip,
                        doing=s.doing,
                        bytes_moved=s.bytes_moved,
                        started=s.started,
                        seen=now,
                    )
                    for s in new
                ],
                ignore_conflicts=True,
                batch_size=200,
            )
            if changed:
                _update(alias, changed, now)


def _is_shown(shot: Snapshot) -> bool:
    """Who is not logged in is not."""
    return bool(shot.account)


def _differ(shown: Snapshot, now: Snapshot) -> bool:
    """The start is computed anew each time, a few microseconds apart."""
    return (shown.partner, shown.account, shown.doing, shown.bytes_moved) != (
        now.partner,
        now.account,
        now.doing,
        now.bytes_moved,
    )


def _by_id(*groups: Sequence[Snapshot]) -> dict[str, Snapshot]:
    return {s.id: s for group in groups for s in group}


def _update(alias: str, changed: Sequence[Snapshot], now: datetime) -> None:
    """One short statement for each row: Django's bulk_update makes one with a CASE for each column
    and row, whose making costs more than the writing."""
    connection = connections[alias]
    quoted = connection.ops.quote_name
    columns = ("partner", "account", "doing", "bytes_moved", "seen")
    assignments = ", ".join(f"{quoted(column)} = %s" for column in columns)
    sql = f"UPDATE {quoted(LiveSession._meta.db_table)} SET {assignments} WHERE {quoted('id')} = %s"  # noqa: S608 - our own names
    seen = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.executemany(
            sql, [(s.partner, s.account, s.doing, s.bytes_moved, seen, s.id) for s in changed]
        )


def forget(owner: str) -> None:
    """A process has ended; its sessions have too."""
    LiveSession.objects.filter(owner=owner).delete()


def forget_stale() -> None:
    """Rows whose process is gone without a word: by its heartbeat, else by their age."""
    known = set(LiveSession.objects.values_list("owner", flat=True).distinct().order_by())
    gone = owners.gone(known)
    if gone:
        LiveSession.objects.filter(owner__in=gone).delete()
    old = {owner for owner in known - gone if owners.boot_of(owner) is None}
    if old:
        stale = clock.now() - STALE_AFTER
        LiveSession.objects.filter(owner__in=old, seen__lt=stale).delete()
