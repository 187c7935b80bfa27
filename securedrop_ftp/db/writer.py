"""The database writer: one thread that commits small jobs in groups.

Ledger and audit rows are written by this thread alone, so one worker holds one write connection,
SQLite sees one writer per process, and rows that arrive together share one commit (group commit:
at most :data:`BATCH` jobs, taken in the order they came). A job is a callable that uses the ORM;
each runs in a savepoint of its own, so a failing job does not take the others with it. Its future
is resolved only after the commit.

Without the thread nothing of its worker would ever be committed again. Therefore whatever a job
raises ends in its future and not in the thread, a thread that ended all the same is started anew,
and while one job holds the thread for longer than :data:`STUCK` nobody waits for it: :meth:`call`
refuses, and readiness, doctor and metrics tell.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.db import close_old_connections, connection, transaction

from securedrop_ftp.db import threads
from securedrop_ftp.db.forks import outside_forks
from securedrop_ftp.db.shared import release_connection
from securedrop_ftp.db.transactions import (
    RUNS,
    DiskWasFull,
    may_run_again,
    refuse_broken,
    run_in_transaction,
    sqlstate,
    write_transaction,
)
from securedrop_ftp.disk import is_full
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.log import get_logger
from securedrop_ftp.metrics import metrics

logger = get_logger(__name__)

T = TypeVar("T")

#: Jobs in one transaction: throughput is ample, the tail is what hurts (4.6 s unbounded, seen).
BATCH: Final = 16
#: Seconds at one job, beyond which the thread counts as stuck: PostgreSQL gives a blocked statement
#: up after 20, and a silent connection is given up after 25.
STUCK: Final = 60.0
#: Seconds between two looks at the thread by who waits for it.
_LOOK_EVERY: Final = 1.0


class JobStopped(Exception):
    """A database job raised what ends a thread or a process (SystemExit, KeyboardInterrupt,
    GreenletExit): it was undone, and the cause is chained. The writer goes on."""


class WriterStuck(Exception):
    """The database writer has been at one job for too long; the new one was not begun, or its
    outcome is not known."""


@dataclass(slots=True, eq=False)
class _Job:
    """A job and where its outcome goes. Telling never fails, whatever a callback does."""

    run: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)

    def succeed(self, result: Any) -> None:
        self._tell(lambda: self.future.set_result(result))

    def fail(self, exc: BaseException) -> None:
        error = exc if isinstance(exc, Exception) else _stopped(exc)
        self._tell(lambda: self.future.set_exception(error))

    def _tell(self, tell: Callable[[], None]) -> None:
        if self.future.done():
            return
        try:
            tell()
        except BaseException:  # of a callback: the outcome is told
            logger.exception("database_writer.callback_failed")


def _stopped(exc: BaseException) -> JobStopped:
    stopped = JobStopped(f"{type(exc).__name__} in a database job")
    stopped.__cause__ = exc
    return stopped


@dataclass(slots=True)
class _Group:
    """The outcome of a transaction, told after its commit."""

    results: list[tuple[_Job, Any]] = field(default_factory=list)
    failures: list[tuple[_Job, BaseException]] = field(default_factory=list)
    again: list[_Job] = field(default_factory=list)
    blocked: BaseException | None = None


class DatabaseWriter:
    """Start it after the fork. ``submit`` never blocks; ``call`` waits for the commit."""

    def __init__(self) -> None:
        # ``True`` stands for a job in ``_later``, ``None`` for the end.
        self._jobs: queue.SimpleQueue[_Job | bool | None] = queue.SimpleQueue()
        self._later: deque[_Job] = deque()
        self._owed = 0  # of these, that the thread has heard of
        self._batch: list[_Job] = []  # taken from the queue, not all told
        self._committed: list[tuple[_Job, Any]] = []  # of these, with what they returned
        self._since = 0.0  # when the present job or commit began, monotonic; 0: idle
        self._closed = self._last = self._ended = False
        self._starting = threading.Lock()
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threads.thread("db-writer", self._run, own_connection=True)

    def start(self) -> DatabaseWriter:
        """Start the thread, and tell of it in the metrics."""
        metrics.watch("securedrop_database_writer_busy_seconds", self.busy)
        self._thread.start()
        return self

    def submit(self, job: Callable[[], T], *, later: bool = False) -> Future[T]:
        """Queue a job; its future holds the result once the transaction is committed. ``later``:
        what nobody waits for comes behind all others, but for one in each transaction.

        The future's exception is what the job raised, :class:`JobStopped`, or a
        :class:`django.db.DatabaseError` if the commit failed.
        """
        queued = _Job(job)
        if self._closed:
            queued.fail(AccessUnavailable("The service is shutting down."))
            return queued.future
        self._revive()
        if later:
            self._later.append(queued)
            self._jobs.put(True)
        else:
            self._jobs.put(queued)
        return queued.future

    def call(self, job: Callable[[], T], timeout: float | None = None) -> T:
        """:meth:`submit` and wait. Not for the event loop. A shared connection of the caller is
        given back meanwhile.

        Raises:
            WriterStuck: the thread is; or it got stuck meanwhile. A job that was not begun never
                will be; of one that was, the outcome is not known.
            TimeoutError: after ``timeout`` seconds; the job may still be done.
        """
        self._refuse_stuck()
        release_connection()
        future = self.submit(job)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            wait = (
                _LOOK_EVERY if deadline is None else min(_LOOK_EVERY, deadline - time.monotonic())
            )
            try:
                return future.result(max(0.0, wait))
            except FutureTimeout:
                if future.done() or (deadline is not None and time.monotonic() >= deadline):
                    raise
            self._revive()
            try:
                self._refuse_stuck()
            except WriterStuck:
                future.cancel()
                raise

    @property
    def waiting(self) -> int:
        """Jobs that are not begun yet."""
        return self._jobs.qsize() + self._owed

    def busy(self) -> float:
        """How long the thread has been at its present job or commit, seconds; 0: it is idle."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def close(self, timeout: float = 10.0) -> None:
        """Commit what is queued, then stop."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._revive()
        self._thread.join(timeout)
        metrics.unwatch("securedrop_database_writer_busy_seconds")
        if self._thread.is_alive():
            logger.error("database_writer.not_stopped", busy=self.busy(), waiting=self.waiting)

    # --- the thread ------------------------------------------------------------------

    def _refuse_stuck(self) -> None:
        busy = self.busy()
        if busy > STUCK:
            raise WriterStuck(f"the database writer has been at one job for {busy:.0f} s")

    def _revive(self) -> None:
        """Start the thread anew if it ended. Of its group what was committed is told so already;
        the rest failed, and its connection is not used again."""
        if self._thread.is_alive() or self._ended or self._thread.ident is None:
            return
        with self._starting:
            if self._thread.is_alive() or self._ended:
                return
            logger.critical("database_writer.died", jobs=len(self._batch))
            metrics.add("securedrop_database_writer_restarts_total")
            self._answer(JobStopped("the database writer's thread ended"))
            self._batch, self._since = [], 0.0
            self._thread = self._new_thread()
            self._thread.start()

    def _run(self) -> None:
        while not self._last or self._owed:
            self._collect()
            self._since = time.monotonic()
            with outside_forks():
                self._settle(self._batch)
            self._since = 0.0
            self._batch = []
        self._ended = True

    def _collect(self) -> None:
        """The jobs of the next transaction; and whether more will come."""
        batch = self._batch
        while not self._last and len(batch) < BATCH - bool(self._owed):
            try:
                job = self._jobs.get(block=not batch and not self._owed)
            except queue.Empty:
                break
            if job is None:
                self._last = True
            elif isinstance(job, bool):
                self._owed += 1
            elif job.future.set_running_or_notify_cancel():
                batch.append(job)
        while self._owed and len(batch) < BATCH:
            self._owed -= 1
            job = self._later.popleft()
            if job.future.set_running_or_notify_cancel():
                batch.append(job)

    def _settle(self, batch: list[_Job]) -> None:
        """Whatever happens, every future has an answer and the thread lives."""
        self._committed = []
        try:
            if len(batch) == 1:
                self._commit_one(batch[0])
            elif batch:
                self._commit(batch)
        except BaseException as exc:
            logger.exception("database_writer.failed")
            _close_connection()
            self._answer(exc)

    def _answer(self, exc: BaseException) -> None:
        """Tell the jobs of the group that were not told yet: what was committed is told so, the
        others failed for ``exc``."""
        for job, result in self._committed:
            job.succeed(result)
        for job in self._batch:
            job.fail(exc)

    def _commit_one(self, job: _Job, runs: int = RUNS) -> None:
        """A transaction of its own needs no savepoint."""
        close_old_connections()
        self._since = time.monotonic()
        in_job = False

        def run() -> Any:
            nonlocal in_job
            in_job = True
            result = job.run()
            refuse_broken()
            in_job = False
            return result

        try:
            result = run_in_transaction(run, runs=runs)
        except BaseException as exc:
            if not in_job or not connection.is_usable():
                logger.error("database_writer.transaction_failed", jobs=1, exc_info=exc)
                _close_connection()
            job.fail(exc)
        else:
            self._committed = [*self._committed, (job, result)]
            job.succeed(result)

    def _commit(self, batch: list[_Job]) -> None:
        """One transaction for the batch. Jobs that PostgreSQL chose as the victim of a deadlock
        (two workers, a ledger row and the audit head in opposite order) were rolled back whole;
        they run again, each in a transaction of its own."""
        close_old_connections()
        group = _Group()
        try:
            with write_transaction():
                for job in batch:
                    self._since = time.monotonic()
                    self._run_in(group, job)
                self._since = time.monotonic()
            self._committed = group.results
        except DiskWasFull:
            group = _Group(again=batch)
        except BaseException as exc:
            logger.error("database_writer.transaction_failed", jobs=len(batch), exc_info=exc)
            _close_connection()
            self._answer(exc)
            return
        for job, result in self._committed:
            job.succeed(result)
        for job, error in group.failures:
            job.fail(error)
        for job in group.again:
            self._commit_one(job, RUNS - 1)

    def _run_in(self, group: _Group, job: _Job) -> None:
        """Run one job of a group in a savepoint.

        Raises what undid the whole transaction: the connection is gone, or SQLite undid everything
        for want of space. Django would end the transaction without a word, and the jobs before
        this one would pass for committed.
        """
        if group.blocked is not None:  # this one would wait as long, and others behind it
            group.failures.append((job, group.blocked))
            return
        try:
            with transaction.atomic():
                result = job.run()
                refuse_broken()
        except BaseException as exc:
            if connection.needs_rollback or is_full(exc):
                raise
            if may_run_again(exc):
                group.again.append(job)
                return
            group.failures.append((job, exc))
            if sqlstate(exc) in ("57014", "55P03"):  # query_canceled, lock_not_available
                group.blocked = exc
        else:
            group.results.append((job, result))


def _close_connection() -> None:
    try:
        connection.close()
    except Exception:
        logger.exception("database.connections_not_closed")
