"""Where a signal's handler must not wait for the thread that it interrupted.

Python runs a handler on the main thread, between two steps of whatever runs there. Where that holds
a lock of the engine, the handler cannot have the lock, and neither can any thread that the handler
waits for. Calls into the engine therefore say that they are under way, but for the time that they
only wait, without a lock; :meth:`~securedrop_ftp.engine.engine.Engine.close` asks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")


class _Here(threading.local):
    """Of one thread."""

    calls = 0  # into the engine that are under way, and do not only wait


_here: Final = _Here()


def in_engine() -> bool:
    """Whether this thread is in a call that may hold a lock: a handler has interrupted it."""
    return _here.calls > 0


@contextmanager
def engine_call() -> Iterator[None]:
    """Around what may hold a lock of the engine, or of what it uses."""
    _here.calls += 1
    try:
        yield
    finally:
        _here.calls -= 1


@contextmanager
def _waiting() -> Iterator[None]:
    calls, _here.calls = _here.calls, 0
    try:
        yield
    finally:
        _here.calls = calls


def await_result(future: Future[T]) -> T:
    """As :meth:`Future.result`, without its lock while it waits. Called within
    :func:`engine_call`."""
    done: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future.add_done_callback(done.put)
    with _waiting():
        done.get()
    return future.result()


class Wakings:
    """As an event that is waited for by one thread, without a lock."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Wake who waits, or who waits next. From any thread."""
        self._told.put(None)

    def clear(self) -> None:
        """Forget what came before."""
        try:
            while True:
                self._told.get_nowait()
        except queue.Empty:
            pass

    def wait(self, seconds: float) -> bool:
        """Whether it was set within so many seconds. Called within :func:`engine_call`."""
        try:
            with _waiting():
                self._told.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
