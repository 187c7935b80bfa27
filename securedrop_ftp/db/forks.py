"""No thread of this service is within SQLite while its process forks.

SQLite keeps its mutexes and its locks on files by process. A child would find a mutex that a thread
of its parent held at the fork, and wait for it for ever (in SQLite's malloc, seen), and would
believe in file locks that are its parent's alone (sqlite.org/howtocorrupt, section 2.6). Therefore
a fork waits until the threads that begin in :mod:`.threads` are out of SQLite, keeps them out, and
closes their connections and those of the thread that forks; the parent opens them anew at their
next use. What a project's own threads do with SQLite is not known here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

from django.db import connections
from django.db.backends.signals import connection_created

from securedrop_ftp.db.sqlite_turn import forget_turn, hold_turn, let_turn_go
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: Seconds that a fork waits for the threads that are within SQLite. It happens all the same then:
#: a parent that hangs would be worse than a child that may.
PATIENCE: Final = 10.0


class Gate:
    """Where a thread passes on its way to the database and back, and which a fork keeps shut."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._shut = 0
        self._here = threading.local()

    @property
    def passed(self) -> bool:
        """Whether this thread is inside."""
        return bool(getattr(self._here, "depth", 0))

    def enter(self) -> None:
        """Wait while it is shut, and be inside; again within itself."""
        if not self.passed:
            with self._changed:
                if self._shut:  # hardly ever: this is passed ten times for each file
                    self._changed.wait_for(lambda: not self._shut)
                self._inside += 1
        self._here.depth = getattr(self._here, "depth", 0) + 1

    def leave(self) -> None:
        """Undo one :meth:`enter` of this thread; who waits in :meth:`shut` looks again."""
        self._here.depth -= 1
        if not self._here.depth:
            with self._changed:
                self._inside -= 1
                if self._shut:
                    self._changed.notify_all()

    def shut(self, patience: float) -> bool:
        """Let nobody in, and wait until all but this thread are out; whether they are."""
        with self._changed:
            self._shut += 1
            return self._changed.wait_for(lambda: self._inside <= self.passed, patience)

    def open(self) -> None:
        """Undo one :meth:`shut`, and let in who waited."""
        with self._changed:
            self._shut -= 1
            self._changed.notify_all()


gate = Gate()
_opened: WeakSet[Any] = WeakSet()  # SQLite connections of threads that pass the gate
_closing = False


@contextmanager
def outside_forks() -> Iterator[None]:
    """This process does not fork while the block runs; one that begins amid a fork waits for its
    end."""
    passed = gate
    passed.enter()
    try:
        yield
    finally:
        passed.leave()


def close_at_forks() -> None:
    """From now on a fork of this process closes its SQLite connections that are in no transaction.
    A database in memory would be lost with its connection, and is spared."""
    global _closing
    _closing = True
    connection_created.connect(_remember, dispatch_uid="securedrop_ftp.db.forks")


def _remember(*, connection: Any, **_: Any) -> None:
    if gate.passed and _is_sqlite_file(connection):
        _opened.add(connection)


def _is_sqlite_file(wrapper: Any) -> bool:
    # Of the type: what stands in for a connection that is not taken (.shared) is not asked.
    return getattr(type(wrapper), "vendor", "") == "sqlite" and not wrapper.is_in_memory_db()


def _before() -> None:
    if _closing and not gate.shut(PATIENCE):
        logger.error("database.fork_beside_sqlite", waited=PATIENCE)
    elif _closing:
        ours = filter(_is_sqlite_file, connections.all(initialized_only=True))
        for wrapper in {*ours, *_opened}:
            _close(wrapper)
    hold_turn()


def _close(wrapper: Any) -> None:
    """Its thread finds none at its next use, and opens another."""
    if wrapper.connection is not None and not wrapper.in_atomic_block:
        raw, wrapper.connection = wrapper.connection, None
        raw.close()


def _in_parent() -> None:
    let_turn_go()
    if _closing:
        gate.open()


def _in_child() -> None:
    global gate, _opened, _closing
    gate, _opened, _closing = Gate(), WeakSet(), False
    forget_turn()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
