"""What others than its writer write of an upload: a later session, recovery, the sweep.

Each function is a job (:mod:`~securedrop_ftp.intake.ledger`). Who takes a live row raises its
epoch, in the transaction that writes the loser's audit row; from then its writer changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from securedrop_ftp import clock
from securedrop_ftp.intake.attempt import ending_id
from securedrop_ftp.intake.durable import durable_parts, from_json
from securedrop_ftp.intake.ledger import Claim, actor_of, held
from securedrop_ftp.intake.phases import Trigger, row_after, rows_before
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.signals import emit


def free_lease(claim: Claim) -> bool:
    """Whoever comes first may settle it, as far as time allows: when its writer was last heard of
    stays as it is."""
    return bool(held(claim, UploadState.PUBLISHING).update(lease_until=clock.now()))


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
    # Where in the client's file a converted upload's parts end is not known; of what is appended
    # the file is as it was.
    if row.converted or row.appends_to:
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
