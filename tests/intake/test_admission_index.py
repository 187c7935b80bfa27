"""Admitting a file looks at a few rows, however long the ledger has grown."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from securedrop_ftp.intake.admission import _neighbours
from securedrop_ftp.models import Upload


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_the_neighbours_of_an_upload_are_found_by_indexes_alone(db: None) -> None:
    row = Upload(storage="default", key="acme/a", path="/a", account_id=1)
    with CaptureQueriesContext(connection) as queries:
        assert not _neighbours(row, timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = [step[-1] for step in cursor.fetchall()]
    searches = [line for line in plan if "SEARCH" in line or "SCAN" in line]
    assert len(searches) == 4
    for line in searches:
        assert any(
            columns in line
            for columns in (
                "storage=? AND key=? AND state=?",
                "account_id=? AND path=? AND state=?",
                "state=? AND lease_until>?",
            )
        ), plan
