"""Admitting a file, and listing a directory, looks at a few rows, however long the ledger is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.intake.opening import _neighbours
from securedrop_ftp.intake.suspended import _has_unfinished
from securedrop_ftp.models import Upload


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_the_neighbours_of_an_upload_are_found_by_indexes_alone(db: None) -> None:
    row = Upload(storage="default", key="acme/a", path="/a", account_id=1)
    with CaptureQueriesContext(connection) as queries:
        assert not _neighbours(row, timezone.now())
    searches = _searches(queries[0]["sql"])
    assert len(searches) == 4
    for line in searches:
        assert any(
            columns in line
            for columns in (
                "storage=? AND key=? AND state=?",
                "account_id=? AND path=? AND state=?",
                "state=? AND lease_until>?",
            )
        ), searches


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_a_listing_finds_unfinished_uploads_by_their_state(db: None) -> None:
    principal = cast(Principal, SimpleNamespace(account_id=1, resume_window=3600))
    with CaptureQueriesContext(connection) as queries:
        assert not _has_unfinished(principal)
    (search,) = _searches(queries[0]["sql"])
    assert "state=?" in search


def _searches(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = [step[-1] for step in cursor.fetchall()]
    return [line for line in plan if "SEARCH" in line or "SCAN" in line]
