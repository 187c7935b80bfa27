"""The database: is it there, ours, writable, and does committed mean on the disk?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import connections

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.models import AuditHead
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning
from securedrop_ftp.server.readiness import database

CHECK: Final = "database"

_SQLITE_DURABLE: Final = {2: "FULL", 3: "EXTRA"}


def unusable() -> Finding | None:
    """Why the other checks cannot use it: not reached, not migrated, not writable."""
    try:
        database.usable()
    except ConfigurationError as exc:
        return problem(CHECK, str(exc), "")
    return None


def durability() -> Iterator[Finding]:
    """Whether committed means on the disk. Needs the database."""
    connection = connections["default"]
    findings = list(_sqlite(connection) if connection.vendor == "sqlite" else _postgres(connection))
    yield from findings
    if not findings:
        rows = AuditHead.objects.filter(pk=1).values_list("seq", flat=True).first() or 0
        yield ok(CHECK, f"{connection.vendor}, up to date, writable, durable; {rows} audit rows.")


def _ask(connection: Any, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _sqlite(connection: Any) -> Iterator[Finding]:
    mode = str(_ask(connection, "PRAGMA journal_mode")).lower()
    in_memory = mode == "memory"
    if mode != "wal" and not in_memory:
        yield warning(
            CHECK,
            f"SQLite's journal mode is “{mode}”: readers and writers block each other.",
            "Set init_command to PRAGMA journal_mode=WAL in DATABASES' OPTIONS; WAL needs a local "
            "disk.",
        )
    if int(_ask(connection, "PRAGMA synchronous")) not in _SQLITE_DURABLE:
        yield problem(
            CHECK,
            "SQLite's “synchronous” is below FULL: an acknowledged upload's row could be lost in a "
            "power cut.",
            "Set PRAGMA synchronous=FULL in DATABASES' OPTIONS, init_command.",
        )


def _postgres(connection: Any) -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        yield warning(
            CHECK,
            f"{connection.vendor} is not a database that this service is tested on.",
            "Use PostgreSQL, or SQLite on one node.",
        )
        return
    if _ask(connection, "SHOW fsync") == "off":
        yield problem(
            CHECK,
            "PostgreSQL runs with fsync off: a power cut can destroy it.",
            "Set fsync = on in postgresql.conf.",
        )
    if _ask(connection, "SHOW synchronous_commit") == "off":
        yield problem(
            CHECK,
            "PostgreSQL's synchronous_commit is off: an acknowledged upload's row could be lost.",
            "Set it to on, for the service's role at least.",
        )
