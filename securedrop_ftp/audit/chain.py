"""The chain: each row carries the hash of the row before it and its own.

``hash`` is the SHA-256 of the row's canonical JSON: what ``audit_export`` gives of it except
``hash`` itself (so ``prev_hash`` is in it), keys sorted, no spaces, non-ASCII escaped. A row says
its version, which its hash covers; one without is of version 1. Columns that came later than a
row's version are not part of it.
Anyone who holds an export can verify it without us. A row changed, removed, inserted or moved
breaks the chain at that row; a chain cut off at its end disagrees with the head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from securedrop_ftp.models import AuditEvent, AuditHead

#: The columns of an exported row, in order (docs/reference/audit.md).
COLUMNS: Final = (
    "seq",
    "time",
    "event",
    "partner",
    "account",
    "remote_ip",
    "session",
    "path",
    "size",
    "sha256",
    "outcome",
    "reason",
    "reply",
    "version",
    "partner_id",
    "actor",
    "details",
    "prev_hash",
    "hash",
)

#: The version that brought a column; the others were there from the first.
SINCE: Final = {"version": 2, "partner_id": 2, "actor": 2, "details": 3}

#: Of rows that are written now, and all that there have been. Rows of version 1 say none.
VERSION: Final = 3
VERSIONS: Final = (None, 2, 3)

CHUNK: Final = 2000


def rfc3339(time: datetime) -> str:
    """UTC with microseconds: ``2026-11-23T06:31:00.000000Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_dict(row: AuditEvent) -> dict[str, Any]:
    """The row as it is exported."""
    version = row.version or 1
    values = {name: getattr(row, name) for name in COLUMNS if SINCE.get(name, 1) <= version}
    values["time"] = rfc3339(row.time)
    return values


def digest(row: AuditEvent) -> str:
    """The hash that the row should carry."""
    values = as_dict(row)
    del values["hash"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What :func:`verify` found: ``broken`` is ``""`` where the chain holds."""

    rows: int
    head: str
    broken: str = ""


def verify() -> Verdict:
    """Walk the chain from its first row to its head. Constant memory; rows that are added
    meanwhile are left for the next time."""
    head = AuditHead.objects.filter(pk=1).first() or AuditHead(seq=0)
    expected, previous = 1, ""
    for row in _rows(head.seq):
        broken = _fault(row, expected, previous)
        if broken:
            return Verdict(expected - 1, previous, broken)
        expected, previous = expected + 1, row.hash
    if expected - 1 != head.seq:
        broken = f"row {expected}: missing; the chain's head says that {head.seq} rows were written"
        return Verdict(expected - 1, previous, broken)
    if previous != head.hash:
        return Verdict(head.seq, previous, f"row {head.seq}: its hash is not the chain's head")
    beyond = AuditEvent.objects.filter(seq__gt=head.seq).order_by("seq").first()
    fresh = AuditHead.objects.filter(pk=1).first() or head
    if beyond is not None and beyond.seq > fresh.seq:
        return Verdict(head.seq, previous, f"row {beyond.seq}: beyond the chain's head")
    return Verdict(head.seq, previous)


def _rows(last: int) -> Iterator[AuditEvent]:
    return AuditEvent.objects.filter(seq__lte=last).order_by("seq").iterator(CHUNK)


def _fault(row: AuditEvent, expected: int, previous: str) -> str:
    if row.seq != expected:
        return f"row {expected}: missing; the next row is {row.seq}"
    if row.prev_hash != previous:
        return f"row {row.seq}: prev_hash is not the hash of the row before it"
    if row.version not in VERSIONS:
        return f"row {row.seq}: is of version {row.version}, which this release does not know"
    version = row.version or 1
    for column, since in SINCE.items():
        if version < since and getattr(row, column) is not None:
            return f"row {row.seq}: says that it is of version {version}, which has no {column}"
    if row.hash != digest(row):
        return f"row {row.seq}: its contents do not match its hash"
    return ""
