"""Hypothesis drives one stream through any order of bytes, jobs, faults and ends."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import Cancelled, SecureDropError, Truncated
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.intake.service import UploadStream
from securedrop_ftp.models import AuditEvent, Upload
from securedrop_ftp.storage.memory import MemoryBackend
from tests.intake.faults import FaultyBackend
from tests.intake.house import CONF, House, make_principal, stored

PART = 64 * KIB
DATA = hashlib.shake_256(b"stream").digest(12 * PART)
_numbers = itertools.count()

#: The whole budget is less than one upload may want, so that back-pressure is met often.
TIGHT = replace(CONF, worker_memory=4 * PART, upload_memory=3 * PART)


class StreamMachine(RuleBasedStateMachine):
    """The pool runs the jobs in any order; storage fails where it pleases."""

    principal: Principal

    @initialize(old=st.booleans())
    def start(self, old: bool) -> None:
        self.faulty = FaultyBackend(MemoryBackend())
        self.house = House(self.faulty, conf=TIGHT)
        self.path = f"/{next(_numbers)}"
        self.key = f"acme{self.path}"
        self.old = b"old" if old else None
        if old:
            self.house.upload(self.principal, self.path, b"old")
        self.before = self.audit()
        self.stream: UploadStream = self.house.begin(self.principal, self.path)
        self.sent = 0
        self.finished: Future[Receipt] | None = None
        self.cancelled: Future[None] | None = None

    def audit(self) -> int:
        return AuditEvent.objects.filter(path=self.path).count()

    @property
    def open(self) -> bool:
        return self.finished is None and self.cancelled is None

    @precondition(lambda self: self.open)
    @rule(size=st.one_of(st.integers(1, 3 * PART), st.sampled_from([PART, PART - 1, PART + 1])))
    def receive(self, size: int) -> None:
        while size:
            room = self.stream.buffer()
            if room is None:
                return
            count = min(len(room), size, len(DATA) - self.sent)
            if not count:
                return
            room[:count] = DATA[self.sent : self.sent + count]
            self.stream.filled(count)
            self.sent += count
            size -= count

    @precondition(lambda self: self.house.jobs)
    @rule(which=st.integers(0, 10), count=st.integers(1, 4))
    def run_jobs(self, which: int, count: int) -> None:
        for _ in range(count):
            if self.house.jobs:
                self.house.jobs.rotate(which)
                self.house.jobs.popleft()()

    @rule(
        name=st.sampled_from(["begin", "put_part", "commit", "put_object", "abort"]),
        after=st.booleans(),
    )
    def plan_a_fault(self, name: str, after: bool) -> None:
        self.faulty.fail(name, after=after)

    @precondition(lambda self: self.open)
    @rule()
    def end_cleanly(self) -> None:
        self.finished = self.stream.finish()

    @rule(error=st.sampled_from([Truncated, Cancelled]))
    def give_up(self, error: type[SecureDropError]) -> None:
        self.cancelled = self.stream.cancel(error())

    @rule()
    def heartbeat(self) -> None:
        self.house.intake.heartbeat()

    @invariant()
    def nothing_half_done_is_visible(self) -> None:
        if hasattr(self, "stream"):
            now = stored(self.faulty.inner, self.key)
            whole = self.finished is not None and now == DATA[: self.sent]
            assert now == self.old or whole

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "stream"):
            assert self.house.intake.budget.used <= TIGHT.worker_memory

    def teardown(self) -> None:
        if not hasattr(self, "stream"):
            return
        if self.open:
            self.finished = self.stream.finish()
        self.house.work()
        self.faulty._plans.clear()
        self.house.intake.heartbeat()
        row = Upload.objects.get(pk=self.stream.upload_id)
        now = stored(self.faulty.inner, self.key)
        assert self.audit() == self.before + 1
        assert self.house.intake.budget.used == 0
        assert self.house.intake.live == 0
        assert row.state in ("committed", "suspended", "aborted")
        if row.state == "committed":
            assert now == DATA[: self.sent]
            assert row.sha256 == hashlib.sha256(DATA[: self.sent]).hexdigest()
        else:
            assert now == self.old
        if self.finished is not None and self.finished.exception() is None:
            assert row.state == "committed"
            assert self.finished.result().size == self.sent


@pytest.mark.django_db
def test_any_order_of_bytes_jobs_faults_and_ends_keeps_the_invariants() -> None:
    principal = make_principal()

    class Machine(StreamMachine):
        pass

    Machine.principal = principal
    arguments: dict[str, Any] = {
        "max_examples": 60,
        "stateful_step_count": 25,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
    }
    run_state_machine_as_test(Machine, settings=settings(**arguments))
