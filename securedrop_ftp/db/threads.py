"""The one place where threads of this service begin.

Whatever runs on one of them may use the ORM: its database connections are looked at around each
job, and closed when the thread ends, so that nobody has to remember it. A test fails where another
module starts a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from securedrop_ftp.db.connections import renewed_connections, this_thread_is_limited
from securedrop_ftp.db.forks import outside_forks
from securedrop_ftp.db.shared import keep_own_connection
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def thread(
    name: str, run: Callable[..., object], *args: Any, own_connection: bool = False
) -> threading.Thread:
    """A daemon thread for ``run(*args)``; it is not started yet. Where ``run`` takes one job after
    the other, each belongs into :func:`~.connections.renewed_connections`.

    ``own_connection``: it uses the database without waiting for one of those that the threads of
    its process share (:mod:`.shared`).
    """
    body = _run_alone if own_connection else _run
    return threading.Thread(target=body, args=(run, *args), name=name, daemon=True)


def _run_alone(run: Callable[..., object], *args: Any) -> None:
    keep_own_connection()
    _run(run, *args)


def _run(run: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The body of each thread that begins here."""
    this_thread_is_limited()
    return run_with_connections(run, *args, **kwargs)


def timer(seconds: float, run: Callable[[], object]) -> threading.Timer:
    """A thread that runs ``run`` after so many seconds; not started yet."""
    made = threading.Timer(seconds, _run, (run,))
    made.daemon = True
    return made


class Threads(ThreadPoolExecutor):
    """A pool for the length of one call; each job has connections of its own, and leaves none."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As its base does."""
        return super().submit(_run, partial(fn, *args, **kwargs))


def run_with_connections(run: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``run(*args)`` with connections that are looked at before and closed after it."""
    try:
        with renewed_connections():
            return run(*args, **kwargs)
    finally:
        _close()


def _close() -> None:
    try:
        with outside_forks():
            connections.close_all()
    except Exception:
        logger.exception("database.connections_not_closed")
