"""A worker's sessions, written where operators see them; and their wish to end one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from securedrop_ftp import clock
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.models import LiveSession

#: A row that nobody has written for so long belongs to a worker that is gone.
STALE_AFTER: Final = timedelta(minutes=5)
_CHANGING: Final = ("partner", "account", "doing", "bytes_moved", "seen")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One session at one moment; taken on the loop, written elsewhere."""

    id: str
    partner: str
    account: str
    remote_ip: str
    doing: str
    bytes_moved: int
    started: datetime


def snapshot(session: Session) -> Snapshot:
    """What an operator wants to know of a session."""
    principal, transfer = session.principal, session.transfer
    doing = session.doing
    if transfer is not None:
        doing = f"{transfer.kind} of {transfer.path}"
    return Snapshot(
        id=session.id,
        partner=principal.partner if principal else "",
        account=principal.username if principal else "",
        remote_ip=session.remote_ip,
        doing=doing[:255],
        bytes_moved=session.bytes_moved,
        started=datetime.now(UTC) - timedelta(seconds=session.age),
    )


def publish(owner: str, node: str, snapshots: Sequence[Snapshot]) -> dict[str, str]:
    """Write a worker's sessions and forget its ended ones; a database job.

    Returns the sessions that operators want ended: session id to operator.
    """
    now = clock.now()
    own = LiveSession.objects.filter(owner=owner)
    wanted = dict(own.exclude(end_requested_by="").values_list("id", "end_requested_by"))
    alive = {s.id for s in snapshots}
    known = set(own.values_list("id", flat=True))
    if known - alive:
        own.filter(id__in=known - alive).delete()
    rows = [
        LiveSession(
            id=s.id,
            owner=owner,
            node=node,
            partner=s.partner,
            account=s.account,
            remote_ip=s.remote_ip,
            doing=s.doing,
            bytes_moved=s.bytes_moved,
            started=s.started,
            seen=now,
        )
        for s in snapshots
    ]
    LiveSession.objects.bulk_create(
        [row for row in rows if row.id not in known], ignore_conflicts=True, batch_size=200
    )
    LiveSession.objects.bulk_update(
        [row for row in rows if row.id in known], _CHANGING, batch_size=100
    )
    return {session: operator for session, operator in wanted.items() if session in alive}


def forget(owner: str) -> None:
    """A worker has ended; its sessions have too."""
    LiveSession.objects.filter(owner=owner).delete()


def forget_stale() -> None:
    """Rows whose worker is gone without a word."""
    LiveSession.objects.filter(seen__lt=clock.now() - STALE_AFTER).delete()
