"""Several worker processes at one name at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fixtures.databases import SharedDatabase
from tests.fixtures.processes import ROOT
from tests.intake.racer import FILES, SCENARIOS, WORKERS


def test_uploads_of_one_name_at_once_never_mix_and_each_leaves_one_row(
    shared_database: SharedDatabase, tmp_path: Path
) -> None:
    shared_database.env["SECUREDROP_STORAGE_URL"] = f"file://{tmp_path}/race"
    done = subprocess.run(
        [sys.executable, "-m", "tests.intake.racer"],
        cwd=ROOT, env=shared_database.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    reports = json.loads(done.stdout.splitlines()[-1])
    for policy, size in SCENARIOS:
        report = reports[f"{policy}-{size}"]
        refused = report["refused"]
        assert report["acknowledged"] + len(refused) == WORKERS * FILES
        assert report["acknowledged"], report  # somebody wins
        assert report["events"]["upload.committed"] == report["acknowledged"]
        assert report["states"]["committed"] == report["acknowledged"]
        assert sum(report["events"].values()) == WORKERS * FILES
        if policy == "version":  # every one gets a name of its own
            assert refused == []
            assert len(report["objects"]) == WORKERS * FILES
            assert report["told"] == report["objects"]
            continue
        assert set(refused) <= {"450", "550"}
        assert len(report["objects"]) == 1
        assert set(report["objects"].values()) <= set(report["digests"])
        if policy == "reject":
            assert report["acknowledged"] == 1
