"""The database writer: groups, savepoints, and deadlocks between workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import ROOT

# Two writer threads of one process stand for two workers: each has its own connection.
DEADLOCK = """
import threading
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from django.db import connection
from securedrop_ftp.db import DatabaseWriter

for name in "ab":
    Group.objects.create(name=name)
meet = threading.Barrier(2)

def job(one, two):
    tries = []
    def run():
        Group.objects.filter(name=one).update(name=one)
        if not tries:
            tries.append(1)
            meet.wait(20)
        Group.objects.filter(name=two).update(name=two)
        return one + two
    return run

writers = [DatabaseWriter().start(), DatabaseWriter().start()]
futures = [writers[0].submit(job("a", "b")), writers[1].submit(job("b", "a"))]
print([future.result(30) for future in futures])
for writer in writers:
    writer.close()
connection.close()
"""


BROKEN = """
import threading
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from securedrop_ftp.db import DatabaseWriter
from securedrop_ftp.exceptions import AuditUnavailable

def lose_the_connection():
    try:
        connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
    except OperationalError as exc:
        raise AuditUnavailable from exc

writer = DatabaseWriter().start()
full = threading.Event()
writer.submit(lambda: full.wait(20))
jobs = [lambda: Group.objects.create(name="before").pk, lose_the_connection]
futures = [writer.submit(job) for job in jobs]
full.set()
print([type(future.exception(30)).__name__ for future in futures])
print(writer.submit(lambda: Group.objects.count()).result(30))
writer.close()
connection.close()
"""


# A job that swallows what broke its transaction, alone and in a group.
SWALLOWED = """
import threading
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection
from securedrop_ftp.db import DatabaseWriter

def swallow():
    Group.objects.create(name="lost")
    try:
        Group.objects.create(name="a")  # Model.save marks the transaction as broken
    except IntegrityError:
        return "done"

Group.objects.create(name="a")
connection.close()
writer = DatabaseWriter().start()
alone = writer.submit(swallow).exception(30)
full = threading.Event()
writer.submit(lambda: full.wait(20))
others = [writer.submit(swallow), writer.submit(lambda: Group.objects.create(name="kept").name)]
full.set()
print(type(alone).__name__, type(others[0].exception(30)).__name__, others[1].result(30))
print(writer.submit(lambda: sorted(Group.objects.values_list("name", flat=True))).result(30))
writer.close()
connection.close()
"""


# A fault of the writer's own, as if the connection could not even be asked.
FAULTY = """
import threading
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from django.db import connection
from securedrop_ftp.db import DatabaseWriter, writer as module

def broken():
    raise RuntimeError("close_old_connections")

connection.close()
close, module.close_old_connections = module.close_old_connections, broken
writer = DatabaseWriter().start()
alone = writer.submit(lambda: 1).exception(30)
module.close_old_connections = close
print(type(alone).__name__, writer.submit(lambda: Group.objects.count()).result(30))
writer.close()
connection.close()
"""


# A lock that another session never gives back, and a queue of jobs that need it.
BLOCKED = """
import threading, time
import django
django.setup()
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from securedrop_ftp import db
from securedrop_ftp.db.connections import LIMITS

def show(name):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone()[0]

from securedrop_ftp.db.threads import Threads
db.limit_statements()
print([show(name) for name in LIMITS])
connection.close()
with Threads(1) as threads:
    print(threads.submit(lambda: [show(name) for name in LIMITS]).result(30))
LIMITS["statement_timeout"] = "1s"
Group.objects.create(name="a")
writer = db.DatabaseWriter().start()
running = threading.Event()
with transaction.atomic():
    Group.objects.select_for_update().get(name="a")
    change = lambda: Group.objects.filter(name="a").update(name="b")
    futures = [writer.submit(lambda: running.wait(20))] + [writer.submit(change) for _ in range(14)]
    running.set()
    begun = time.monotonic()
    failed = [isinstance(future.exception(60), DatabaseError) for future in futures[1:]]
    print(all(failed), time.monotonic() - begun < 10)
print(writer.submit(change).result(30))
writer.close()
connection.close()
"""


def test_a_statement_that_is_blocked_is_given_up_with_those_behind_it(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(BLOCKED, postgres)
    assert lines == ["['0', '0']", "['20s', '1min']", "True True", "1"]


def test_the_victim_of_a_deadlock_runs_again(postgres: PostgresServer) -> None:
    lines, log = run(DEADLOCK, postgres)
    assert lines == ["['ab', 'ba']"]
    assert "database.job_runs_again" in log


def test_a_job_is_not_called_committed_when_a_later_one_of_its_group_loses_the_connection(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(BROKEN, postgres)
    assert lines == ["['AuditUnavailable', 'AuditUnavailable']", "0"]


def test_a_job_that_swallowed_what_undid_it_is_not_called_committed(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(SWALLOWED, postgres)
    assert lines == [
        "TransactionManagementError TransactionManagementError kept",
        "['a', 'kept']",
    ]


def test_the_writer_outlives_a_fault_of_its_own(postgres: PostgresServer) -> None:
    lines, log = run(FAULTY, postgres)
    assert lines == ["RuntimeError 0"]
    assert "database_writer.failed" in log


def run(program: str, postgres: PostgresServer) -> tuple[list[str], str]:
    """The lines that it prints, and its log."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "securedrop_ftp.project.settings",
            "SECUREDROP_DATABASE_URL": postgres.database(),
            "SECUREDROP_SECRET_KEY": "only-for-this-test-" + "x" * 40,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


# The thread is held in its first job while the others are queued.
LATER = """
import threading
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from securedrop_ftp.db.writer import BATCH, DatabaseWriter

order, begun, go = [], threading.Event(), threading.Event()
writer = DatabaseWriter().start()
writer.submit(lambda: (begun.set(), go.wait(20)))
begun.wait(20)
for number in range(200):
    writer.submit(lambda: order.append("stranger"), later=True)
for number in range(3 * BATCH):
    writer.submit(lambda: order.append("upload"))
go.set()
writer.close(30)
last = max(n for n, who in enumerate(order) if who == "upload")
print(len(order), order[:last].count("stranger"))
"""


@pytest.mark.integration
def test_row_69_what_uploads_wait_for_is_written_before_strangers_rows(tmp_path: Path) -> None:
    environment = os.environ | {"SECUREDROP_DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    done = subprocess.run(
        [sys.executable, "-c", LATER], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    count, before = map(int, done.stdout.split())
    assert count == 200 + 48, "none is forgotten, also at the end"
    assert before <= 20, "some room in each transaction, and no more"
