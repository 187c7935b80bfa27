"""``doctor --partner`` on each database, over a trail of 40 000 rows: by indexes alone."""

from __future__ import annotations

import json

from tests.fixtures.databases import SharedDatabase

#: How each database says that it reads a whole table, or a whole index.
WHOLE = {"postgresql": "Seq Scan on securedrop_ftp_auditevent", "sqlite": "\nSCAN "}


def test_a_long_trail_is_asked_by_its_indexes(shared_database: SharedDatabase) -> None:
    told = json.loads(shared_database.run("-m", "tests.server.long_trail"))
    plans = told["plans"]
    assert 5 <= len(plans) <= 9
    for plan in plans:
        assert WHOLE[told["vendor"]] not in plan, plan
    report = told["report"]
    assert "200 sessions of acme in the last 30 days, none was good" in report
    assert "transfer.stalled: 200 times" in report
    assert "control.ssh: 200 times" in report
    assert "nobody had logged in" in report
