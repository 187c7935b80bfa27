"""Verbs run in greenlets and park there while they wait; the loop runs on.

A verb is plain sequential code. Where it must wait (a database, storage, a data channel) it makes
a :class:`Waiter`, hands its ``set`` or ``fail`` to whoever will know, and calls
:meth:`Waiter.wait`, which switches back to the loop until the answer is there. If the session
closes meanwhile, :class:`~securedrop_ftp.exceptions.SessionGone` is raised at that point.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

import greenlet

T = TypeVar("T")


class Waiter(Generic[T]):
    """One answer, awaited by the greenlet that made it. All methods are for the loop's thread."""

    __slots__ = ("_done", "_error", "_greenlet", "_parked", "_value")

    def __init__(self) -> None:
        self._greenlet = greenlet.getcurrent()
        self._done = False
        self._parked = False
        self._value: T | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self._done

    def set(self, value: T) -> None:
        """Give the answer; a second answer is ignored."""
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        """Give an exception instead."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self._done:
            return
        self._done, self._value, self._error = True, value, error
        if self._parked:
            if greenlet.getcurrent() is not self._greenlet.parent:
                raise RuntimeError("a verb may only be woken by the loop")
            self._greenlet.switch()

    def wait(self) -> T:
        """Park until the answer is there."""
        if not self._done:
            hub = self._greenlet.parent
            if hub is None:
                raise RuntimeError("only a verb's greenlet may wait")
            self._parked = True
            try:
                hub.switch()
            finally:
                self._parked = False
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame, and all that this frame holds
        return cast(T, self._value)


def settle_from(future: Future[Any], waiter: Waiter[Any], soon: Callable[..., None]) -> None:
    """Settle ``waiter`` with the outcome of ``future``; ``soon`` brings a call to the loop."""

    def done(finished: Future[Any]) -> None:
        error = finished.exception()
        if error is not None:
            soon(waiter.fail, error)
        else:
            soon(waiter.set, finished.result())

    future.add_done_callback(done)
