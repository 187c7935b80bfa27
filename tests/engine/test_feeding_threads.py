"""Threads that may block feed uploads: memory is bounded, files are whole, turns are fair."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.feeder import BUDGET, MIB, PARTS
from tests.fixtures.databases import SharedDatabase
from tests.fixtures.moto import MotoServer
from tests.fixtures.stores import BucketStore, DirectoryStore, Store, keys

#: Partners' uploads in the ledger, by state.
LEDGER = """
import json
import django
django.setup()
from securedrop_ftp.models import Upload
print(json.dumps([list(row) for row in Upload.objects.values_list("path", "state")]))
"""


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        (tmp_path / "stored").mkdir()
        return DirectoryStore(tmp_path / "stored")
    moto: MotoServer = request.getfixturevalue("moto_server")
    return BucketStore(moto, moto.bucket())


def feed(database: SharedDatabase, store: Store, threads: int, size: int) -> dict[str, Any]:
    database.env |= {"SECUREDROP_STORAGE_URL": store.url, **store.environment}
    told = database.run("-m", "tests.engine.feeder", str(threads), str(size))
    report: dict[str, Any] = json.loads(told.splitlines()[-1])
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared_database", "store", "threads", "size"),
    [
        ("postgres", "file", 50, MIB),
        ("sqlite", "s3", 50, 600 * 1024),
        ("sqlite", "file", 6, 2 * PARTS + 5),
    ],
    indirect=["shared_database", "store"],
)
def test_threads_share_a_small_budget_and_every_file_is_whole(
    shared_database: SharedDatabase, store: Store, threads: int, size: int
) -> None:
    report = feed(shared_database, store, threads, size)
    assert 0 < report["peak"] <= BUDGET + PARTS  # one whole part is given whatever is held
    assert (report["held"], report["live"]) == (0, 0)
    assert len(report["done"]) == threads + 3
    assert keys(store) == sorted(report["done"])  # and nothing of the one that was interrupted
    for key, digest in report["done"].items():
        assert hashlib.sha256(store.read(key)).hexdigest() == digest
    assert report["ahead"] < threads  # another partner's loop did not wait for all of them
    ledger = dict(json.loads(shared_database.run("-c", LEDGER).splitlines()[-1]))
    assert ledger.pop("/cut") in ("suspended", "aborted")
    assert set(ledger.values()) == {"committed"}
