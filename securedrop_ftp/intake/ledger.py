"""All the intake's access to the database.

The functions of this module are jobs: each runs inside one transaction, usually on the
database writer's thread (:meth:`Ledger.run`). Every change of a live row is a conditional UPDATE
that names the row's epoch; zero rows changed means that another session took the upload over.
An audit row goes with the change that it tells of, in the same transaction, so no attempt has
two and none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import BinaryField, DateTimeField, F, JSONField, Q, QuerySet, UUIDField
from django.db.models.functions import Coalesce

from securedrop_ftp import clock
from securedrop_ftp.db import DatabaseWriter, run_in_transaction
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import AuditUnavailable, LedgerUnavailable, SecureDropError
from securedrop_ftp.intake.attempt import Actor, ending_id
from securedrop_ftp.intake.durable import durable_parts, from_json, to_json
from securedrop_ftp.intake.owners import node_of
from securedrop_ftp.intake.phases import Trigger, row_after, rows_before
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Update
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.protocol import Part

logger = get_logger(__name__)

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


# What every file runs (docs/adr/0008).
_CLAIM: Any = Claim(Given("upload_id", UUIDField()), Given("epoch"))  # type: ignore[arg-type]
_RECORD_PARTS = Update(
    lambda: held(_CLAIM, UploadState.RECEIVING),
    parts=Given("parts", JSONField()),
    received=Given("received"),
    digest_state=Given("states", BinaryField()),
    resume_token=Given("sealed"),
    updated=Given("now", DateTimeField()),
)
_MARK_PUBLISHING = Update(
    lambda: held(_CLAIM, *rows_before(Trigger.WRITE_AHEAD)),
    state=row_after(Trigger.WRITE_AHEAD),
    parts=Given("parts", JSONField()),
    received=Given("size"),
    size=Given("size"),
    sha256=Given("sha256"),
    digest_source=Given("digest_source"),
    resume_token=Given("sealed"),
    lease_until=Given("lease_until", DateTimeField()),
    updated=Given("now", DateTimeField()),
)
_MARK_COMMITTED = Update(
    lambda: held(_CLAIM, *rows_before(Trigger.COMMIT, Trigger.ANSWER)),
    state=row_after(Trigger.COMMIT),
    size=Given("size"),
    sha256=Given("sha256"),
    reason=Given("reason"),
    unconfirmed=Given("unconfirmed"),
    lease_until=Given("taken_until", DateTimeField()),
    resume_token="",
    digest_state=None,
    key=Coalesce(Given("key"), F("key")),
    digest_source=Coalesce(Given("digest_source"), F("digest_source")),
    finished=Given("now", DateTimeField()),
    updated=Given("now", DateTimeField()),
)


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


def forget(claim: Claim) -> None:
    """Remove a row under which nothing was begun: its name turned out to be taken."""
    held(claim, UploadState.RECEIVING).delete()


def record_parts(
    claim: Claim, parts: Sequence[Part], *, received: int, states: bytes | None, sealed: str
) -> bool:
    """Write down what storage took so far. False: the lease is lost."""
    return bool(
        _RECORD_PARTS.run(
            upload_id=claim.upload_id,
            epoch=claim.epoch,
            parts=to_json(parts),
            received=received,
            states=states,
            sealed=sealed,
            now=clock.now(),
        )
    )


def mark_publishing(
    claim: Claim,
    parts: Sequence[Part],
    *,
    size: int,
    sha256: str,
    digest_source: str,
    sealed: str,
    lease_until: datetime,
    sent: Sent | None = None,
) -> bool:
    """The write-ahead row: from here a restart can finish it or undo it."""
    marked = _MARK_PUBLISHING.run(
        upload_id=claim.upload_id,
        epoch=claim.epoch,
        parts=to_json(parts),
        size=size,
        sha256=sha256,
        digest_source=digest_source,
        sealed=sealed,
        lease_until=lease_until,
        now=clock.now(),
    )
    if marked and sent is not None:
        held(claim).update(sent_size=sent.size, sent_sha256=sent.sha256)
    return bool(marked)


def expire_lease(claim: Claim, told: str = "") -> bool:
    """The outcome is unknown: whoever comes first may settle it. What a client was ``told`` is the
    row's reason until then."""
    now = clock.now()
    reason = {"reason": told[:255]} if told else {}
    publishing = held(claim, UploadState.PUBLISHING)
    return bool(publishing.update(lease_until=now, updated=now, **reason))


def free_lease(claim: Claim) -> bool:
    """Whoever comes first may settle it, as far as time allows: when its writer was last heard of
    stays as it is."""
    return bool(held(claim, UploadState.PUBLISHING).update(lease_until=clock.now()))


