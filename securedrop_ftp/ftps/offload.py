"""What a verb does while it waits: it parks, and the loop runs on.

Calls that may block go to the worker's pools. All methods are for the greenlet of a verb, on the
loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import greenlet
from django.db import InterfaceError, OperationalError

from securedrop_ftp.exceptions import DatabaseUnavailable, SessionGone
from securedrop_ftp.ftps.client import Account
from securedrop_ftp.ftps.parking import Waiter, settle_from
from securedrop_ftp.ftps.runtime import Runtime

T = TypeVar("T")


class Offload:
    """Of one session.

    Attributes:
        gone: the session has closed; nobody may wait any more.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiter: Waiter[Any] | None = None  # of the verb that is parked
        self._verb: greenlet.greenlet | None = None  # that made it
        self.gone = False

    def wait(self, waiter: Waiter[T]) -> T:
        """Park the verb until ``waiter`` has its answer.

        Raises:
            SessionGone: the session has closed, or closes meanwhile.
        """
        if self.gone:
            raise SessionGone
        self._waiter, self._verb = waiter, greenlet.getcurrent()
        try:
            return waiter.wait()
        finally:
            self._waiter = self._verb = None

    def wake_with_session_gone(self) -> None:
        """A verb that is parked ends; not one that itself has closed the session."""
        waiter = self._waiter
        if waiter is not None and greenlet.getcurrent() is not self._verb:
            waiter.fail(SessionGone())

    def outcome(self, future: Future[T], orphan: Callable[[T], Any] | None = None) -> T:
        """Park until a future is done, and give its result or raise its exception. If the session
        goes first, ``orphan`` gets the result.

        Raises:
            DatabaseUnavailable: the job met a database that does not answer. Every verb that asks
                it, does so here.
        """
        waiter: Waiter[T] = Waiter()
        settle_from(future, waiter, self._runtime.loop.call_soon_threadsafe)
        try:
            return self.wait(waiter)
        except SessionGone:
            if orphan is not None:
                _hand_over(future, orphan)
            raise
        except (OperationalError, InterfaceError) as exc:
            raise DatabaseUnavailable(str(exc).partition("\n")[0]) from exc
        finally:
            del future  # holds the exception, whose traceback has this frame

    def sleep_until(self, moment: float) -> None:
        """Park until a moment of :func:`time.monotonic`."""
        delay = moment - time.monotonic()
        if delay > 0:
            waiter: Waiter[None] = Waiter()
            self._runtime.loop.call_later(delay, waiter.set, None)
            self.wait(waiter)

    def accounts(self, function: Callable[..., T], *args: Any) -> T:
        """Call it in the accounts pool and park until it is done."""
        return cast(T, self.outcome(self._runtime.accounts(function, *args)))

    def storage(
        self,
        account: Account,
        function: Callable[..., T],
        *args: Any,
        orphan: Callable[[T], Any] | None = None,
    ) -> T:
        """Call it in the storage pool, on the share of the account's partner, and park until it is
        done. ``orphan`` gets the result if the session goes first."""
        partner = account.principal.partner
        return cast(T, self.outcome(self._runtime.storage(partner, function, *args), orphan))


def _hand_over(future: Future[T], orphan: Callable[[T], Any]) -> None:
    def done(finished: Future[T]) -> None:
        if finished.exception() is None:
            orphan(finished.result())

    future.add_done_callback(done)
