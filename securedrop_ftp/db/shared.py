"""At most so many database connections for the threads of a process.

A thread of a pool has none of its own. At its first use of the ORM it takes one of those that the
process shares, keeps it while it works with the database, and gives it back when its job ends, and
before whatever may take long without it: storage, a password's hash, the wait for the database
writer. Where all are taken it waits, in the order in which threads came, :data:`PATIENCE` seconds
at most.

What is shared are Django's own connection objects: a job finds one as it was left, so that it costs
no statement to prepare (docs/adr/0016). The database writer and the heartbeat have connections of
their own and never wait here. Django's pool (``OPTIONS["pool"]``), where a project sets it, is left
in charge. SQLite's connections are files: as many as are asked for, shared so that it is known when
no thread is in one (:mod:`.forks`).
"""

from __future__ import annotations

import math
import os
import select
import sys
import threading
import time
from collections import deque
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from securedrop_ftp.db import forks
from securedrop_ftp.log import get_logger
from securedrop_ftp.metrics import metrics

logger = get_logger(__name__)

#: Seconds that a thread waits for a connection.
PATIENCE: Final = 10.0
#: A connection that was used so many seconds ago, and of which nothing came since, lives: a server
#: that ends it says so. After longer silence Django asks it.
FRESH: Final = 5.0
#: Connections of a process that are not shared: the database writer's and the heartbeat's.
RESERVED: Final = 2
#: Seconds for which every thread may hold a connection, all of them at once, before the last to
#: come has waited :data:`PATIENCE`: fewer connections than that are too few (docs/adr/0016).
LEAST_TURN: Final = 1.0


class NoConnectionFree(OperationalError):
    """All database connections of this process were in use for :data:`PATIENCE` seconds. Raise
    SECUREDROP_DATABASE_CONNECTIONS, if PostgreSQL has room, or look what keeps its statements."""


def too_few(threads: int, limit: int) -> tuple[str, str] | None:
    """Whether ``limit`` connections are too few for so many threads of a worker: what is wrong and
    what mends it, a sentence each; ``None``: they suffice."""
    shared = limit - RESERVED
    enough = RESERVED + math.ceil(threads * LEAST_TURN / PATIENCE)
    if limit >= enough:
        return None
    problem = (
        f"A worker has {threads} threads and {shared} database connection{'s' * (shared > 1)} for "
        f"them, beside {RESERVED} of its own (SECUREDROP_DATABASE_CONNECTIONS={limit}): where "
        f"each holds one for more than {PATIENCE * shared / threads:.2f} s, as on a busy database, "
        f"threads wait {PATIENCE:g} s in vain, and logins and uploads are refused."
    )
    mend = (
        f"Set SECUREDROP_DATABASE_CONNECTIONS to {enough} or more, which leaves {LEAST_TURN:g} s, "
        "if PostgreSQL has room (doctor reckons it up); or lower SECUREDROP_STORAGE_THREADS or "
        "SECUREDROP_ACCOUNT_THREADS."
    )
    return problem, mend


class _Waiter:
    """A thread that waits; ``given`` is set under the lock of :class:`SharedConnections`."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.given: _Shared | None = None


class _Shared:
    """A place for a connection, and the connection once there is one."""

    def __init__(self, owner: SharedConnections) -> None:
        self.owner = owner
        self.wrapper: BaseDatabaseWrapper | None = None
        self.used = 0.0  # when it was given back, monotonic

    @property
    def opened(self) -> BaseDatabaseWrapper:
        """The connection."""
        if self.wrapper is None:
            raise RuntimeError("a place without a connection was handed out")
        return self.wrapper


class SharedConnections:
    """``limit`` connections of the default database. Thread-safe."""

    def __init__(self, limit: int, patience: float = PATIENCE) -> None:
        self.limit = limit
        self._patience = patience
        self._closed = False
        self._lock = threading.Lock()
        self._unopened = limit
        self._free: list[_Shared] = []  # the last one was used last
        self._waiting: deque[_Waiter] = deque()

    @property
    def in_use(self) -> int:
        """Connections that threads have taken."""
        return self.limit - self._unopened - len(self._free)

    @property
    def awaited(self) -> int:
        """Threads that wait for one."""
        return len(self._waiting)

    def take(self) -> _Shared:
        """One that lives, or is not opened yet. Raises NoConnectionFree."""
        shared = self._place()
        try:
            if shared.wrapper is None:
                shared.wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
                shared.wrapper.inc_thread_sharing()
            else:
                _look_at(shared.wrapper, time.monotonic() - shared.used)
        except BaseException:
            shared.wrapper = None
            self._back(shared)
            raise
        return shared

    def give_back(self, shared: _Shared) -> None:
        """One that was taken. It is closed where it is too old or not fit for use."""
        try:
            if shared.wrapper is not None:
                shared.wrapper.close_if_unusable_or_obsolete()
        except Exception:
            logger.exception("database.connections_not_renewed")
            shared.wrapper = None
        shared.used = time.monotonic()
        self._back(shared)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close what is free now, and what is given back from now on."""
        self._closed = True
        with self._lock:
            wrappers = [shared.wrapper for shared in self._free if shared.wrapper is not None]
        for wrapper in wrappers:
            wrapper.close()

    def _place(self) -> _Shared:
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._unopened:
                self._unopened -= 1
                return _Shared(self)
            waiter = _Waiter()
            self._waiting.append(waiter)
        waiter.woken.wait(self._patience)
        with self._lock:
            if waiter.given is None:
                self._waiting.remove(waiter)
                raise NoConnectionFree(
                    f"all {self.limit} database connections that this process shares were in use "
                    f"for {self._patience:g} s (SECUREDROP_DATABASE_CONNECTIONS)"
                )
            return waiter.given

    def _back(self, shared: _Shared) -> None:
        with self._lock:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.given = shared
                waiter.woken.set()
            else:
                self._free.append(shared)


