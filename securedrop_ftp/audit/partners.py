"""The rows of one partner, under all the names that it has had.

Rows carry the partner's number; those of version 1 carry its name alone, and are found by the names
that it had at the time: ``partner.changed`` rows say ``name: old → new``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Q, QuerySet

from securedrop_ftp.models import AuditEvent, Partner

_RENAMED: Final = re.compile(r"[:;,] name: (\S+) → ([^\s;,]+)")


class _Rename(NamedTuple):
    time: datetime
    partner_id: int | None
    old: str
    new: str


def of_partner(rows: QuerySet[AuditEvent], name: str) -> QuerySet[AuditEvent]:
    """The rows of the partner that has the name now, or of whoever had it where none has."""
    partner = Partner.objects.filter(name=name).first()
    renames = _renames()
    if partner is None or not any(name in (r.old, r.new) for r in renames):
        return rows.filter(partner=name)  # one range of one index
    names, version_1 = {name}, Q(pk__in=())
    until: datetime | None = None
    at = name
    for rename in reversed(renames):
        if rename.new != at or rename.partner_id not in (None, partner.pk):
            continue
        version_1 |= _between(at, rename.time, until)
        at, until = rename.old, rename.time
        names.add(at)
    version_1 |= _between(at, partner.created, until)
    # The names first: they are what the index begins with.
    return rows.filter(Q(partner_id=partner.pk) | version_1, partner__in=names)


def _between(name: str, since: datetime, until: datetime | None) -> Q:
    found = Q(version=None, partner=name, time__gte=since)
    return found if until is None else found & Q(time__lt=until)


def _renames() -> list[_Rename]:
    """Oldest first. Rows of changes are few."""
    changes = AuditEvent.objects.filter(event="partner.changed", reason__contains="name: ")
    # Put in order here: asked to do it, SQLite reads the whole trail in that order instead.
    rows = changes.order_by().values_list("seq", "time", "partner_id", "partner", "reason")
    found = []
    for _, time, number, partner, reason in sorted(rows, key=lambda row: row[0]):
        match = _RENAMED.search(reason)
        if match is not None and match[2] == partner:
            found.append(_Rename(time, number, match[1], match[2]))
    return found
