"""The trail's statements. They run for every login, file and session, so they are built once
(:mod:`securedrop_ftp.prepared`)."""

from __future__ import annotations

from django.db import IntegrityError
from django.db.models import F

from securedrop_ftp import prepared
from securedrop_ftp.models import AuditEvent, AuditHead
from securedrop_ftp.prepared import Given, Select, Update

_ADVANCE = Update(lambda: AuditHead.objects.filter(pk=1), seq=F("seq") + 1)
_STEP_BACK = Update(lambda: AuditHead.objects.filter(pk=1), seq=F("seq") - 1)
_HEAD = Select(lambda: AuditHead.objects.filter(pk=1).values_list("seq", "hash"))
_CLOSE = Update(lambda: AuditHead.objects.filter(pk=1), hash=Given("hash"))


def advance() -> tuple[int, str]:
    """The next number, and the hash of the row before; the head's row stays locked.

    UPDATE first: it takes the row's lock on PostgreSQL and the write lock on SQLite.
    """
    while not _ADVANCE.run():
        prepared.insert(AuditHead(pk=1))
    ((seq, hash_),) = _HEAD.rows()
    return seq, hash_


def insert(row: AuditEvent) -> bool:
    """The row, and its hash at the head. False where a row of its ``event_id`` is there: the number
    is given back.

    Raises:
        IntegrityError: its number is taken.
    """
    if prepared.insert(row):
        _CLOSE.run(hash=row.hash)
        return True
    if not AuditEvent.objects.filter(event_id=row.event_id).exists():
        raise IntegrityError(f"there is an audit row {row.seq} that the chain's head knows not of")
    _STEP_BACK.run()
    return False
