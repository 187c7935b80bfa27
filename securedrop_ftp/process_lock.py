"""A lock among processes that were forked from one, which the kernel releases when one dies."""

from __future__ import annotations

import errno
import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class ProcessLock:
    """A POSIX record lock on a descriptor that the processes share, and inside each a lock of
    threads: a record lock knows none. Whoever holds one may not ask for another.

    The kernel looks for deadlocks by process (fcntl(2), *EDEADLK*). Where one thread holds a lock
    that another process waits for, and a second thread waits for one that that process holds, it
    sees a circle where none is: a refused lock is asked for again.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._threads = threading.Lock()

    def forget(self) -> None:
        """In a child: what threads of its parent held at the fork nobody would release here."""
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, and hold it while the block runs."""
        with self._threads:
            self._lock()
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _lock(self) -> None:
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX)
            except OSError as exc:
                if exc.errno != errno.EDEADLK:
                    raise
                time.sleep(0)  # the other one holds it for microseconds
            else:
                return
