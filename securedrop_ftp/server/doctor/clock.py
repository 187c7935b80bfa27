"""This machine's clock against the database's. Leases and lockouts go by the database's; the audit
trail's times are this machine's, and beyond 30 s it takes no logins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import connections

from securedrop_ftp.clock import TOLERATED, read
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning

CHECK: Final = "clock"

#: Seconds. Beyond the second no logins are taken; S3 refuses requests that are 15 minutes off.
NOTICEABLE: Final = 2.0
HARMFUL: Final = TOLERATED

_MEND: Final = "Run a time service (systemd-timesyncd, chrony) on both machines."


def clock() -> Iterator[Finding]:
    """Against the database server; SQLite has ours. Needs the database."""
    if connections["default"].vendor != "postgresql":
        yield ok(CHECK, "the database has this machine's.")
        return
    reading = read()
    yield judged("the database", reading.ahead, reading.doubt)


def judged(whose: str, ahead: float, doubt: float) -> Finding:
    """``ahead``: seconds that the other clock leads ours; ``doubt``: how exactly that is known."""
    off = max(0.0, abs(ahead) - doubt)
    if off < NOTICEABLE:
        return ok(CHECK, f"that of {whose} agrees with ours.")
    direction = "ahead of" if ahead > 0 else "behind"
    make = problem if off >= HARMFUL else warning
    return make(CHECK, f"The clock of {whose} is {off:.0f} s {direction} ours.", _MEND)
