"""The threads of a process share a few connections to PostgreSQL."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from securedrop_ftp.conf import Conf
from securedrop_ftp.server.doctor.database import _per_worker
from tests.fixtures.postgres import PostgresServer
from tests.server.test_database_writer import run

START = """
import threading, time
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction
from securedrop_ftp.db import DatabaseWriter, check_connections, limit_statements
from securedrop_ftp.db import release_connection, share_connections, shared
from securedrop_ftp.engine.pools import FairPool
import psycopg

parameters = connection.get_connection_params()
connection.close()
OTHER = psycopg.connect(
    **{k: parameters[k] for k in ("dbname", "user", "password", "host", "port")}, autocommit=True
)

def others(what="count(*)"):
    return OTHER.execute(
        f"SELECT {what} FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"  # and no autovacuum worker
    ).fetchall()

def ask(sql="SELECT pg_backend_pid()"):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]

def outcome(future):
    error = future.exception(60)
    return future.result() if error is None else f"{type(error).__name__}: {error}"

check_connections()
limit_statements()
"""

# Eight workers' worth of threads, with jobs of every kind, beside a writer and a heartbeat.
CROWD = """
from securedrop_ftp.engine.heartbeat import Heartbeat
from securedrop_ftp.intake.owners import Boot

share_connections(6)
writer = DatabaseWriter().start()
heartbeat = Heartbeat(Boot.of_this_process("boot", "node", "ftps")).start()
pools = FairPool("accounts", 64, 64), FairPool("storage", 128, 128)

def job(number):
    with transaction.atomic():
        Group.objects.create(name=f"{number}")
    found = Group.objects.filter(name=f"{number}").count()
    writer.call(lambda: Group.objects.filter(name=f"{number}").update(name=f"done {number}"))
    with transaction.atomic():
        return found + Group.objects.select_for_update().filter(name=f"done {number}").count()

futures = [pools[n % 2].submit("k", job, n) for n in range(1500)]
most = 0
while not all(future.done() for future in futures):
    most = max(most, others()[0][0])
    time.sleep(0.01)
print({outcome(future) for future in futures}, most, writer.call(Group.objects.count))
[pool.close(30) for pool in pools]
heartbeat.stop()
writer.close()
shared.stop_sharing()
deadline = time.monotonic() + 20
while others()[0][0] and time.monotonic() < deadline:
    time.sleep(0.01)
print(others()[0][0])
"""


def test_a_worker_has_six_connections_at_most_however_many_threads_work(
    postgres: PostgresServer,
) -> None:
    lines, log = run(START + CROWD, postgres)
    outcomes, most, rows = lines[0].rsplit(" ", 2)
    assert outcomes == "{2}"
    assert 4 <= int(most) <= 6
    assert rows == "1500"
    assert lines[1] == "0", "at the end of the process none is left"
    assert "failed" not in log


LOGINS = """
from securedrop_ftp.access import lockout

share_connections(3)  # one for all threads, beside the writer's and the heartbeat's
pool = FairPool("t", threads=4, per_key=4)
being_checked = [pool.submit("k", lockout.reserve, "alice", "192.0.2.1").result(30)
                 for _ in range(5)]
waiting = [pool.submit("k", lockout.reserve, "alice", "192.0.2.1") for _ in range(3)]
asked = [outcome(pool.submit("k", ask)) for _ in range(20)]
print(len(asked), {type(pid) for pid in asked}, any(login.done() for login in waiting))
for reservation in being_checked:
    outcome(pool.submit("k", lockout.abandon, reservation))
print({type(outcome(login)).__name__ for login in waiting})
pool.close(30)
"""


def test_a_login_that_waits_for_others_keeps_no_connection_from_them(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(START + LOGINS, postgres)
    assert lines == ["20 {<class 'int'>} False", "{'Reservation'}"]


WAITING = """
share_connections(3)
shared._of_process._patience = 1.0
writer = DatabaseWriter().start()
pool = FairPool("t", threads=3, per_key=3)
go, holding = threading.Event(), threading.Event()

def hold():
    pid = ask()
    holding.set()
    go.wait(30)
    return pid

held = pool.submit("a", hold)
holding.wait(30)
print(outcome(pool.submit("b", ask)))
print(writer.call(Group.objects.count, 20))
shared._of_process._patience = 30.0
order = []
waiting = [pool.submit("c", lambda n=n: (ask(), order.append(n))) for n in range(2)]
while shared._of_process.awaited < 2:
    time.sleep(0.01)
go.set()
[future.result(30) for future in waiting]
print(order, shared._of_process.in_use, isinstance(held.result(), int))
pool.close(30)
writer.close()
"""


def test_who_waits_too_long_is_told_and_the_writer_never_waits(postgres: PostgresServer) -> None:
    (refused, *others), _ = run(START + WAITING, postgres)
    assert refused == (
        "NoConnectionFree: all 1 database connections that this process shares were in use for 1 s"
        " (SECUREDROP_DATABASE_CONNECTIONS)"
    )
    assert others == ["0", "[0, 1] 0 True"]


# One shared connection; whoever does something long without it must not keep it.
RELEASED = """
from securedrop_ftp.access.hashers import burn_one_hash
from securedrop_ftp.storage.confined import ConfinedStorage

