"""What the service asks its database every few seconds or every hour, and how that is answered.

Run as a program it prints, as JSON, how many statements it looked at and the plans of those that
read a whole table which grows with use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

#: Tables that have more rows with every upload, login or connection. Live sessions are no more
#: than there are connections.
GROWING: Final = (
    "securedrop_ftp_upload",
    "securedrop_ftp_auditevent",
    "securedrop_ftp_loginattempt",
    "securedrop_ftp_lockout",
    "axes_accessattempt",
    "axes_accessfailurelog",
)


def main() -> None:
    """See the module's docstring."""
    import django

    django.setup()

    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for ask in periodic():
            ask()
    statements = [q["sql"] for q in queries if any(f'"{t}"' in q["sql"] for t in GROWING)]
    asked = [sql for sql in statements if sql.startswith(("SELECT", "UPDATE", "DELETE"))]
    bad = {sql: plan for sql in asked if (plan := list(readings(sql)))}
    print(json.dumps({"asked": len(asked), "bad": bad}))


def periodic() -> Iterator[Callable[[], Any]]:
    """Housekeeping, recovery, heartbeats, presence, the sweep of lockouts, where storages lead."""
    from django.utils import timezone

    from securedrop_ftp.access import lockout
    from securedrop_ftp.access.axes_handler import forget_attempts
    from securedrop_ftp.conf import get_conf
    from securedrop_ftp.engine import presence
    from securedrop_ftp.intake import locations, moves, sweep
    from securedrop_ftp.intake.recovery import recovery_for_command

    recovery = recovery_for_command(get_conf(), "here:boot:0")
    shot = presence.Snapshot("s", "acme", "alice", "192.0.2.7", "", 0, timezone.now())
    yield recovery.prune
    yield lambda: recovery.recover(lambda owner: True)
    yield recovery.settle_expired
    yield lambda: sweep._aliases()
    yield lambda: moves.extend_leases("here:boot:0", [], timezone.now())
    yield lambda: presence.Board("here:boot:0", "here").publish([shot])
    yield presence.forget_stale
    yield lambda: presence.forget("here:boot:0")
    yield lambda: lockout.sweep(timezone.now() - timedelta(days=1))
    yield lambda: forget_attempts(username="alice", ip_address="192.0.2.7")
    yield lambda: locations._knows_files("default")
    yield lambda: locations.storage_problem("default")


def readings(sql: str) -> Iterator[str]:
    """The steps of its plan that read a whole table or a whole index."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            yield from (s[-1] for s in cursor.fetchall() if is_scan(s[-1]))
            return
        # With tables as small as a test's the planner reads them whole whatever there is.
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        (answer,) = cursor.fetchone()
        plan = json.loads(answer) if isinstance(answer, str) else answer
        yield from whole_readings(plan[0]["Plan"])


def is_scan(step: str) -> bool:
    return step.startswith("SCAN ") and step.split()[1] in GROWING


def whole_readings(node: dict[str, Any]) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name", "")
    whole = "Index Cond" not in node and kind not in ("ModifyTable", "Bitmap Heap Scan")
    if whole and table in GROWING:
        yield f"{kind} on {table}"
    for below in node.get("Plans", ()):
        yield from whole_readings(below)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "securedrop_ftp.project.settings")
    main()
