"""The database writer survives what its jobs raise, and whoever waits for it is told."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures.databases import SharedDatabase

START = """
import json, threading, time
import django
django.setup()
from django.contrib.auth.models import Group
from django.db import connection
from securedrop_ftp.db import DatabaseWriter, writer as module
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.exceptions import AuditUnavailable, LedgerUnavailable
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.metrics import metrics

def add(name):
    return lambda: Group.objects.create(name=name).name

def raising(exc):
    def job():
        Group.objects.create(name=f"of {exc!r}")
        raise exc
    return job

def outcome(future):
    error = future.exception(30)
    return future.result() if error is None else type(error).__name__

class Gate:
    '''A job that holds the thread until it is opened, so that those behind it make one group.'''
    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()
    def __call__(self):
        self.begun.set()
        assert self.open.wait(30)

def together(writer, *jobs):
    gate = Gate()
    writer.submit(gate)
    assert gate.begun.wait(30)
    futures = [writer.submit(job) for job in jobs]
    gate.open.set()
    return futures

def names():
    return sorted(Group.objects.values_list("name", flat=True))

def tell(**values):
    values["names"] = names()
    connection.close()
    print(json.dumps(values))

connection.close()
writer = DatabaseWriter().start()
"""

RUNS = """
class Deadlock(Exception):
    sqlstate = "40P01"

def counted(error):
    runs = []
    def job():
        runs.append(1)
        raise error
    return runs, job

counts = {}
for error in (Deadlock(), AuditUnavailable()):
    error.__cause__ = None if isinstance(error, Deadlock) else Deadlock()
    for way in ("alone", "in a group", "ledger", "ledger without a writer"):
        runs, job = counted(error)
        if way == "alone":
            writer.submit(job).exception(30)
        elif way == "in a group":
            kind = type(error).__name__
            futures = together(writer, add(f"before {kind}"), job, add(f"behind {kind}"))
            futures[1].exception(30)
        else:
            book = Ledger(writer if way == "ledger" else None, owner="n:s:b:0", lease_seconds=90)
            try:
                book.run(job)
            except LedgerUnavailable:
                pass
        counts.setdefault(way, []).append(len(runs))
runs, job = counted(ValueError())
writer.submit(job).exception(30)
writer.close()
tell(counts=counts, others=len(runs))
"""


def run(database: SharedDatabase, program: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(database.run("-c", START + program).splitlines()[-1])
    return told


def test_a_job_that_always_meets_a_deadlock_runs_four_times_and_no_more(
    shared_database: SharedDatabase,
) -> None:
    told = run(shared_database, RUNS)
    assert told["counts"] == {
        way: [4, 4] for way in ("alone", "in a group", "ledger", "ledger without a writer")
    }
    assert told["others"] == 1
    assert len(told["names"]) == 4, "the others of the groups are written once"


ENDINGS = """
from greenlet import GreenletExit

endings = [SystemExit(3), KeyboardInterrupt(), GreenletExit(), MemoryError()]
alone = [outcome(writer.submit(raising(exc))) for exc in endings]
jobs = [job for exc in endings for job in (add(f"beside {type(exc).__name__}"), raising(exc))]
grouped = [outcome(future) for future in together(writer, *jobs)]
try:
    Ledger(writer, owner="n:s:b:0", lease_seconds=90).run(raising(SystemExit(3)))
    ledger = "nothing"
except LedgerUnavailable as exc:
    ledger = repr(exc.__cause__.__cause__)
last = outcome(writer.submit(add("last")))
writer.close()
tell(alone=alone, grouped=grouped, ledger=ledger, last=last, restarts=metrics.render())
"""


def test_whatever_a_job_raises_ends_in_its_own_outcome(shared_database: SharedDatabase) -> None:
    told = run(shared_database, ENDINGS)
    failures = ["JobStopped", "JobStopped", "JobStopped", "MemoryError"]
    assert told["alone"] == failures
    kept = [
        f"beside {n}" for n in ("SystemExit", "KeyboardInterrupt", "GreenletExit", "MemoryError")
    ]
    assert told["grouped"] == [each for pair in zip(kept, failures, strict=True) for each in pair]
    assert told["ledger"] == "SystemExit(3)"
    assert told["last"] == "last"
    assert told["names"] == sorted([*kept, "last"]), "what was told failed is not there"
    assert "restarts" not in told["restarts"], "it was one thread all the time"


CALLBACKS = """
def leave(_):
    raise SystemExit("a callback")

