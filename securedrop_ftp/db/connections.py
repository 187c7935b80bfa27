"""The connections of a thread: looked at before and after each job, and bounded in what they wait
for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import close_old_connections, connection
from django.db.backends.signals import connection_created

from securedrop_ftp.db import shared
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)


def renew_connections() -> None:
    """:func:`django.db.close_old_connections`, unless a transaction is open: there it would close
    the connection under its caller's feet. A connection of those that the process shares is given
    back (:mod:`.shared`)."""
    if not connection.in_atomic_block:
        shared.release_connection()
        close_old_connections()


@contextmanager
def renewed_connections() -> Iterator[None]:
    """Look at this thread's connections before and after a job of a pool: one that was lost, or is
    too old, is closed, and the ORM opens another at its next use. Never fails: the job runs."""
    if not shared.begin():
        _renew()
    try:
        yield
    finally:
        _renew()
        shared.end()


def _renew() -> None:
    try:
        renew_connections()
    except Exception:
        logger.exception("database.connections_not_renewed")


def check_connections() -> None:
    """From now on every connection of this process is asked whether it lives, at its first use
    after each :func:`renew_connections`, also where ``DATABASES`` has no ``CONN_HEALTH_CHECKS``.
    For workers: whoever keeps a connection for long finds it closed one day (PostgreSQL restarted,
    a failover, a firewall's timeout), and nobody's upload should be what finds out."""
    connection_created.connect(_check, dispatch_uid="securedrop_ftp.db.check")


def _check(*, connection: Any, **_: Any) -> None:
    connection.health_check_enabled = True


#: What a thread of ours lets PostgreSQL take. Keepalives bound a silent server; these bound a
#: statement that waits for another session's lock, and our own transaction in a process that was
#: stopped in its midst and holds locks that others wait for.
LIMITS: Final = {"statement_timeout": "20s", "idle_in_transaction_session_timeout": "60s"}


def limit_statements() -> None:
    """Set :data:`LIMITS` on every PostgreSQL connection that a thread of ours opens from now on,
    where the URL's ``options`` do not say otherwise. For engines, in whatever process they run: a
    foreign project's request threads, and commands (a migration of a large table, an export into a
    slow pipe), may take as long as they need."""
    connection_created.connect(_limit, dispatch_uid="securedrop_ftp.db.limits")


def this_thread_is_limited() -> None:
    """The calling thread is one of ours (:mod:`.threads`): see :func:`limit_statements`."""
    _here.limited = True


class _Here(threading.local):
    """Of one thread."""

    limited = False


_here: Final = _Here()
#: Of Django's pool, where a project has one: these go from thread to thread.
_limited: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def _limit(*, connection: Any, **_: Any) -> None:
    if connection.vendor != "postgresql":
        return
    options = connection.settings_dict["OPTIONS"]
    given = str(options.get("options", ""))
    limits = {name: value for name, value in LIMITS.items() if name not in given}
    if _here.limited and limits:
        calls = ", ".join("set_config(%s, %s, false)" for _ in limits)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", [text for pair in limits.items() for text in pair])
        if options.get("pool"):
            _limited.add(connection.connection)
    elif options.get("pool") and connection.connection in _limited:
        _limited.discard(connection.connection)
        with connection.cursor() as cursor:
            for name in limits:
                cursor.execute(f"RESET {name}")
