"""The engine of this process: made at its first use, closed at its exit, forgotten in a fork."""

from __future__ import annotations

import atexit
import os
import threading
from multiprocessing.util import Finalize
from typing import Any

from django.db import connections

from securedrop_ftp.conf import get_conf
from securedrop_ftp.engine.engine import Engine
from securedrop_ftp.engine.identity import Identity, of_process

_lock = threading.RLock()  # a signal's handler may ask for what is being made
_current: Engine | None = None
_exiting = False
_inherited: list[Any] = []  # never used, and not closed either: their sockets are the parent's


def current() -> Engine:
    """This process's engine. It starts with the first use of one of its parts; one that was closed
    is followed by a new one, but not at the process's exit."""
    engine = _current
    if engine is not None and not engine.closed:
        return engine
    with _lock:
        if _current is None or (_current.closed and not _exiting):
            return _install(of_process(get_conf()))
        return _current


def install(identity: Identity) -> Engine:
    """Give this process its engine under a name that somebody else has chosen: for the workers of
    a supervisor.

    Raises:
        RuntimeError: it has one already.
    """
    with _lock:
        if _current is not None and not _current.closed:
            raise RuntimeError("this process has an engine already")
        return _install(identity)


def _install(identity: Identity) -> Engine:
    global _current
    if _current is None:
        atexit.register(_close_at_exit)
        # Children of multiprocessing end without atexit, and run these.
        Finalize(None, _close_at_exit, exitpriority=100)
    _current = Engine(identity, get_conf())
    return _current


def _close_at_exit() -> None:
    global _exiting
    _exiting = True
    if _current is not None:
        _current.close()


def _after_fork() -> None:
    """Of the parent's engine nothing is touched: its threads are not here, its locks may be held,
    and its connections and its boot are its own."""
    global _current, _lock, _exiting
    _lock, _exiting = threading.RLock(), False
    if _current is None:
        return
    _current = None
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection.connection)
        connection.connection = None


os.register_at_fork(after_in_child=_after_fork)
