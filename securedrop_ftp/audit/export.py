"""Rows out, as JSON lines or CSV, in the order of the chain and in constant memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, TextIO

from django.db.models import QuerySet

from securedrop_ftp.audit.chain import CHUNK, COLUMNS, as_dict
from securedrop_ftp.audit.partners import of_partner
from securedrop_ftp.models import AuditEvent

FORMATS: Final = ("jsonl", "csv")

#: A spreadsheet takes a cell that starts with one of these for a formula.
_FORMULA: Final = ("=", "+", "-", "@")


def select(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    partner: str = "",
    event: str = "",
) -> QuerySet[AuditEvent]:
    """The rows with ``since <= time < until``, of a partner and of an event; all by default."""
    rows: QuerySet[AuditEvent] = AuditEvent.objects.order_by("seq")
    if since is not None:
        rows = rows.filter(time__gte=since)
    if until is not None:
        rows = rows.filter(time__lt=until)
    if partner:
        rows = of_partner(rows, partner)
    if event:
        rows = rows.filter(event=event)
    return rows


def write(rows: QuerySet[AuditEvent], out: TextIO, form: str = "jsonl") -> int:
    """Write ``rows`` to ``out``. Returns how many."""
    found = (as_dict(row) for row in rows.iterator(CHUNK))
    return _write_csv(found, out) if form == "csv" else _write_jsonl(found, out)


def _write_jsonl(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    count = 0
    for row in rows:
        out.write(json.dumps(row, ensure_ascii=True) + "\n")
        count += 1
    return count


def _write_csv(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        writer.writerow(_cell(row.get(name)) for name in COLUMNS)
        count += 1
    return count


def _cell(value: Any) -> Any:
    # CSV injection (OWASP): text that a client chose must not run in a spreadsheet.
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=True)
    return "" if value is None else value