share_connections(3)
shared._of_process._patience = 20.0
writer = DatabaseWriter().start()
pool = FairPool("t", threads=2, per_key=2)

class Slow:
    name = "slow"
    def check(self):
        return meanwhile()

def meanwhile():
    return pool.submit("other", ask, "SELECT 'the other works'").result(10)

def during(act):
    ask()
    found = act()
    return found, ask("SELECT 'goes on'")

print(outcome(pool.submit("t", during, lambda: ConfinedStorage(Slow(), "acme/").check())))
print(outcome(pool.submit("t", during, lambda: writer.call(meanwhile))))
slots = __import__("securedrop_ftp.access.hashers", fromlist=["_"])._hash_slots()
[slots.acquire() for _ in range(2)]
hashing = pool.submit("t", during, burn_one_hash)
time.sleep(0.3)
print(meanwhile())
[slots.release() for _ in range(2)]
print(outcome(hashing))

def in_a_transaction():
    with transaction.atomic():
        pid = ask()
        release_connection()
        return pid == ask()

print(outcome(pool.submit("t", in_a_transaction)))
pool.close(30)
writer.close()
"""


def test_nobody_keeps_a_connection_while_storage_a_hash_or_the_writer_works(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(START + RELEASED, postgres)
    assert lines == [
        "(None, 'goes on')",
        "('the other works', 'goes on')",
        "the other works",
        "(None, 'goes on')",
        "True",
    ]


# One shared connection. The stored hashes are of another hasher; while a password is hashed, to be
# checked or to be stored anew, somebody else uses the database.
OUTDATED = """
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher
from securedrop_ftp.access import authentication
from securedrop_ftp.access.login import log_in
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.exceptions import LoginFailed

PASSWORD = "a-long-enough-password"
partner = create_partner("test", name="acme")
old = PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1)
for name in "ab":
    account = create_account(partner, name, PASSWORD, "test")
    get_user_model().objects.filter(pk=account.user_id).update(password=old)
connection.close()
share_connections(3)
shared._of_process._patience = 20.0
pool = FairPool("t", threads=2, per_key=2)
hashed = []

def beside(hasher, method):
    whole = getattr(hasher, method)
    def hashing(self, *args, **kwargs):
        if threading.current_thread() in logging_in:
            hashed.append(pool.submit("other", ask, "SELECT 'the other works'").result(10))
        return whole(self, *args, **kwargs)
    setattr(hasher, method, hashing)

for hasher in (PBKDF2PasswordHasher, Argon2PasswordHasher):
    beside(hasher, "verify")
    beside(hasher, "encode")
logging_in = set()

def come(name, password):
    logging_in.add(threading.current_thread())
    try:
        return log_in(name, password, remote_ip="192.0.2.1", session="s").username
    except LoginFailed as exc:
        return exc.reason
    finally:
        logging_in.clear()

for usual in (True, False):
    authentication._is_usual = lambda: usual
    for password in ("wrong", PASSWORD, PASSWORD) if usual else (PASSWORD,):
        print(outcome(pool.submit("t", come, "ab"[not usual], password)), *set(hashed))
        hashed.clear()
print({row.password.split("$")[0] for row in get_user_model().objects.all()})
pool.close(30)
"""


def test_nobody_keeps_a_connection_while_an_outdated_hash_is_replaced(
    postgres: PostgresServer,
) -> None:
    lines, log = run(START + OUTDATED, postgres)
    assert lines == [
        "password the other works",
        "a the other works",
        "a the other works",
        "b the other works",
        "{'argon2'}",
    ], log


LOST = """
share_connections(6)
pool = FairPool("t", threads=8, per_key=8)
failed = []
for round in range(5):
    gate = threading.Barrier(4)
    [f.result(30) for f in [pool.submit("t", lambda: (ask(), gate.wait(30))) for _ in range(4)]]
    ended = {pid for pid, _ in others("pid, pg_terminate_backend(pid)")}
    while ended & {pid for pid, in others("pid")}:
        time.sleep(0.01)
    failed += [e for f in [pool.submit("t", ask) for _ in range(32)] if (e := f.exception(30))]
print(len(ended), failed)

def end_own():
    with transaction.atomic():
        ask("SELECT pg_terminate_backend(pg_backend_pid())")

def leave_open():
    transaction.set_autocommit(False)
    Group.objects.create(name="never committed")

