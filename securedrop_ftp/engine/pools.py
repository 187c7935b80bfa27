"""Thread pools for what may block: bounded, and fair between partners.

A pool keeps one queue per key (the partner) and takes from them in turn; no key may have more
than its cap running at once, so that one partner's slow bucket cannot hold every thread. A job
wakes one thread at most.

Any job may use the ORM: a thread's database connections are looked at around each one, here, so
that no job has to remember it (:func:`securedrop_ftp.db.renewed_connections`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog

from securedrop_ftp.db import renewed_connections
from securedrop_ftp.db.threads import thread as new_thread
from securedrop_ftp.engine.interrupted import engine_call
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

T = TypeVar("T")


class _Call:
    """A call that was submitted, and the future that gets its outcome. It is made once, and holds
    nothing after: an exception's traceback has the frames that know of this object."""

    __slots__ = ("_args", "_bound", "_function", "_future")

    def __init__(
        self,
        future: Future[T],
        bound: dict[str, Any],
        function: Callable[..., T],
        args: tuple[Any, ...],
    ) -> None:
        self._future: Future[Any] | None = future
        self._bound, self._function, self._args = bound, function, args

    def __call__(self) -> None:
        future, self._future = self._future, None
        assert future is not None
        function, args = self._function, self._args
        del self._function, self._args
        try:
            with structlog.contextvars.bound_contextvars(**self._bound):
                result = function(*args)
        except BaseException as exc:
            future.set_exception(exc)
        else:
            future.set_result(result)
        finally:
            del future, function, args


class FairPool:
    """``threads`` workers; at most ``per_key`` jobs of one key at once."""

    def __init__(self, name: str, threads: int, per_key: int) -> None:
        self._lock = threading.Lock()
        #: A held lock for each sleeping thread; to release it wakes the thread.
        self._asleep: list[threading.Lock] = []
        self._sleepers: list[threading.Lock] = []  # of all threads
        self._queues: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._per_key = per_key
        self._closed = False
        self._threads = [new_thread(f"{name}-{number}", self._run) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def run(self, key: str, job: Callable[[], None]) -> None:
        """Queue a job that reports by itself. Never blocks."""
        with engine_call(), self._lock:
            self._queues.setdefault(key, deque()).append(job)
            # The thread that slept last: its caches and its connection are the warmest.
            if self._asleep:
                self._asleep.pop().release()

    def submit(self, key: str, function: Callable[..., T], *args: Any) -> Future[T]:
        """Queue a call; only structlog's bound values travel with it."""
        future: Future[T] = Future()
        bound = structlog.contextvars.get_contextvars()
        self.run(key, _Call(future, bound, function, args))
        return future

    def close(self, timeout: float) -> None:
        """Run what is queued, then stop; waits ``timeout`` seconds for each thread."""
        with self._lock:
            self._closed = True
            self._asleep.clear()
            for sleeper in self._sleepers:  # all: a handler may have raised before one was woken
                if sleeper.locked():
                    sleeper.release()
        for thread in self._threads:
            thread.join(timeout)

    def _take(self) -> tuple[str, Callable[[], None]] | None:
        for key, jobs in self._queues.items():
            if self._running.get(key, 0) < self._per_key:
                job = jobs.popleft()
                if jobs:
                    self._queues.move_to_end(key)
                else:
                    del self._queues[key]
                self._running[key] = self._running.get(key, 0) + 1
                return key, job
        return None

    @staticmethod
    def _do(job: Callable[[], None]) -> None:
        with renewed_connections():
            job()

    def _next(self, sleeper: threading.Lock) -> tuple[str, Callable[[], None]] | None:
        """A job that may run, as soon as there is one; ``None`` when the pool closes."""
        while True:
            with self._lock:
                taken = self._take()
                if taken is not None:
                    return taken
                if self._closed:
                    return None  # what waits for its key's cap is taken by who runs that key
                self._asleep.append(sleeper)
            sleeper.acquire()

    def _run(self) -> None:
        sleeper = threading.Lock()
        sleeper.acquire()
        with self._lock:
            self._sleepers.append(sleeper)
        while (taken := self._next(sleeper)) is not None:
            key, job = taken
            try:
                self._do(job)
            except BaseException:  # of a job: no thread is lost to it
                logger.exception("pool.job_failed")
            finally:
                del taken, job
                # Wakes nobody: this thread goes on with the job that may run now.
                with self._lock:
                    left = self._running[key] - 1
                    if left:
                        self._running[key] = left
                    else:
                        del self._running[key]