gate = Gate()
writer.submit(gate)
futures = [writer.submit(add(name)) for name in "abc"]
futures[0].add_done_callback(leave)
gate.open.set()
tell(outcomes=[outcome(future) for future in futures], last=outcome(writer.submit(add("last"))))
writer.close()
"""


def test_a_callback_that_ends_its_thread_takes_nobodys_outcome_with_it(
    shared_database: SharedDatabase,
) -> None:
    told = run(shared_database, CALLBACKS)
    assert told["outcomes"] == ["a", "b", "c"]
    assert told["last"] == "last"
    assert told["names"] == ["a", "b", "c", "last"]


# The thread is ended by force: between groups, within one, and when one is committed but not told.
KILLED = """
class Torn(DatabaseWriter):
    where = ""
    def _collect(self):
        super()._collect()
        if self.where == "before":
            self.where = ""
            raise SystemExit
    def _settle(self, batch):
        if self.where == "within":
            self.where = ""
            Group.objects.count()
            raise SystemExit
        if self.where == "committed":
            self.where, commit = "", self._commit
            job, self._commit_one = self._commit_one, lambda job: None
            with module.write_transaction():
                self._committed = [(job, job.run()) for job in batch[:1]]
            del self._commit_one
            raise SystemExit
        super()._settle(batch)

writer.close()
writer = Torn().start()
told = {}
for where in ("before", "within", "committed"):
    writer.where = where
    first = writer.submit(add(f"first, {where}"))
    while writer._thread.is_alive():
        time.sleep(0.01)
    second = writer.submit(add(f"second, {where}"))
    told[where] = [outcome(first), outcome(second)]
third = writer.call(add("waited for"))
writer.close()
tell(told=told, third=third, metrics=metrics.render())
"""


def test_a_thread_that_ended_is_started_anew_and_tells_what_was_committed(
    shared_database: SharedDatabase,
) -> None:
    told = run(shared_database, KILLED)
    assert told["told"] == {
        "before": ["JobStopped", "second, before"],
        "within": ["JobStopped", "second, within"],
        "committed": ["first, committed", "second, committed"],
    }
    assert told["third"] == "waited for"
    assert told["names"] == sorted(
        ["second, before", "second, within", "first, committed", "second, committed", "waited for"]
    )
    assert "securedrop_database_writer_restarts_total 3" in told["metrics"]


STUCK = """
module.STUCK, module._LOOK_EVERY = 0.5, 0.1
gate = Gate()
held = writer.submit(gate)
gate.begun.wait(30)
waited = threading.Thread(target=lambda: called.append(refused("while waiting")))
called = []

def refused(name):
    try:
        return writer.call(add(name))
    except module.WriterStuck as exc:
        return str(exc)

waited.start()
waited.join(30)
at_once = time.monotonic()
again = refused("at once")
at_once = time.monotonic() - at_once
book = Ledger(writer, owner="n:s:b:0", lease_seconds=90)
try:
    book.run(add("an upload"))
    reply = ""
except LedgerUnavailable as exc:
    reply = str(answer(exc))
busy = metrics.render()
queued = writer.submit(add("queued"))
gate.open.set()
outcomes = [outcome(held), outcome(queued), writer.call(add("after"))]
idle = writer.busy()
writer.close()
tell(called=called, again=again, at_once=at_once, reply=reply, outcomes=outcomes, busy=busy,
     idle=idle)
"""


def test_nobody_waits_for_a_writer_that_is_stuck(shared_database: SharedDatabase) -> None:
    told = run(shared_database, STUCK)
    for sentence in (*told["called"], told["again"]):
        assert sentence.startswith("the database writer has been at one job for")
    assert told["at_once"] < 0.4
    assert told["reply"].startswith("4")
    assert told["outcomes"] == [None, "queued", "after"]
    assert told["names"] == ["after", "queued"], "a job that was refused is not done later"
    assert "securedrop_database_writer_busy_seconds 0." in told["busy"]
    assert told["idle"] == 0
