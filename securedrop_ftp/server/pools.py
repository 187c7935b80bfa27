"""Thread pools for what may block: bounded, and fair between partners.

A pool keeps one queue per key (the partner) and takes from them in turn; no key may have more
than its cap running at once, so that one partner's slow bucket cannot hold every thread.

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
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

T = TypeVar("T")


class FairPool:
    """``threads`` workers; at most ``per_key`` jobs of one key at once."""

    def __init__(self, name: str, threads: int, per_key: int) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._queues: OrderedDict[str, deque[Callable[[], None]]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._per_key = per_key
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, key: str, job: Callable[[], None]) -> None:
        """Queue a job that reports by itself. Never blocks."""
        with self._lock:
            self._queues.setdefault(key, deque()).append(job)
            self._work.notify()

    def submit(self, key: str, function: Callable[..., T], *args: Any) -> Future[T]:
        """Queue a call; only structlog's bound values travel with it."""
        future: Future[T] = Future()
        bound = structlog.contextvars.get_contextvars()

        def job() -> None:
            try:
                with structlog.contextvars.bound_contextvars(**bound):
                    result = function(*args)
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        self.run(key, job)
        return future

    def close(self, timeout: float) -> None:
        """Run what is queued, then stop; waits ``timeout`` seconds for each thread."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
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

    def _run(self) -> None:
        while True:
            with self._lock:
                while (taken := self._take()) is None:
                    if self._closed and not self._queues:
                        return
                    self._work.wait()
                key, job = taken
            try:
                with renewed_connections():
                    job()
            except Exception:
                logger.exception("pool job failed")
            finally:
                with self._lock:
                    left = self._running[key] - 1
                    if left:
                        self._running[key] = left
                    else:
                        del self._running[key]
                    # One more of this key may run now, whoever waits; at the end all may go.
                    self._work.notify_all() if self._closed else self._work.notify()
