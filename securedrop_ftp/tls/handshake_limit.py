"""A limit on steps back into the handshake, once it is done.

A refused renegotiation (TLS 1.2) and a key update (TLS 1.3) are dealt with inside ``SSL_read``,
which returns only when application data has come or the socket is empty. So a client that sends
nothing else, as fast as it can, holds the loop for as long as it likes, before any login (measured:
6 seconds of small records, in which no other client had an answer).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL

from securedrop_ftp.tls.openssl import set_info

#: Steps back into the handshake before a connection is given up. A key update takes two or three,
#: and clients make one for each 2^24 records (RFC 8446 §5.5), if at all.
MAX_STEPS: Final = 256


def limit_handshakes(context: SSL.Context) -> None:
    """End reading on connections of ``context`` whose peer takes more than :data:`MAX_STEPS`. It
    looks like close_notify then: ask :func:`limit_exceeded` before it is taken for one."""
    set_info(context, _count)


def limit_exceeded(connection: SSL.Connection) -> bool:
    """Whether reading ended because of the limit, and not with the peer's close_notify."""
    steps: _Steps | None = connection.get_app_data()
    return steps is not None and steps.taken > MAX_STEPS


def restart_count(connection: SSL.Connection) -> None:
    """Count from zero: the steps that follow are those that we asked for."""
    connection.set_app_data(_Steps())


def before_next_step(connection: SSL.Connection, act: Callable[[], None]) -> None:
    """Call ``act`` once, before OpenSSL deals with the next alert or handshake message, and so
    before it can answer one. For a connection whose handshake is done."""
    restart_count(connection)
    connection.get_app_data().before_next = act


@dataclass(slots=True)
class _Steps:
    taken: int = 0
    before_next: Callable[[], None] | None = None


def _count(connection: SSL.Connection, where: int, _value: int) -> None:
    steps: _Steps | None = connection.get_app_data()
    if steps is None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            restart_count(connection)
        return
    act, steps.before_next = steps.before_next, None
    if act is not None:
        act()
    steps.taken += 1
    if steps.taken > MAX_STEPS:
        connection.set_shutdown(SSL.RECEIVED_SHUTDOWN)  # SSL_read looks at it with each record
