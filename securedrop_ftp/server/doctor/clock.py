"""This machine's clock against the database's. Leases, lockouts and the audit trail compare
times that different machines wrote."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from django.db import connections

from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning

CHECK: Final = "clock"

#: Seconds. A lease lasts 90; S3 refuses requests that are 15 minutes off.
NOTICEABLE: Final = 2.0
HARMFUL: Final = 30.0

_MEND: Final = "Run a time service (systemd-timesyncd, chrony) on both machines."


def clock() -> Iterator[Finding]:
    """Against the database server; SQLite has ours. Needs the database."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        yield ok(CHECK, "the database has this machine's.")
        return
    before = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        theirs: datetime = cursor.fetchone()[0]
    after = datetime.now(UTC)
    yield judged(
        "the database", (theirs - before).total_seconds(), (after - before).total_seconds()
    )


def judged(whose: str, ahead: float, doubt: float) -> Finding:
    """``ahead``: seconds that the other clock leads ours; ``doubt``: how exactly that is known."""
    off = max(0.0, abs(ahead) - doubt)
    if off < NOTICEABLE:
        return ok(CHECK, f"that of {whose} agrees with ours.")
    direction = "ahead of" if ahead > 0 else "behind"
    make = problem if off >= HARMFUL else warning
    return make(CHECK, f"The clock of {whose} is {off:.0f} s {direction} ours.", _MEND)
