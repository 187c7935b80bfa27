"""When an engine starts, whose it is after a fork, and that it closes at the end of any process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.databases import SharedDatabase

BEGIN = """
import json, os, sys, threading
import django
django.setup()
from securedrop_ftp import engine
from securedrop_ftp.events import Event
from securedrop_ftp.models import AuditEvent, ServiceBoot

def act(name):
    return engine.current().record(Event("file.deleted", path=name))

def deleted():
    return AuditEvent.objects.filter(event="file.deleted").count()

def boots():
    return sorted(ServiceBoot.objects.values_list("service", "pid"))
"""

#: What a process has left behind.
LEFT = (
    BEGIN
    + """
rows = AuditEvent.objects.filter(event="file.deleted").order_by("pk")
print(json.dumps([boots(), list(rows.values_list("path", flat=True))]))
"""
)


def tell(database: SharedDatabase, program: str) -> Any:
    return json.loads(database.run("-c", BEGIN + program).splitlines()[-1])


def left_behind(database: SharedDatabase) -> Any:
    return json.loads(database.run("-c", LEFT).splitlines()[-1])


SCRIPT = """
ours = engine.current()
threads = threading.active_count()
act("/script")
ours.start()
print(json.dumps([threads, ours is engine.current(), boots() == [("process", os.getpid())],
                  ours.identity.owner.split(":")[1:2]]))
"""


def test_a_script_starts_it_with_the_first_use_and_its_exit_closes_it(
    shared_database: SharedDatabase,
) -> None:
    assert tell(shared_database, SCRIPT) == [1, True, True, ["process"]]
    assert left_behind(shared_database) == [[], ["/script"]]


FORKED = """
parents = engine.current()
act("/parent").result(30)
told, tell = os.pipe()
if not os.fork():
    ours = engine.current()
    fresh = ours is not parents and ours.identity.owner != parents.identity.owner
    try:
        parents.intake
    except RuntimeError:
        refused = True
    parents.close()
    act("/child").result(30)
    both = len(boots())
    os.write(tell, json.dumps([fresh, refused, both]).encode())
    sys.exit(0)
os.wait()
act("/parent again").result(30)
print(json.dumps([json.loads(os.read(told, 1000)), boots() == [("process", os.getpid())]]))
"""


def test_a_forked_child_makes_its_own_and_leaves_its_parents_alone(
    shared_database: SharedDatabase,
) -> None:
    assert tell(shared_database, FORKED) == [[True, True, 2], True]
    assert left_behind(shared_database) == [[], ["/parent", "/child", "/parent again"]]


# SQLite keeps mutexes and file locks by process: a child hung in the mutex of its malloc.
FORKED_AMID_A_QUERY = """
from django.db import connection
ours, within = engine.current().start(), threading.Event()
deleted()
def count():
    deleted()
    within.set()
    with connection.cursor() as cursor:
        cursor.execute("WITH RECURSIVE n(i) AS "
                       "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) "
                       "SELECT max(i) FROM n")
        return cursor.fetchone()
def files():
    names = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return sorted({os.path.basename(os.readlink(name)) for name in names if os.path.exists(name)})
jobs = [ours.accounts.submit(number, count) for number in range(2)]
within.wait()
told, tell = os.pipe()
if not os.fork():
    held = [name for name in files() if "shared.sqlite3" in name]
    os.write(tell, json.dumps([held, deleted()]).encode())
    os._exit(0)
os.wait()
act("/parent").result(30)
print(json.dumps([json.loads(os.read(told, 1000)), [job.result()[0] for job in jobs],
                  deleted()]))
"""


def test_no_thread_is_within_sqlite_and_no_connection_is_open_at_a_fork(
    shared_database: SharedDatabase,
) -> None:
    child, queries, rows = tell(shared_database, FORKED_AMID_A_QUERY)
    assert child == [[], 0]
    assert queries == [3000000, 3000000]
    assert rows == 1


FORKED_BY_A_JOB = """
def job():
    deleted()
    if not (pid := os.fork()):
        act("/child").result(30)
        engine.current().close()
        os._exit(0)
    return os.waitpid(pid, 0)[1], deleted()
