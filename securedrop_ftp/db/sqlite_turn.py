"""Whose turn it is to write to SQLite, among the threads and the processes of one machine.

SQLite has one writer at a time, and its own waiters poll: they sleep up to 100 ms and come in no
order. Here a process's threads take turns on a lock, and processes on a ``flock`` of a file beside
the database: the kernel wakes the next one at once, and lets go when a process dies. Whoever does
not know of the turn (another program, a read-only account) meets SQLite's own lock, which stays
what decides.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SUFFIX: Final = "-turn"
_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class _Turns:
    """This process's part: one lock, and one descriptor for each database."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.files: dict[str, int] = {}


_turns = _Turns()


def hold_turn() -> None:
    """Keep all other threads from writing: for a fork (:mod:`.forks`)."""
    _turns.lock.acquire()


def let_turn_go() -> None:
    """Let other threads write again that :func:`hold_turn` kept waiting."""
    _turns.lock.release()


def forget_turn() -> None:
    """For a forked child: a flock is shared with whoever has its parent's descriptor."""
    global _turns
    inherited, _turns = _turns.files, _Turns()
    for fd in inherited.values():
        if fd >= 0:
            os.close(fd)


@contextmanager
def sqlite_turn(database: str) -> Iterator[None]:
    """Wait for the turn, and have it while the block runs. Not for the event loop, and not within
    itself.

    Args:
        database: path of the file; a database in memory has this process alone.
    """
    turns = _turns
    with turns.lock:
        fd = _file(turns, database)
        if fd < 0:
            yield
            return
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)


def _file(turns: _Turns, database: str) -> int:
    fd = turns.files.get(database)
    if fd is None:
        fd = turns.files[database] = _opened(database)
    return fd


def _opened(database: str) -> int:
    if not Path(database).is_absolute():  # :memory:, file:…?mode=memory
        return -1
    try:
        return os.open(database + SUFFIX, _OPEN, 0o600)
    except OSError:
        return -1  # not ours to write: SQLite's own lock decides
