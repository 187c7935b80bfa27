"""``doctor --partner`` over a long trail, in the database that the environment names.

``python -m tests.server.long_trail`` fills it and prints as JSON what the report says, how many
queries it took, and how the database goes about each query that reads the trail.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - after the setup
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from securedrop_ftp import causes  # noqa: E402
from securedrop_ftp.ftps.course import Course  # noqa: E402
from securedrop_ftp.models import AuditEvent, Partner  # noqa: E402

ROWS = 40_000
TABLE = AuditEvent._meta.db_table


def fill() -> None:
    """Uploads of two partners in turn; each two hundredth row ends a session of the first, the one
    behind it a stranger's from the same address."""
    numbers = {p.name: p.pk for p in Partner.objects.filter(name__in=("acme", "globex"))}
    stalled, ssh = Course(), Course()
    stalled.troubles.add(causes.STALLED)
    stalled.ended(well=False)
    ssh.troubles.add(causes.SPOKE_SSH)
    now, first = timezone.now(), (AuditEvent.objects.order_by("-seq").first() or AuditEvent(seq=0))

    def rows() -> Iterator[AuditEvent]:
        for number in range(ROWS):
            partner = "acme" if number % 2 else "globex"
            row = AuditEvent(
                seq=first.seq + 1 + number,
                time=now - timedelta(seconds=ROWS - number),
                event="upload.committed",
                partner=partner,
                partner_id=numbers[partner],
                account="alice" if number % 2 else "bob",
                remote_ip="192.0.2.7",
                session=f"{number:032x}",
                outcome="success",
                version=3,
            )
            if number % 200 == 1:
                row.event, row.outcome, row.details = "session.closed", "failure", _details(stalled)
            elif number % 200 == 2:
                row.event, row.outcome, row.details = "session.closed", "failure", _details(ssh)
                row.partner, row.partner_id, row.account = "", None, ""
            yield row

    AuditEvent.objects.bulk_create(rows(), batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _details(course: Course) -> dict[str, Any]:
    return course.details(None)


def asked() -> tuple[str, list[tuple[str, Any]]]:
    """The report, and the queries over the trail that it made."""
    out, queries = io.StringIO(), []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if TABLE in sql:
            queries.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note), suppress(SystemExit):
        call_command("doctor", "--partner", "acme", stdout=out)
    return out.getvalue(), queries


def plan(sql: str, params: Any) -> str:
    """In the database's own words."""
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}", params)
        return "\n".join((sql, *(str(row[-1]) for row in cursor.fetchall())))


def main() -> None:
    """See the module's docstring."""
    fill()
    report, queries = asked()
    plans = [plan(sql, params) for sql, params in queries]
    print(json.dumps({"vendor": connection.vendor, "report": report, "plans": plans}))


if __name__ == "__main__":
    main()