print(json.dumps(engine.current().accounts.submit(1, job).result(60)))
"""


def test_a_job_of_a_pool_may_fork(shared_database: SharedDatabase) -> None:
    assert tell(shared_database, FORKED_BY_A_JOB) == [0, 1]
    assert left_behind(shared_database) == [[], ["/child"]]


# As gunicorn --preload: the application is made in the parent, which serves nothing.
PRELOADED = """
engine.current()
told, tell = os.pipe()
for number in range(3):
    if not os.fork():
        ours = engine.current()
        for thread in [threading.Thread(target=lambda: act("/x").result(30)) for _ in range(5)]:
            thread.start()
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join()
        os.write(tell, (ours.identity.owner + " ").encode())
        sys.exit(0)
threads = threading.active_count()
for _ in range(3):
    os.wait()
print(json.dumps([threads, len(set(os.read(told, 10000).split()))]))
"""


def test_the_workers_of_a_server_that_loads_the_application_first_have_one_each(
    shared_database: SharedDatabase,
) -> None:
    assert tell(shared_database, PRELOADED) == [1, 3]
    assert left_behind(shared_database) == [[], ["/x"] * 15]


MULTIPROCESSING = """
import multiprocessing
engine.current().start()
child = multiprocessing.get_context("fork").Process(target=act, args=("/child",))
child.start()
child.join()
print(json.dumps([child.exitcode, boots() == [("process", os.getpid())]]))
"""


def test_a_child_of_multiprocessing_closes_its_own(shared_database: SharedDatabase) -> None:
    assert tell(shared_database, MULTIPROCESSING) == [0, True]
    assert left_behind(shared_database) == [[], ["/child"]]


CLOSED = """
from securedrop_ftp.exceptions import AccessUnavailable
engine.current().close()
unused = engine.current()
unused.close()
unused.close()
ours = engine.current().start()
closers = [threading.Thread(target=ours.close) for _ in range(3)]
for thread in closers:
    thread.start()
for thread in closers:
    thread.join()
try:
    ours.intake
except AccessUnavailable as exc:
    refused = str(exc)
act("/after").result(30)
print(json.dumps([refused, engine.current() is ours]))
"""


def test_it_may_be_closed_twice_and_the_next_use_makes_a_new_one(
    shared_database: SharedDatabase,
) -> None:
    assert tell(shared_database, CLOSED) == ["The service is shutting down.", False]
    assert left_behind(shared_database) == [[], ["/after"]]


COMMANDS = """
import io
from django.core.management import call_command
for command in ("account_list", "partner_list", "uploads_recover", "uploads_prune"):
    call_command(command, stdout=io.StringIO())
print(json.dumps([threading.active_count(), engine.current().started, boots()]))
"""


def test_a_command_starts_no_thread_that_it_does_not_need(shared_database: SharedDatabase) -> None:
    assert tell(shared_database, COMMANDS) == [1, False, []]


AWAY = """
from django.db import connection
from securedrop_ftp.exceptions import LedgerUnavailable
table = ServiceBoot._meta.db_table
with connection.cursor() as cursor:
    cursor.execute(f"ALTER TABLE {table} RENAME TO away")
connection.close()
try:
    engine.current().start()
except LedgerUnavailable:
    refused = threading.active_count()
with connection.cursor() as cursor:
    cursor.execute(f"ALTER TABLE away RENAME TO {table}")
connection.close()
act("/then").result(30)
print(json.dumps(refused))
"""


def test_a_start_that_the_database_refuses_leaves_no_thread_and_is_tried_again(
    shared_database: SharedDatabase,
) -> None:
    assert tell(shared_database, AWAY) == 1
    assert left_behind(shared_database) == [[], ["/then"]]


KILLED = """
import signal
from securedrop_ftp.access.principal import principal_of
from securedrop_ftp.ftps.answers import FTPS
from securedrop_ftp.intake.service import UploadRequest
from securedrop_ftp.models import Account, Upload
who = principal_of(Account.objects.select_related("user", "partner").get(user__username="alice"))
others = engine.current().open_upload(UploadRequest(who, "s", "192.0.2.7", "/b", "acme/b", FTPS))
if not os.fork():
    engine.current().open_upload(UploadRequest(who, "s", "192.0.2.7", "/a", "acme/a", FTPS))
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
import io
from django.core.management import call_command
out = io.StringIO()
call_command("uploads_recover", stdout=out)
states = dict(Upload.objects.values_list("path", "state"))
print(json.dumps([out.getvalue(), states]))
"""


@pytest.mark.slow
def test_recovery_settles_what_a_killed_process_left_and_spares_the_living(
    shared_database: SharedDatabase,
) -> None:
    told, states = tell(shared_database, KILLED)
    assert told == "Settled: 1 aborted.\n"
    assert states == {"/a": "aborted", "/b": "receiving"}
