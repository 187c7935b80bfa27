"""The database writer: groups, savepoints, and deadlocks between workers."""

from __future__ import annotations

import os
import subprocess
import sys

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


def run(program: str, postgres: PostgresServer) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
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


def test_the_victim_of_a_deadlock_runs_again(postgres: PostgresServer) -> None:
    done = run(DEADLOCK, postgres)
    assert done.stdout.strip() == "['ab', 'ba']", done.stderr
    assert "deadlock: the job runs again" in done.stderr


def test_a_job_is_not_called_committed_when_a_later_one_of_its_group_loses_the_connection(
    postgres: PostgresServer,
) -> None:
    done = run(BROKEN, postgres)
    assert done.stdout.split("\n")[:2] == ["['AuditUnavailable', 'AuditUnavailable']", "0"], (
        done.stdout + done.stderr
    )
