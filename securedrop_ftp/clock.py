"""The time that nodes compare: the database's.

Leases, heartbeats, lockouts and windows are written by one node and judged by another, whose clock
may be wrong. So :func:`now` is the database's statement time (PostgreSQL's ``clock_timestamp()``;
``now()`` is when the transaction began; SQLite has its machine's clock). The database is asked
every :data:`ASK_EVERY` seconds; between, this machine's steady clock is added, which nobody sets.

A machine whose own clock is far from the database's writes times into the trail that nobody can
put in order, and its TLS and storage signatures fail: :func:`fault` says so, and such a node takes
no logins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils import timezone

#: Seconds for which an answer of the database serves.
ASK_EVERY: Final = 5.0
#: Seconds that a machine's own clock may be off: far less than a lease or S3's 15 minutes.
TOLERATED: Final = 30.0
#: Seconds. An answer that took longer than twice this is worth less than an earlier one.
EXACT_ENOUGH: Final = 0.5

_STATEMENT_TIME: Final = {
    "postgresql": "SELECT clock_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the database said its time is. Seconds.

    Attributes:
        taken: on the steady clock.
        offset: what the steady clock lacks to the database's time since 1970.
        ahead: by how much the database's clock leads this machine's own.
        doubt: how exactly both are known.
    """

    taken: float
    offset: float
    ahead: float
    doubt: float


_last: Reading | None = None


def now() -> datetime:
    """The database's time, in UTC. May ask the database, so not for the event loop.

    Raises:
        django.db.Error: it does not answer, and never did.
    """
    reading = _reading()
    return datetime.fromtimestamp(_steady() + reading.offset, UTC)


def fault() -> str:
    """Why this node should take no logins and is not ready: its clock and the database's are more
    than :data:`TOLERATED` seconds apart. A sentence, or ``""``. Blocks as :func:`now` does.

    Raises:
        django.db.Error: the database does not answer, and never did.
    """
    reading = _reading()
    off = max(0.0, abs(reading.ahead) - reading.doubt)
    if off <= TOLERATED:
        return ""
    direction = "behind" if reading.ahead > 0 else "ahead of"
    return f"This machine's clock is {off:.0f} s {direction} the database's."


def read() -> Reading:
    """Ask the database now.

    Raises:
        django.db.Error: it does not answer.
    """
    database = connections[DEFAULT_DB_ALIAS]
    statement = _STATEMENT_TIME.get(database.vendor)
    database.ensure_connection()  # connecting must not count as doubt
    before, own_before = _steady(), timezone.now()
    if statement is None:
        theirs = own_before
    else:
        with database.cursor() as cursor:
            cursor.execute(statement)
            theirs = _as_utc(cursor.fetchone()[0])
    doubt = (_steady() - before) / 2
    return Reading(
        taken=before,
        offset=theirs.timestamp() - before - doubt,
        ahead=(theirs - own_before).total_seconds() - doubt,
        doubt=doubt,
    )


def _reading() -> Reading:
    global _last
    last = _last
    if last is not None and _steady() - last.taken < ASK_EVERY:
        return last
    try:
        reading = read()
    except Error:
        if last is None:
            raise
        return last
    if last is None or reading.doubt <= EXACT_ENOUGH:
        _last = reading
        return reading
    return last


def _as_utc(told: datetime | str) -> datetime:
    if isinstance(told, str):
        return datetime.fromisoformat(told).replace(tzinfo=UTC)
    return told.astimezone(UTC)


def _steady() -> float:
    """Seconds since some moment; goes on while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
