"""Signal to audit row and log line: the receiver that must not fail.

The row is written on the caller's connection, inside its transaction where it has one, so that
the ledger and the trail commit together. ``seq`` comes from the head's row, which stays locked
until that transaction ends: writers take turns, numbers are given in commit order, and a
transaction that is rolled back gives its numbers back. The log line follows the commit.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from securedrop_ftp import signals
from securedrop_ftp.audit import statements
from securedrop_ftp.audit.chain import VERSION, digest
from securedrop_ftp.escaping import escape
from securedrop_ftp.events import Event
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import AuditEvent

logger = get_logger("securedrop_ftp.audit")

#: Characters kept of each text, at most what the column holds.
LIMITS: Final = {
    "partner": 64,
    "account": 255,
    "remote_ip": 45,
    "session": 64,
    "path": 4096,
    "sha256": 64,
    "outcome": 16,
    "reason": 500,
    "reply": 500,
    "actor": 255,
}
#: Characters of a text in ``details``, and entries of a list there.
DETAIL_TEXT: Final = 400
DETAIL_ITEMS: Final = 16


def on_event(sender: Any, event: Event, **kwargs: Any) -> None:
    """Write the row of ``event``, once, and log it when that is committed.

    Raises:
        django.db.Error: the row was not written.
    """
    texts = {name: escape(str(getattr(event, name)), limit) for name, limit in LIMITS.items()}
    row = AuditEvent(
        event_id=event.event_id,
        time=event.time,
        event=event.name,
        size=event.size,
        version=VERSION,
        partner_id=event.partner_id,
        details=_inert(event.details) if event.details else None,
        **texts | {"actor": texts["actor"] or None},
    )
    if append(row):
        transaction.on_commit(lambda: _log(row, event.extra), robust=True)


setattr(on_event, signals.REQUIRED, True)


def append(row: AuditEvent) -> bool:
    """Give ``row`` its number and its place in the chain, and insert it. False where a row of
    this ``event_id`` is there already; that takes no number."""
    # A failure breaks the caller's transaction, as the act must not be without its row.
    with transaction.atomic(savepoint=False):
        row.seq, row.prev_hash = statements.advance()
        row.hash = digest(row)
        return statements.insert(row)


def _inert(value: Any) -> Any:
    """The same with its texts escaped and bounded, as those of the columns are."""
    match value:
        case dict():
            return {escape(str(name), 64): _inert(item) for name, item in value.items()}
        case list() | tuple():
            return [_inert(item) for item in value[:DETAIL_ITEMS]]
        case None | bool() | int():
            return value
    return _inert_text(value)


def _inert_text(value: Any) -> str:
    return escape(str(value), DETAIL_TEXT)


def _log(row: AuditEvent, extra: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        name: value
        for name in (*LIMITS, "size", "partner_id")
        if (value := getattr(row, name)) not in ("", None)
    }
    for name, value in extra.items():
        plain = isinstance(value, int | float | bool) or value is None
        values.setdefault(name, value if plain else escape(str(value), 500))
    for name, value in (row.details or {}).items():
        values.setdefault(name, value)
    write = logger.info if row.outcome == "success" else logger.warning
    write(row.event, seq=row.seq, **values)


def connect() -> None:
    """Connect to every signal. Called by ``apps.ready()``; once however often it is called."""
    for name, signal in signals.BY_NAME.items():
        signal.connect(on_event, dispatch_uid=f"securedrop_ftp.audit.{name}", weak=False)
