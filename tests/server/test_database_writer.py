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


def test_the_victim_of_a_deadlock_runs_again(postgres: PostgresServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEADLOCK],
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
    assert done.stdout.strip() == "['ab', 'ba']", done.stderr
    assert "deadlock: the job runs again" in done.stderr
