"""What runs every few seconds or every hour costs the same however long the ledger has grown."""

from __future__ import annotations

import json

from tests.fixtures.databases import SharedDatabase


def test_row_52_nothing_that_runs_by_itself_reads_a_whole_table(
    shared_database: SharedDatabase,
) -> None:
    found = json.loads(shared_database.run("-m", "tests.intake.plans").splitlines()[-1])
    assert found["asked"] >= 8
    assert found["bad"] == {}
