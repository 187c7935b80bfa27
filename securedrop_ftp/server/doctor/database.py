"""The database: is it there, ours, writable, does committed mean on the disk, and has it room for
our connections?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db import connections

from securedrop_ftp.conf import Conf
from securedrop_ftp.db.shared import RESERVED, too_few
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.intake.owners import living_services
from securedrop_ftp.models import AuditHead
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning
from securedrop_ftp.server.readiness import database
from securedrop_ftp.server.readiness.writers import stuck_writers

CHECK: Final = "database"

#: Connections of one node beside its workers': the service's own process, its admin site with a few
#: requests at once, a command.
OTHERS: Final = 6

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


def room_for_connections(conf: Conf) -> Iterator[Finding]:
    """What this service may take of the connections that PostgreSQL gives. Needs the database."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        return
    per_worker, whose = _per_worker(connection, conf)
    if not per_worker:
        yield warning(
            CHECK,
            "The pool in DATABASES' OPTIONS is smaller than a worker needs: its database writer, "
            "its heartbeat and its threads would wait for each other.",
            f"Give it a max_size of {RESERVED + 1} or more; {conf.database_connections} are "
            "usual. Or take it away: workers share SECUREDROP_DATABASE_CONNECTIONS then.",
        )
        return
    few = too_few(conf.storage_threads + conf.account_threads, per_worker) if not whose else None
    if few:
        yield warning(CHECK, *few)
    nodes = max(1, living_services("ftps"))
    needed = nodes * (conf.workers * per_worker + OTHERS)
    given = _given(connection)
    reckoned = (
        f"{nodes} node{'s' * (nodes > 1)}, {conf.workers} workers each, up to {per_worker} "
        f"connections a worker{whose} and {OTHERS} others a node: {needed}; PostgreSQL gives "
        f"{given}"
    )
    if needed > given:
        yield warning(
            CHECK,
            f"{reckoned}. Where none is left, logins get 421 and uploads 4xx.",
            f"Set max_connections in postgresql.conf to {needed} and what it keeps for itself and "
            "for others, or lower SECUREDROP_DATABASE_CONNECTIONS or "
            "SECUREDROP_FTPS_WORKERS.",
        )
    else:
        yield ok(CHECK, f"{reckoned}.")


def writers(conf: Conf) -> Iterator[Finding]:
    """Whether the writers of the running service go on."""
    stuck, _ = stuck_writers(conf)
    for sentence in stuck:
        yield problem(
            CHECK,
            sentence,
            "Look at what it waits for: pg_stat_activity and pg_locks on PostgreSQL, another "
            "process with the file open on SQLite, the disk. If nothing helps, restart the "
            "service: what was acknowledged is stored.",
        )


def _per_worker(connection: Any, conf: Conf) -> tuple[int, str]:
    """Connections, and who says so; 0: too few."""
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if not pool:
        return conf.database_connections, ""
    options = pool if isinstance(pool, dict) else {}
    size = int(options.get("max_size") or options.get("min_size", 4))  # psycopg_pool's defaults
    return (size, " (DATABASES' own pool)") if size > RESERVED else (0, "")


def _given(connection: Any) -> int:
    """Connections that our role may have at most."""
    sql = (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int"
    )
    role = int(_ask(connection, "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user"))
    given = int(_ask(connection, sql))
    return given if role < 0 else min(given, role)
