"""The database writer: one thread that commits small jobs in groups.

Ledger and audit rows are written by this thread alone, so one worker holds one write connection,
SQLite sees one writer per process, and rows that arrive together share one commit (group commit:
at most :data:`BATCH` jobs, taken in the order they came). A job is a callable that uses the ORM;
each runs in a savepoint of its own, so a failing job does not take the others with it. Its future
is resolved only after the commit.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from django.db import OperationalError, close_old_connections, connection, transaction
from django.db.backends.signals import connection_created
from django.db.transaction import TransactionManagementError

from securedrop_ftp.ballast import drop_for
from securedrop_ftp.disk import is_full
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.log import get_logger
from securedrop_ftp.sqlite_turn import sqlite_turn

logger = get_logger(__name__)

T = TypeVar("T")

#: Jobs in one transaction: throughput is ample, the tail is what hurts (4.6 s unbounded, seen).
BATCH = 16
#: How often a job is tried that was the victim of a deadlock.
TRIES = 4

_Job = tuple[Callable[[], Any], "Future[Any]"]


class DiskWasFull(OperationalError):
    """A transaction failed for want of space; the ballast was let go, so the same may work now."""


@contextmanager
def write_transaction() -> Iterator[None]:
    """``transaction.atomic()`` for a short write, in turn on SQLite
    (:mod:`securedrop_ftp.sqlite_turn`).

    Raises:
        DiskWasFull: nothing was written; another try has room.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    try:
        with sqlite_turn(str(connection.settings_dict["NAME"])), transaction.atomic():
            yield
    except Exception as exc:
        if drop_for(exc):
            raise DiskWasFull("the disk was full; another try has room") from exc
        raise


def renew_connections() -> None:
    """:func:`django.db.close_old_connections`, unless a transaction is open: there it would close
    the connection under its caller's feet."""
    if not connection.in_atomic_block:
        close_old_connections()


@contextmanager
def renewed_connections() -> Iterator[None]:
    """Look at this thread's connections before and after a job of a pool: one that was lost, or is
    too old, is closed, and the ORM opens another at its next use. Never fails: the job runs."""
    _renew()
    try:
        yield
    finally:
        _renew()


def _renew() -> None:
    try:
        renew_connections()
    except Exception:
        logger.exception("database connections not renewed")


def check_connections() -> None:
    """From now on every connection of this process is asked whether it lives, at its first use
    after each :func:`renew_connections`, also where ``DATABASES`` has no ``CONN_HEALTH_CHECKS``.
    For workers: whoever keeps a connection for long finds it closed one day (PostgreSQL restarted,
    a failover, a firewall's timeout), and nobody's upload should be what finds out."""
    connection_created.connect(_check, dispatch_uid="securedrop_ftp.db.check")


def _check(*, connection: Any, **_: Any) -> None:
    connection.health_check_enabled = True


#: What a worker lets PostgreSQL take. Keepalives bound a silent server; these bound a statement
#: that waits for another session's lock, and our own transaction in a process that was stopped in
#: its midst and holds locks that others wait for.
LIMITS: Final = {"statement_timeout": "20s", "idle_in_transaction_session_timeout": "60s"}


def limit_statements() -> None:
    """Set :data:`LIMITS` on every PostgreSQL connection that this process opens from now on, where
    the URL's ``options`` do not say otherwise. For workers: commands (a migration of a large
    table, an export into a slow pipe) may take as long as they need."""
    connection_created.connect(_limit, dispatch_uid="securedrop_ftp.db.limits")


def _limit(*, connection: Any, **_: Any) -> None:
    if connection.vendor != "postgresql":
        return
    given = str(connection.settings_dict["OPTIONS"].get("options", ""))
    limits = {name: value for name, value in LIMITS.items() if name not in given}
    if limits:
        calls = ", ".join("set_config(%s, %s, false)" for _ in limits)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", [text for pair in limits.items() for text in pair])


def _sqlstate(exc: BaseException | None) -> str:
    """PostgreSQL's error code behind an exception, however it was wrapped."""
    while exc is not None:
        code = getattr(exc, "sqlstate", None)
        if code:
            return str(code)
        exc = exc.__cause__
    return ""


def _timed_out(exc: BaseException) -> bool:
    """query_canceled, lock_not_available."""
    return _sqlstate(exc) in ("57014", "55P03")


def is_deadlock(exc: BaseException) -> bool:
    """deadlock_detected, serialization_failure: nothing was done, so it may be done again."""
    return _sqlstate(exc) in ("40P01", "40001")


def _refuse_broken() -> None:
    """A job that caught an error which broke its transaction would pass for done, and Django would
    undo it without a word."""
    if connection.needs_rollback:
        raise TransactionManagementError("a job went on in a transaction that is broken")