def _look_at(wrapper: Any, silent: float) -> None:
    """Spare the question whether a connection lives where the kernel knows."""
    if wrapper.connection is None or wrapper.vendor == "sqlite":
        return
    if _has_something_to_say(wrapper.connection):
        wrapper.close()  # its end, as a rule
    elif silent < FRESH:
        wrapper.health_check_done = True


def _has_something_to_say(connection: Any) -> bool:
    """Whether an idle connection's socket can be read: the server has ended it."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except Exception:  # closed already
        return True


class _Here(threading.local):
    """Of one thread."""

    taken: _Shared | None = None
    alone = False  # it has a connection of its own


class _NotTaken:
    """What the ORM finds where its thread has taken no connection: the first use takes one and puts
    it here. To close it, or to look at it, there is none."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_take(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_take(), name, value)

    @property
    def in_atomic_block(self) -> bool:
        """Not before one is taken."""
        return _here.taken is not None and bool(_take().in_atomic_block)

    def close(self) -> None:
        """Close what was taken."""
        if _here.taken is not None:
            _take().close()

    def close_if_unusable_or_obsolete(self) -> None:
        """Look at what was taken."""
        if _here.taken is not None:
            _take().close_if_unusable_or_obsolete()


_here: Final = _Here()
_NOT_TAKEN: Final[Any] = _NotTaken()
_of_process: SharedConnections | None = None
_inherited: list[_Shared] = []  # neither used nor closed: their sockets are the parent's


def share_connections(limit: int) -> None:
    """From now on threads that begin in :mod:`securedrop_ftp.db.threads` share this process's
    connections: to PostgreSQL at most ``limit``, the two of the database writer and the heartbeat
    among them. Other databases, a pool of Django's and a database in memory are left alone."""
    global _of_process
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.vendor == "sqlite" and not database.is_in_memory_db():
        forks.close_at_forks()
        _of_process = SharedConnections(sys.maxsize)
    elif database.vendor == "postgresql" and not database.settings_dict["OPTIONS"].get("pool"):
        shared = _of_process = SharedConnections(max(1, limit - RESERVED))
        metrics.watch("securedrop_database_connections_in_use", lambda: shared.in_use)
        metrics.watch("securedrop_database_connections_awaited", lambda: shared.awaited)


def stop_sharing() -> None:
    """This process's threads have ended: the connections that they shared are closed."""
    global _of_process
    shared, _of_process = _of_process, None
    if shared is not None:
        shared.close()
        metrics.unwatch("securedrop_database_connections_in_use")
        metrics.unwatch("securedrop_database_connections_awaited")


def keep_own_connection() -> None:
    """This thread never waits for a connection: it has one of its own, for as long as it lives."""
    _here.alone = True


def begin() -> bool:
    """A job begins on this thread; it takes a connection when it uses the ORM. False: threads of
    this process share none, or this one has its own."""
    if _of_process is None or _here.alone:
        return False
    if _here.taken is None and (found := connections[DEFAULT_DB_ALIAS]) is not _NOT_TAKEN:
        found.close()
        connections[DEFAULT_DB_ALIAS] = _NOT_TAKEN
    return True


def release_connection() -> None:
    """Give back what this thread has taken; its next use of the ORM takes one anew. Nothing is
    done within a transaction, and on threads with a connection of their own."""
    taken = _here.taken
    if taken is None or taken.wrapper is None or taken.wrapper.in_atomic_block:
        return
    _let_go(taken)


def end() -> None:
    """The job has ended: nothing stays taken, whatever it left open."""
    release_connection()
    if (taken := _here.taken) is not None:
        _abandon(taken)
        _let_go(taken)


def _abandon(taken: _Shared) -> None:
    """Its transaction was left open: PostgreSQL undoes it at the connection's end."""
    wrapper, taken.wrapper = taken.wrapper, None
    if wrapper is not None and wrapper.connection is not None:
        wrapper.connection.close()


def _take() -> BaseDatabaseWrapper:
    taken = _here.taken
    if taken is None:
        if _of_process is None:
            raise OperationalError("the connections that this process shared are closed")
        with forks.outside_forks():
            taken = _of_process.take()
            forks.gate.enter()
        _here.taken = taken
        connections[DEFAULT_DB_ALIAS] = taken.opened
    return taken.opened


def _let_go(taken: _Shared) -> None:
    _here.taken = None
    connections[DEFAULT_DB_ALIAS] = _NOT_TAKEN
    try:
        taken.owner.give_back(taken)
    finally:
        forks.gate.leave()


def _forget() -> None:
    """In a child: what its thread had was its parent's; it opens a connection of its own."""
    global _of_process
    _of_process = None
    if _here.taken is not None:
        _inherited.append(_here.taken)
    _here.taken, _here.alone = None, False
    if connections[DEFAULT_DB_ALIAS] is _NOT_TAKEN:
        del connections[DEFAULT_DB_ALIAS]


os.register_at_fork(after_in_child=_forget)
