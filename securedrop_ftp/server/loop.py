"""The event loop of one worker: pyftpdlib's epoll loop with a way in from other threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pyftpdlib.ioloop import Epoll

from securedrop_ftp.log import get_logger

logger = get_logger(__name__)


class _WakeUp:
    """An eventfd that interrupts the poll; speaks the interface that the loop expects."""

    def __init__(self, loop: Loop) -> None:
        self._fileno = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._armed = False
        self._lock = threading.Lock()
        loop.register(self._fileno, self, loop.READ)

    def wake(self) -> None:
        """From any thread; many calls before the loop looks make one event."""
        with self._lock:
            if self._armed:
                return
            self._armed = True
        os.eventfd_write(self._fileno, 1)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        # Emptied before it is disarmed: the other way round, a wake-up between the two was emptied
        # with the first and left it armed, and every one after it was lost (each answer of a pool
        # came with the next second's tick, for as long as the worker lived; seen). Who calls
        # between these two has queued before, and what is queued runs after this.
        try:
            os.eventfd_read(self._fileno)
        except BlockingIOError:
            pass
        with self._lock:
            self._armed = False

    def handle_close(self) -> None:
        pass

    def handle_error(self) -> None:
        logger.exception("loop.wake_up_failed")

    def close(self) -> None:
        os.close(self._fileno)


class Loop(Epoll):  # type: ignore[misc]  # pyftpdlib has no type hints
    """One per worker, made after the fork, used on one thread; only :meth:`call_soon_threadsafe`
    may be called from others."""

    def __init__(self) -> None:
        super().__init__()
        self._soon: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._stopped = False
        self._wake_up = _WakeUp(self)

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it after this round of events (loop's thread)."""
        self._soon.append((function, args))

    def call_soon_threadsafe(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it on the loop's thread, soon."""
        self._soon.append((function, args))
        self._wake_up.wake()

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back on each round in which the descriptor is readable, or was hung up."""
        self.register(fd, _Watch(self, fd, callback), self.READ)

    def stop(self) -> None:
        """Leave :meth:`run` after this round."""
        self._stopped = True
        self._wake_up.wake()

    def run(self) -> None:
        """Serve until :meth:`stop`. The loop never ends because its map is empty (row 7)."""
        timeout: float | None = None
        while not self._stopped:
            self.poll(0 if self._soon else timeout)
            self._call_what_waits()
            # Last: callbacks make timers, and the next poll must not sleep past them (a reply that
            # was due in 50 ms came after the next second's tick, seen).
            timeout = self.sched.poll()

    def _call_what_waits(self) -> None:
        # In a frame of its own: the frame of `run` would hold the last callback and its arguments
        # until the next one, and with them a session that has closed.
        #
        # Only what is queued now: a callback that queues another must not starve the sockets.
        for _ in range(len(self._soon)):
            function, args = self._soon.popleft()
            try:
                function(*args)
            except Exception:
                logger.exception("loop.callback_failed", callback=repr(function))


class _Watch:
    """A descriptor that is only looked at; speaks the interface that the loop expects."""

    def __init__(self, loop: Loop, fd: int, callback: Callable[[], None]) -> None:
        self._loop, self._fileno, self._callback = loop, fd, callback

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self._callback()

    def handle_close(self) -> None:
        self._loop.unregister(self._fileno)
        self._callback()

    def handle_error(self) -> None:
        logger.exception("loop.watch_failed")

    def close(self) -> None:
        pass