class DatabaseWriter:
    """Start it after the fork. ``submit`` never blocks; ``call`` waits for the commit."""

    def __init__(self) -> None:
        # ``True`` stands for a job in ``_later``, ``None`` for the end.
        self._jobs: queue.SimpleQueue[_Job | bool | None] = queue.SimpleQueue()
        self._later: deque[_Job] = deque()
        self._owed = 0  # of these, that the thread has heard of
        self._thread = threading.Thread(target=self._run, name="db-writer", daemon=True)
        self._closed = False

    def start(self) -> DatabaseWriter:
        """Start the writer's thread."""
        self._thread.start()
        return self

    def submit(self, job: Callable[[], T], *, later: bool = False) -> Future[T]:
        """Queue a job; its future holds the result once the transaction is committed. ``later``:
        what nobody waits for comes behind all others, but for one in each transaction.

        The future's exception is what the job raised, or a
        :class:`django.db.DatabaseError` if the commit failed.
        """
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(AccessUnavailable("The service is shutting down."))
        elif later:
            self._later.append((job, future))
            self._jobs.put(True)
        else:
            self._jobs.put((job, future))
        return future

    def call(self, job: Callable[[], T], timeout: float | None = None) -> T:
        """:meth:`submit` and wait. Not for the event loop."""
        return self.submit(job).result(timeout)

    @property
    def waiting(self) -> int:
        """Jobs that are not begun yet."""
        return self._jobs.qsize() + self._owed

    def close(self, timeout: float = 10.0) -> None:
        """Commit what is queued, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        last = False
        while not last or self._owed:
            batch, last = self._collect(last)
            if batch:
                self._settle(batch)
        connection.close()

    def _collect(self, last: bool) -> tuple[list[_Job], bool]:
        """The jobs of the next transaction, and whether no more will come."""
        batch: list[_Job] = []
        while not last and len(batch) < BATCH - bool(self._owed):
            try:
                job = self._jobs.get(block=not batch and not self._owed)
            except queue.Empty:
                break
            if job is None:
                last = True
            elif isinstance(job, bool):
                self._owed += 1
            else:
                batch.append(job)
        while self._owed and len(batch) < BATCH:
            batch.append(self._later.popleft())
            self._owed -= 1
        return batch, last

    def _settle(self, batch: list[_Job]) -> None:
        """Whatever happens, every future has an answer and the thread lives: without it nothing
        of this worker would ever be committed again."""
        try:
            if len(batch) == 1:
                self._commit_one(*batch[0])
            else:
                self._commit(batch)
        except Exception as exc:
            logger.exception("database writer failed")
            connection.close()
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)

    def _commit_one(self, job: Callable[[], Any], future: Future[Any], tries: int = TRIES) -> None:
        """A transaction of its own needs no savepoint."""
        close_old_connections()
        in_job = False
        try:
            with write_transaction():
                in_job = True
                result = job()
                _refuse_broken()
                in_job = False
        except DiskWasFull as exc:
            if tries > 1:
                self._commit_one(job, future, tries - 1)
            else:
                future.set_exception(exc)
        except Exception as exc:
            if in_job and tries > 1 and is_deadlock(exc):
                logger.warning("deadlock: the job runs again")
                self._commit_one(job, future, tries - 1)
                return
            if not in_job or not connection.is_usable():
                logger.error("database transaction failed", jobs=1, exc_info=exc)
                connection.close()
            future.set_exception(exc)
        else:
            future.set_result(result)

    def _commit(self, batch: list[_Job]) -> None:
        """One transaction for the batch. Jobs that PostgreSQL chose as the victim of a deadlock
        (two workers, a ledger row and the audit head in opposite order) were rolled back whole;
        they run again, each in a transaction of its own."""
        close_old_connections()
        victims: list[_Job] = []
        blocked: Exception | None = None
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with write_transaction():
                for job, future in batch:
                    if blocked is not None:  # the next would wait as long, and others behind it
                        done.append((future, None, blocked))
                        continue
                    try:
                        with transaction.atomic():
                            result = job()
                            _refuse_broken()
                    except Exception as exc:
                        if connection.needs_rollback or is_full(exc):
                            # The job's savepoint could not be rolled back: the connection is
                            # gone, or SQLite undid everything for want of space. Django
                            # would end the transaction without a word, and the jobs before
                            # this one would pass for committed.
                            raise
                        if is_deadlock(exc):
                            victims.append((job, future))
                        else:
                            done.append((future, None, exc))
                            blocked = exc if _timed_out(exc) else None
                    else:
                        done.append((future, result, None))
        except DiskWasFull:
            for job, future in batch:
                self._commit_one(job, future)
            return
        except Exception as exc:
            logger.error("database transaction failed", jobs=len(batch), exc_info=exc)
            connection.close()
            for _, future in batch:
                future.set_exception(exc)
            return
        for future, result, error in done:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        for job, future in victims:
            logger.warning("deadlock: the job runs again")
            self._commit_one(job, future, TRIES - 1)
