"""The pools: bounded, fair between partners, and no thread lost to a failing job."""

from __future__ import annotations

import threading

from securedrop_ftp.engine.pools import FairPool
from tests.fixtures.postgres import PostgresServer
from tests.server.test_database_writer import run

# Connections that are kept for ever and that Django does not ask, as other projects may have them.
LOST = """
import django
django.setup()
from django.conf import settings
settings.DATABASES["default"] |= {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}
from django.db import OperationalError, connection, transaction
from securedrop_ftp.db import check_connections
from securedrop_ftp.engine.pools import FairPool

def ask(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]

def end_another(pid):
    return ask(f"SELECT pg_terminate_backend({pid}, 10000)")

def end_own():
    with transaction.atomic():
        ask("SELECT pg_terminate_backend(pg_backend_pid())")

check_connections()
pool = FairPool("t", threads=1, per_key=1)
pid = pool.submit("a", ask, "SELECT pg_backend_pid()").result(30)
print(pid == pool.submit("a", ask, "SELECT pg_backend_pid()").result(30), end_another(pid))
print(pool.submit("a", ask, "SELECT 'idle'").result(30))
print(isinstance(pool.submit("a", end_own).exception(30), OperationalError))
print(pool.submit("a", ask, "SELECT 'in a transaction'").result(30))
pool.close(30)
connection.close()
"""


def test_a_thread_outlives_its_connection_to_the_database(postgres: PostgresServer) -> None:
    lines, _ = run(LOST, postgres)
    assert lines == ["True True", "idle", "True", "in a transaction"]


def test_one_partner_cannot_hold_every_thread() -> None:
    pool = FairPool("t", threads=3, per_key=2)
    release = threading.Event()
    for _ in range(10):
        pool.submit("slow", release.wait, 30)
    assert pool.submit("other", lambda: 42).result(timeout=20) == 42
    release.set()
    pool.close(20)


def test_jobs_of_all_partners_run_even_when_each_is_capped() -> None:
    pool = FairPool("t", threads=2, per_key=1)
    done = [pool.submit(f"p{i % 5}", lambda i=i: i) for i in range(100)]
    assert [f.result(timeout=20) for f in done] == list(range(100))
    pool.close(20)


def test_a_failing_job_reports_and_takes_no_thread_with_it() -> None:
    pool = FairPool("t", threads=1, per_key=1)

    def fail() -> None:
        raise SystemExit(3)

    assert isinstance(pool.submit("a", fail).exception(timeout=20), SystemExit)
    assert pool.submit("a", lambda: 1).result(timeout=20) == 1
    pool.close(20)


def test_close_runs_what_is_queued() -> None:
    pool = FairPool("t", threads=2, per_key=1)
    done = [pool.submit("a", lambda: 1) for _ in range(20)]
    pool.close(20)
    assert all(f.done() for f in done)
