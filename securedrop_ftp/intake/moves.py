"""What the writer of an upload writes of it in the ledger; recovery commits with the same jobs.

Each function is a job (:mod:`~securedrop_ftp.intake.ledger`). The states that it asks for and the
one that it writes are those of the table in :mod:`~securedrop_ftp.intake.phases`. An audit row goes
with the change that it tells of, in the same transaction: no attempt has two and none is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BinaryField, DateTimeField, F, JSONField, Q, UUIDField
from django.db.models.functions import Coalesce

from securedrop_ftp import clock
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import AppendedFileChanged
from securedrop_ftp.intake import kept_directories, name_changes, stored_names
from securedrop_ftp.intake.durable import to_json
from securedrop_ftp.intake.ledger import Claim, held
from securedrop_ftp.intake.phases import Trigger, row_after, rows_before
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.intake.replacing import is_own
from securedrop_ftp.intake.stored_names import Name, holder
from securedrop_ftp.intake.takeover import discard_suspended
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Update
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.protocol import Part

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
    current=True,
    lease_until=Given("taken_until", DateTimeField()),
    resume_token="",
    digest_state=Given("states", BinaryField()),
    key=Given("key"),
    digest_source=Coalesce(Given("digest_source"), F("digest_source")),
    finished=Given("now", DateTimeField()),
    updated=Given("now", DateTimeField()),
)


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
    name: Name,
    size: int,
    sha256: str,
    digest_source: str,
    sealed: str,
    lease_until: datetime,
    sent: Sent | None = None,
) -> bool:
    """The write-ahead row: from here a restart can finish it or undo it.

    Raises:
        NameBusy: its name, or a directory above it, is being renamed or deleted.
    """
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
    if marked:
        name_changes.refuse_claimed(name)
    if marked and sent is not None:
        held(claim).update(sent_size=sent.size, sent_sha256=sent.sha256)
    return bool(marked)


def decide_replacing(claim: Claim, name: Name, account_id: int) -> bool:
    """Whether an upload that may replace the account's own alone may replace what has its name now;
    recovery reads it in the row. In the transaction of :func:`mark_publishing`, behind it: from
    there on nobody else changes who has the name."""
    own = is_own(account_id, name)
    held(claim, UploadState.PUBLISHING).update(replaces=own)
    return own


def refuse_changed(name: Name, base_id: UUID) -> None:
    """In the transaction of :func:`mark_publishing`, behind it: from there on nobody else changes
    who has the name.

    Raises:
        AppendedFileChanged: another file has it than the one that was appended to.
    """
    held_by = holder(name)
    if held_by is None or held_by.pk != base_id:
        raise AppendedFileChanged


def expire_lease(claim: Claim, told: str = "") -> bool:
    """The outcome is unknown: whoever comes first may settle it. What a client was ``told`` is the
    row's reason until then."""
    now = clock.now()
    reason = {"reason": told[:255]} if told else {}
    publishing = held(claim, UploadState.PUBLISHING)
    return bool(publishing.update(lease_until=now, updated=now, **reason))


def mark_committed(
    claim: Claim,
    event: Event,
    *,
    name: Name,
    unconfirmed: bool = False,
    supersedes: Q | None = None,
    digest_source: str | None = None,
    taken_until: datetime | None = None,
    states: bytes | None = None,
) -> list[Upload] | None:
    """Committed under ``name``, with its audit row. ``states``: of the digest at the end of a file
    that may be appended to. ``supersedes`` selects suspended rows that this
    upload replaces; they are returned, aborted in the ledger, for storage to forget. Until
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
        key=name.key,
        digest_source=digest_source,
        states=states,
        now=clock.now(),
    )
    if not changed:
        return None
    stored_names.hold(name, claim.upload_id)
    if name.root is not None:
        kept_directories.keep_above(name.storage, name.key, name.root)
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


def settle_committed(
    claim: Claim,
    event: Event,
    *,
    name: Name,
    supersedes: Q | None = None,
    taken_until: datetime | None = None,
    states: bytes | None = None,
) -> list[Upload] | None:
    """:func:`mark_committed` for a client that was told “outcome pending”: a retry of the same
    bytes is answered from the row. So it is where an earlier call had reached the database and
    only its answer was lost; then the reason of the row says what the client was told."""
    replaced = mark_committed(
        claim,
        event,
        name=name,
        unconfirmed=True,
        supersedes=supersedes,
        taken_until=taken_until,
        states=states,
    )
    if replaced is None:
        held(claim, UploadState.COMMITTED).update(unconfirmed=True, reason=event.reply[:255])
    return replaced


def is_committed(claim: Claim) -> bool:
    """Whether the row is committed, by this very writer."""
    return held(claim, UploadState.COMMITTED).exists()


def answer_from(claim: Claim, event: Event, earlier_id: str, name: Name) -> bool:
    """This attempt brought what an unconfirmed earlier one had stored: answered from its row,
    once. False: not ours any more."""
    if mark_committed(claim, event, name=name) is None:
        return False
    Upload.objects.filter(pk=earlier_id).update(unconfirmed=False)
    return True


def take_back_answer(claim: Claim, earlier_id: str) -> None:
    """The client was told of a failure. Where :func:`answer_from` had reached the database after
    all, the earlier attempt answers the next retry again."""
    if is_committed(claim):
        Upload.objects.filter(pk=earlier_id).update(unconfirmed=True)


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


def extend_leases(owner: str, claims: Iterable[Claim], until: datetime) -> set[UUID]:
    """Extend the leases that are still ours. Returns the ids of those that are not."""
    epochs = {claim.upload_id: claim.epoch for claim in claims}
    rows = Upload.objects.filter(pk__in=epochs, owner=owner, state__in=LIVE)
    mine = {pk for pk, epoch in rows.values_list("pk", "epoch") if epochs[pk] == epoch}
    rows.filter(pk__in=mine).update(lease_until=until)
    return set(epochs) - mine
