"""The ledger: a row for each upload, and how its jobs are run.

A job runs inside one transaction, usually on the database writer's thread (:meth:`Ledger.run`).
Every change of a live row is a conditional UPDATE that names the row's epoch (:func:`held`); zero
rows changed means that another session took the upload over. What a writer writes of its own upload
is in :mod:`~securedrop_ftp.intake.moves`, what others write in
:mod:`~securedrop_ftp.intake.takeover`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.db.models import QuerySet

from securedrop_ftp import clock
from securedrop_ftp.db import DatabaseWriter, run_in_transaction
from securedrop_ftp.exceptions import AuditUnavailable, LedgerUnavailable, SecureDropError
from securedrop_ftp.intake.attempt import Actor, ending_id
from securedrop_ftp.intake.owners import node_of
from securedrop_ftp.models import Upload
from securedrop_ftp.models.upload import LIVE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """A row and the epoch under which we hold it."""

    upload_id: UUID
    epoch: int


class Ledger:
    """Runs jobs; knows who we are. ``writer=None`` runs them in the caller's own thread
    (management commands)."""

    def __init__(self, writer: DatabaseWriter | None, *, owner: str, lease_seconds: float) -> None:
        self._writer = writer
        self.owner = owner
        self.lease = timedelta(seconds=lease_seconds)

    @property
    def node(self) -> str:
        """The node part of the owner."""
        return node_of(self.owner)

    def run(self, job: Callable[[], T]) -> T:
        """Run ``job`` in a transaction and wait for its commit. Not for the event loop.

        Raises:
            LedgerUnavailable: the database or the audit trail did not take it.
            SecureDropError: what the job raised.
        """
        try:
            if self._writer is not None:
                return self._writer.call(job)
            return run_in_transaction(job)
        except AuditUnavailable as exc:
            raise LedgerUnavailable from exc
        except SecureDropError:
            raise
        except Exception as exc:
            raise LedgerUnavailable from exc

    def begin(self, job: Callable[[], T], upload_id: UUID, epoch: int) -> T:
        """:meth:`run` for the job that writes down an attempt's beginning. Where the database does
        not answer the row may be there, and be ended by recovery; the exception then names the
        audit row that both would write."""
        try:
            return self.run(job)
        except LedgerUnavailable as exc:
            exc.ending_id = ending_id(upload_id, epoch)
            raise

    def submit(self, job: Callable[[], T], then: Callable[[T | None], None]) -> None:
        """Run ``job`` soon; ``then`` gets its result, or ``None`` if the database failed."""
        if self._writer is None:
            try:
                then(self.run(job))
            except SecureDropError:
                then(None)
            return
        self._writer.submit(job).add_done_callback(
            lambda future: then(None if future.exception() else future.result())
        )

    def lease_end(self) -> datetime:
        """The end of a lease that begins now."""
        return clock.now() + self.lease


def held(claim: Claim, *states: str) -> QuerySet[Upload]:
    """The row, if it is still ours and in one of ``states`` (live ones by default)."""
    return Upload.objects.filter(pk=claim.upload_id, epoch=claim.epoch, state__in=states or LIVE)


def actor_of(row: Upload) -> Actor:
    """For events about a row; ``row.partner`` should be loaded."""
    return Actor(
        partner=row.partner.name,
        partner_id=row.partner_id,
        account=row.username,
        remote_ip=row.remote_ip or "",
        session=row.session,
        path=stored_path(row),
    )


def stored_path(row: Upload) -> str:
    """The path under which the row is or would be stored (numbered versions differ from the
    one the client named)."""
    return f"{row.path.rpartition('/')[0]}/{row.key.rpartition('/')[2]}"


def state_of(upload_id: UUID) -> str | None:
    """The row's state, whoever wrote it."""
    return Upload.objects.filter(pk=upload_id).values_list("state", flat=True).first()
