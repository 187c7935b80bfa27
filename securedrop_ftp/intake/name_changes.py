"""The rows of renames and deletions, and how they stand beside uploads.

Of two that meet at a name at least one sees the other, on any node: each writes its own row first
and looks for the other's afterwards, and PostgreSQL shows a statement what was committed before it.

- A change commits its claim, then locks the rows of uploads at its names, and looks for other
  changes. Where one is publishing, or anything stands below a directory, it takes its claim back,
  and the client is told to try again.
- An upload that is about to publish changes its row, which waits for such a lock, and refuses then
  where a claim stands at its key or above it.

So an upload that is still receiving hinders no rename of what had its name before.

Each function is a job (:mod:`~securedrop_ftp.intake.ledger`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q

from securedrop_ftp import clock
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import LeaseLost, NameBusy
from securedrop_ftp.intake import kept_directories, stored_names
from securedrop_ftp.intake.nesting import above, is_nested
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.models import NameChange, NameChangeKind, NameChangeState, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.signals import emit

# Asked twice for each file; there is hardly ever a row.
_CLAIMED = Select(
    lambda: (
        NameChange.objects.filter(storage=Given("storage"))
        .order_by()
        .values_list("source", "target")
    )
)


def claim(change: NameChange) -> None:
    """Commit the claim; nothing is refused yet."""
    change.save(force_insert=True)


def forget(change: NameChange) -> None:
    """Nothing was asked of storage: the names are free again."""
    NameChange.objects.filter(pk=change.pk, owner=change.owner).delete()


def standing_against(change: NameChange, *, yields: bool = False) -> list[Upload]:
    """The uploads that hinder a claim which is committed; their rows are locked until the end of
    the transaction. ``yields``: one that is being received keeps the target.

    Raises:
        NameBusy: another rename or deletion is at the key that it names; the claim is taken back
            by who called.
    """
    others = NameChange.objects.filter(storage=change.storage).exclude(pk=change.pk)
    for keys in others.values_list("source", "target"):
        for own in change.keys:
            if any(_overlap(own, key) for key in keys if key):
                raise NameBusy(key=own)
    at = Q(key__in=change.keys)
    if change.directory:
        for key in change.keys:
            at |= Q(key__startswith=f"{key}/")
    if change.target:  # what is published below it would make it a directory too
        nested = Q(key__startswith=f"{change.target}/") | Q(key__in=list(above(change.target)))
        at |= nested & Q(state=UploadState.PUBLISHING)
    landing = Q(state=UploadState.COMMITTED, lease_until__gt=clock.now())
    rows = Upload.objects.filter(at, Q(state__in=LIVE) | landing, storage=change.storage)
    locked = rows.select_related("partner").select_for_update(of=("self",)).order_by("pk")
    return [
        row
        for row in locked
        if (
            change.directory
            or row.state != UploadState.RECEIVING
            or (yields and row.key == change.target)
        )
        # SQLite's LIKE takes upper and lower case for the same.
        and any(_overlap(row.key, key) for key in change.keys)
    ]


def key_at(change: NameChange, upload: Upload) -> str:
    """At which key of a change an upload stands; ``""``: beside them, below a target."""
    return next((key for key in change.keys if _overlap(upload.key, key)), "")


def is_claimed(name: Name) -> bool:
    """Whether a rename or a deletion is under way at a name, above it or below."""
    return any(
        _overlap(name.key, claimed)
        for keys in _CLAIMED.rows(storage=name.storage)
        for claimed in keys
        if claimed
    )


def refuse_claimed(name: Name) -> None:
    """For what is about to publish under a name. Raises NameBusy."""
    if is_claimed(name):
        raise NameBusy


def mark_moving(change: NameChange) -> None:
    """Write ahead what is about to be asked of storage. Raises LeaseLost."""
    _advance(change, NameChangeState.CLAIMED, NameChangeState.MOVING)


def mark_copied(change: NameChange) -> None:
    """Everything is at the target. Raises LeaseLost."""
    _advance(change, NameChangeState.MOVING, NameChangeState.COPIED)


def _advance(change: NameChange, before: NameChangeState, after: NameChangeState) -> None:
    held = NameChange.objects.filter(pk=change.pk, owner=change.owner, state=before)
    now = clock.now()
    if not held.update(state=after, target_etag=change.target_etag, updated=now):
        raise LeaseLost
    change.state, change.updated = after, now


def expire_lease(change: NameChange, told: str) -> None:
    """Whether storage did it is not known: whoever comes first may settle it, when what was asked
    can no longer be carried out. ``told``: what the client was told until then."""
    held = NameChange.objects.filter(pk=change.pk, owner=change.owner)
    held.update(lease_until=clock.now(), told=told[:255])


def extend_leases(owner: str, until: datetime) -> None:
    """Those that are ours and run. One whose outcome is open is anybody's."""
    running = NameChange.objects.filter(owner=owner, lease_until__gt=clock.now())
    running.update(lease_until=until)


def any_of(owner: str) -> bool:
    """Whether a process has any change under way; asked at each beat."""
    return NameChange.objects.filter(owner=owner).exists()


def take_over(change: NameChange, owner: str, until: datetime) -> bool:
    """A change of a dead owner becomes ours; ``False``: somebody else was quicker."""
    held = NameChange.objects.filter(
        pk=change.pk, owner=change.owner, state=change.state, lease_until=change.lease_until
    )
    if not held.update(owner=owner, lease_until=until):
        return False
    change.owner, change.lease_until = owner, until
    return True


def finish(change: NameChange, event: Event, root: str | None = None) -> bool:
    """It is done: the ledger's names follow, with the audit row, and where storage has no
    directories of its own those below ``root``. ``False``: the row is not ours any
    more, and nothing was written."""
    if not NameChange.objects.filter(pk=change.pk, owner=change.owner).delete()[0]:
        return False
    if change.kind == NameChangeKind.DELETE:
        stored_names.give_up(change.storage, [change.source])
    else:
        stored_names.move(change)
    if root is not None:
        kept_directories.follow(change, root)
    emit(event)
    return True


def undo(change: NameChange, event: Event | None) -> bool:
    """It was not done; the row of the trail says so, unless who asked writes it. ``False``: the row
    is not ours any more."""
    if not NameChange.objects.filter(pk=change.pk, owner=change.owner).delete()[0]:
        return False
    if event is not None:
        emit(event)
    return True


def expired(limit: int) -> list[NameChange]:
    """Changes whose lease has run out, whoever had them."""
    rows = NameChange.objects.filter(lease_until__lt=clock.now()).select_related("partner")
    return list(rows.order_by("lease_until")[:limit])


def details_of(change: NameChange) -> dict[str, Any]:
    """Keys and upload of a row of the trail."""
    details: dict[str, Any] = {"key": change.source}
    if change.target:
        details["new_key"] = change.target
    if change.upload_id is not None:
        details["upload_id"] = str(change.upload_id)
    return details


def event_of(change: NameChange) -> Event:
    """The row of the trail of a change that another process began; its partner is loaded."""
    removed = "directory.removed" if change.directory else "file.deleted"
    return Event(
        "file.renamed" if change.kind == NameChangeKind.RENAME else removed,
        partner=change.partner.name,
        partner_id=change.partner_id,
        account=change.username,
        remote_ip=change.remote_ip or "",
        session=change.session,
        path=change.paths,
        reply=change.told,
        details=details_of(change),
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or is_nested(one, other)