print([type(pool.submit("t", job).exception(30)).__name__ for job in (end_own, leave_open)])
print(len({outcome(pool.submit("t", ask, "SELECT 1")) for _ in range(32)}))
print(outcome(pool.submit("t", Group.objects.count)), shared._of_process.in_use)
print({outcome(pool.submit("t", ask, "SHOW statement_timeout")) for _ in range(8)})
pool.close(30)
"""


def test_connections_that_were_ended_are_replaced_before_anybody_finds_out(
    postgres: PostgresServer,
) -> None:
    lines, _ = run(START + LOST, postgres)
    assert lines == ["4 []", "['OperationalError', 'NoneType']", "1", "0 0", "{'20s'}"]


ELSEWHERE = {
    "Django's pool": "entry['OPTIONS']['pool'] = {'max_size': 7}",
    "SQLite in memory": "entry |= d.parse('sqlite://:memory:')",
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_projects_own_pool_and_a_database_in_memory_are_left_alone(
    kind: str, postgres: PostgresServer
) -> None:
    program = f"""
import dj_database_url as d
import django
from django.conf import settings
entry = settings.DATABASES["default"]
{ELSEWHERE[kind]}
django.setup()
from securedrop_ftp.db import share_connections, shared
share_connections(6)
print(shared._of_process)
"""
    lines, _ = run(program, postgres)
    assert lines == ["None"]


RECKONED = """
import os
from dataclasses import replace
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.db import connection
from securedrop_ftp.conf import get_conf
from securedrop_ftp.intake import owners
from securedrop_ftp.server.doctor.database import room_for_connections

def show(**changes):
    for finding in room_for_connections(replace(get_conf(), **changes)):
        print(f"{finding.level.value}: {finding.text} {finding.mend}")

show(ftps_workers=4)
for node in ("one", "two"):
    owners.register(owners.Boot.of_this_process(node, node, "ftps"))
show(ftps_workers=30)
connection.cursor().execute("ALTER ROLE tester CONNECTION LIMIT 11")
try:
    show(ftps_workers=1)
    show(ftps_workers=1, database_connections=3, storage_threads=32)
finally:
    connection.cursor().execute("ALTER ROLE tester CONNECTION LIMIT -1")
connection.close()
"""


def test_doctor_reckons_up_what_all_workers_may_take(postgres: PostgresServer) -> None:
    lines, _ = run(RECKONED, postgres)
    assert "ok: 1 node, 4 workers each, up to 6 connections a worker" in lines[0]
    assert "others a node: 30; PostgreSQL gives 297." in lines[0]
    assert "warning: 2 nodes, 30 workers each" in lines[1]
    assert "max_connections in postgresql.conf to 372" in lines[1]
    assert "warning" in lines[2]
    assert "PostgreSQL gives 11" in lines[2]
    assert "warning: A worker has 40 threads and 1 database connection for them" in lines[3]
    assert "more than 0.25 s" in lines[3]
    assert "SECUREDROP_DATABASE_CONNECTIONS to 6 or more" in lines[3]
    assert len(lines) == 5


# As at every command; the threads are those of the settings.
CHECKED = """
import django
django.setup()
from django.core.checks import run_checks
print([problem.id for problem in run_checks() if problem.id.endswith("W052")])
"""


@pytest.mark.parametrize(
    ("connections", "account_threads", "told"),
    [(6, 8, False), (6, 24, False), (5, 24, True), (3, 24, True)],
)
def test_a_check_warns_of_fewer_than_one_connection_for_ten_threads(
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    connections: int,
    account_threads: int,
    told: bool,
) -> None:
    monkeypatch.setenv("SECUREDROP_DATABASE_CONNECTIONS", str(connections))
    monkeypatch.setenv("SECUREDROP_ACCOUNT_THREADS", str(account_threads))
    assert run(CHECKED, postgres)[0] == [str(["securedrop.W052"] if told else [])]


# Threads hold a connection for half a second each, all at once; at a fifth of the time.
TURNS = """
share_connections(shared.RESERVED + SHARED)
shared._of_process._patience = shared.PATIENCE / 5
pool = FairPool("t", threads=40, per_key=40)
held = [pool.submit("k", ask, "SELECT pg_sleep(0.1)") for _ in range(40)]
print(sum(held_by.exception(60) is not None for held_by in held))
pool.close(10)
shared.stop_sharing()
"""


@pytest.mark.parametrize(("connections", "waits_in_vain"), [(1, True), (4, False)])
def test_forty_threads_that_hold_one_for_half_a_second_need_more_than_one(
    postgres: PostgresServer, connections: int, waits_in_vain: bool
) -> None:
    lines, _ = run(START + TURNS.replace("SHARED)", f"{connections})"), postgres)
    assert (int(lines[0]) > 0) is waits_in_vain


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"max_size": 9}, (9, " (DATABASES' own pool)")),
        (True, (4, " (DATABASES' own pool)")),
        ({"max_size": 2}, (0, "")),
        (None, (6, "")),
    ],
)
def test_doctor_goes_by_a_projects_own_pool(pool: object, expected: tuple[int, str]) -> None:
    options = {} if pool is None else {"pool": pool}
    project = SimpleNamespace(settings_dict={"OPTIONS": options})
    assert _per_worker(project, Conf()) == expected