def mark_committed(
    claim: Claim,
    event: Event,
    *,
    unconfirmed: bool = False,
    key: str | None = None,
    supersedes: Q | None = None,
    digest_source: str | None = None,
    taken_until: datetime | None = None,
) -> list[Upload] | None:
    """Committed, with its audit row. ``supersedes`` selects suspended rows that this upload
    replaces; they are returned, aborted in the ledger, for storage to forget. Until
    ``taken_until`` the key stays taken: the row keeps a lease though it is not live.

    ``None``: the row is not ours any more; nothing was written.
    """
    changed = _MARK_COMMITTED.run(
        upload_id=claim.upload_id,
        epoch=claim.epoch,
        size=event.size,
        sha256=event.sha256,
        reason=event.reason[:255],
        unconfirmed=unconfirmed,
        taken_until=taken_until,
        key=key,
        digest_source=digest_source,
        now=clock.now(),
    )
    if not changed:
        return None
    replaced: list[Upload] = []
    if supersedes is not None:
        rows = Upload.objects.filter(supersedes, state=UploadState.SUSPENDED).order_by()
        replaced = [
            row
            for row in rows.exclude(pk=claim.upload_id).select_related("partner")
            if discard_suspended(row, f"superseded by upload {claim.upload_id}")
        ]
    emit(event)
    return replaced


def answer_from(claim: Claim, event: Event, earlier_id: str, key: str) -> bool:
    """This attempt brought what an unconfirmed earlier one had stored: answered from its row,
    once. False: not ours any more."""
    if mark_committed(claim, event, key=key) is None:
        return False
    Upload.objects.filter(pk=earlier_id).update(unconfirmed=False)
    return True


def state_of(upload_id: UUID) -> str | None:
    """The row's state, whoever wrote it."""
    return Upload.objects.filter(pk=upload_id).values_list("state", flat=True).first()


def discard_suspended(row: Upload, reason: str) -> bool:
    """A suspended row becomes aborted. Its attempt has had its audit row."""
    now = clock.now()
    return bool(
        held(Claim(row.pk, row.epoch), *rows_before(Trigger.DISCARD)).update(
            state=row_after(Trigger.DISCARD),
            epoch=row.epoch + 1,
            reason=reason[:255],
            resume_token="",
            digest_state=None,
            finished=now,
            updated=now,
        )
    )


def mark_suspended(
    claim: Claim,
    event: Event,
    parts: Sequence[Part],
    *,
    received: int,
    states: bytes | None,
    sealed: str,
) -> bool:
    """Interrupted with whole parts kept. False: not ours any more, nothing was written."""
    now = clock.now()
    changed = held(claim, *rows_before(Trigger.SUSPEND)).update(
        state=row_after(Trigger.SUSPEND),
        parts=to_json(parts),
        received=received,
        digest_state=states,
        resume_token=sealed,
        size=None,
        sha256="",
        lease_until=None,
        reason=event.reason[:255],
        updated=now,
    )
    if changed:
        emit(event)
    return bool(changed)


def mark_aborted(claim: Claim, event: Event) -> bool:
    """Ended badly, nothing kept. False: not ours any more, nothing was written."""
    now = clock.now()
    changed = held(claim, *rows_before(Trigger.ABORT)).update(
        state=row_after(Trigger.ABORT),
        lease_until=None,
        resume_token="",
        digest_state=None,
        reason=event.reason[:255],
        finished=now,
        updated=now,
    )
    if changed:
        emit(event)
    return bool(changed)


def retire(row: Upload, *, resumable: bool, reason: str, reply: str) -> bool | None:
    """End a live row of which we are not the writer: its epoch is raised, so its writer can
    change nothing any more. Suspended where whole parts are kept, else aborted.

    Returns whether its parts are kept; ``None``: the row has moved on meanwhile.
    """
    if row.state not in rows_before(Trigger.RETIRE):
        return None
    now = clock.now()
    keep = resumable and _has_whole_parts(row)
    changes: dict[str, Any] = {
        "state": row_after(Trigger.RETIRE_KEEPING if keep else Trigger.RETIRE),
        "epoch": row.epoch + 1,
        "lease_until": None,
        "reason": reason[:255],
        "updated": now,
    }
    if keep:
        changes.update(size=None, sha256="")
    else:
        changes.update(resume_token="", digest_state=None, finished=now)
    if not held(Claim(row.pk, row.epoch), row.state).update(**changes):
        return None
    emit(
        actor_of(row)
        .event(
            "upload.suspended" if keep else "upload.aborted",
            size=row.received,
            reason=reason,
            reply=reply,
        )
        .but(event_id=ending_id(row.pk, row.epoch))
    )
    return keep


def _has_whole_parts(row: Upload) -> bool:
    """The account can go on with what storage has of it."""
    if row.converted:  # where in the client's file its parts end is not known
        return False
    return bool(row.resume_token) and bool(durable_parts(from_json(row.parts), row.received))


def take_over(claim: Claim, *, owner: str, lease_until: datetime) -> bool:
    """A publishing row of a dead owner becomes ours, one epoch higher."""
    return bool(
        held(claim, *rows_before(Trigger.TAKE_OVER)).update(
            owner=owner, epoch=claim.epoch + 1, lease_until=lease_until
        )
    )


def record_token(claim: Claim, sealed: str) -> bool:
    """Storage knows the parts of a row that we took over by another token now."""
    return bool(held(claim).update(resume_token=sealed))


def extend_leases(owner: str, claims: Iterable[Claim], until: datetime) -> set[UUID]:
    """Extend the leases that are still ours. Returns the ids of those that are not."""
    epochs = {claim.upload_id: claim.epoch for claim in claims}
    rows = Upload.objects.filter(pk__in=epochs, owner=owner, state__in=LIVE)
    mine = {pk for pk, epoch in rows.values_list("pk", "epoch") if epochs[pk] == epoch}
    rows.filter(pk__in=mine).update(lease_until=until)
    return set(epochs) - mine
