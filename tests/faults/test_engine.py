"""Uploads while everything breaks: a seeded share here, 10 000 by ``make test-faults``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.faults.behind import BehindProxy, through_tls
from tests.faults.engine import Engine, Report, options_for
from tests.faults.mischief import Mischief, small_disk
from tests.faults.proxy import HTTP_FAULTS, REPLY_FAULTS, REQUEST_FAULTS, FaultProxy
from tests.fixtures import postgres as postgres_server
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import MotoServer
from tests.fixtures.served import Serve, make_cast
from tests.fixtures.stores import BucketStore, DirectoryStore

#: Uploads of the long run, half of them on PostgreSQL and S3.
LONG = int(os.environ.get("UPLOADS", "0"))
#: Seconds after which a run begins no more uploads.
LIMIT = 60.0 * int(os.environ.get("FAULTS_MINUTES", "30")) if LONG else 60.0
SEED = int(os.environ.get("FAULTS_SEED", "1"))

KIB = 1024
MIB = 1024 * KIB


def judged(report: Report) -> None:
    print(f"\n{report}")
    assert not report.wrong, str(report)
    assert (report.hangs, report.orphans, report.rows_per_attempt) == (0, 0, 1.0)
    assert report.acknowledged  # else nothing was put to the test


@pytest.mark.timeout(0)  # it ends with its uploads, or at LIMIT
def test_no_fault_around_s3_and_postgresql_makes_a_false_acknowledgement(
    served: Serve, moto_server: MotoServer, certificates: Certificates, tmp_path: Path
) -> None:
    uploads = LONG // 2 or 30
    with ExitStack() as stack:
        postgres = stack.enter_context(postgres_server.running())
        url = postgres.database()
        make_cast(url, tmp_path)
        storage = stack.enter_context(
            FaultProxy(
                moto_server.port,
                seed=SEED,
                faults=(*REQUEST_FAULTS, *REPLY_FAULTS, *HTTP_FAULTS),
                tls=through_tls(certificates),
                silence=8,
                corrupt_from=2048,  # files and parts, not marks
            )
        )
        database = stack.enter_context(
            FaultProxy(
                postgres.port, seed=SEED + 1, faults=("cut", "reset", "delay", "cut-reply"), delay=1
            )
        )
        bucket = BucketStore(moto_server, moto_server.bucket())
        ftps = served(workers=2, start=False, options=options_for(5 * MIB))
        ftps.store = BehindProxy(bucket, moto_server.client(), storage.port)
        ftps.database_url = url
        ftps.settings["STORAGE_URL"] = ftps.store.url
        parts = urlsplit(url)
        behind = parts.netloc.replace(f":{postgres.port}", f":{database.port}")
        ftps.settings["DATABASE_URL"] = urlunsplit(parts._replace(netloc=behind))
        ftps.extra_environment |= bucket.environment
        ftps.start()
        engine = Engine(
            ftps,
            Mischief(ftps, SEED).with_postgres(postgres),
            [(storage, 0.04), (database, 0.002)],
            tmp_path,
            uploads=uploads,
            seconds=LIMIT,
            seed=SEED,
            part_size=5 * MIB,
            share_of_large=0.02,
            mischief_every=150 if LONG else 8,
        )
        judged(engine.run())
        ftps.stop()


@pytest.mark.timeout(0)  # it ends with its uploads, or at LIMIT
def test_no_fault_around_files_and_sqlite_makes_a_false_acknowledgement(
    served: Serve, tmp_path: Path
) -> None:
    uploads = LONG - LONG // 2 or 30
    ftps = served(workers=2, start=False, options=options_for(64 * KIB))
    assert isinstance(ftps.store, DirectoryStore)
    with small_disk(ftps.store.path, mib=64):
        ftps.start()
        database = Path(ftps.database_url.removeprefix("sqlite:///"))
        engine = Engine(
            ftps,
            Mischief(ftps, SEED).with_sqlite(database).with_disk(ftps.store.path),
            [],
            tmp_path,
            uploads=uploads,
            seconds=LIMIT,
            seed=SEED,
            part_size=64 * KIB,
            share_of_large=0.3,
            mischief_every=150 if LONG else 8,
        )
        judged(engine.run())
        ftps.stop()
