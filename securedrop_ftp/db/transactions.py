"""Short writes, and the one rule for running a job again.

PostgreSQL ends one of two transactions that wait for each other, and a transaction for which room
was made on a full disk may find it at its next try. In both cases nothing of it was written.
:func:`run_in_transaction` is the only place that tries again: nobody around it does.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError

from securedrop_ftp.ballast import drop_for
from securedrop_ftp.db.sqlite_turn import sqlite_turn
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

T = TypeVar("T")

#: How often a job is run at most.
RUNS: Final = 4
#: The longest pause before the second run, seconds; each further one may be twice as long. The
#: other transaction of a deadlock goes on at once, so there is not much to wait for.
FIRST_PAUSE: Final = 0.01


class DiskWasFull(OperationalError):
    """A transaction failed for want of space; the ballast was let go, so the same may work now."""


def sqlstate(exc: BaseException | None) -> str:
    """PostgreSQL's error code behind an exception, however it was wrapped; ``""``: none."""
    while exc is not None:
        code = getattr(exc, "sqlstate", None)
        if code:
            return str(code)
        exc = exc.__cause__
    return ""


def may_run_again(exc: BaseException) -> bool:
    """Whether nothing was written and another try may go better: deadlock_detected,
    serialization_failure, or a disk on which room was made."""
    return isinstance(exc, DiskWasFull) or sqlstate(exc) in ("40P01", "40001")


@contextmanager
def write_transaction() -> Iterator[None]:
    """``transaction.atomic()`` for a short write, in turn on SQLite
    (:mod:`securedrop_ftp.db.sqlite_turn`).

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


def run_in_transaction(job: Callable[[], T], *, runs: int = RUNS) -> T:
    """Run ``job`` in a transaction of its own (a savepoint within a transaction), again while
    :func:`may_run_again` says so, ``runs`` times at most.

    Raises what the last run raised; nothing is written then.
    """
    if connection.in_atomic_block:  # what is around it was undone too
        runs = 1
    pause = FIRST_PAUSE
    while True:
        runs -= 1
        try:
            with write_transaction():
                result = job()
                refuse_broken()
        except Exception as exc:
            if not runs or not may_run_again(exc):
                raise
            logger.warning("database.job_runs_again", error=str(exc).partition("\n")[0])
        else:
            return result
        time.sleep(random.uniform(0, pause))
        pause *= 2


def refuse_broken() -> None:
    """A job that caught an error which broke its transaction would pass for done, and Django would
    undo it without a word. Raises TransactionManagementError."""
    if connection.needs_rollback:
        raise TransactionManagementError("a job went on in a transaction that is broken")
