"""Peers that go back to the handshake when it is over.

A refused renegotiation (TLS 1.2) and a key update (TLS 1.3) are dealt with inside ``SSL_read``,
which returns only when application data has come or the socket is empty. A client that sent nothing
else, as fast as it could, held the whole loop for as long as it liked, before any login (seen: 6
seconds of small records, in which no other client had an answer).
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL

from securedrop_ftp.tls.callbacks import set_info

#: Steps back into the handshake before a connection is given up. A key update takes two or three,
#: and clients make one for each 2^24 records (RFC 8446 §5.5), if at all.
MAX_STEPS: Final = 256


def limit_handshakes(context: SSL.Context) -> None:
    """Have reading end for connections of ``context`` whose peer goes on and on. To OpenSSL that
    looks like close_notify: ask :func:`went_on` before it is taken for one."""
    set_info(context, _count)


def went_on(connection: SSL.Connection) -> bool:
    """Whether reading ended because of this limit and not with the peer's close_notify."""
    steps = connection.get_app_data()
    return steps is not None and steps > MAX_STEPS


def _count(connection: SSL.Connection, where: int, _value: int) -> None:
    steps = connection.get_app_data()
    if steps is None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            connection.set_app_data(0)
        return
    connection.set_app_data(steps + 1)
    if steps >= MAX_STEPS:
        connection.set_shutdown(SSL.RECEIVED_SHUTDOWN)  # SSL_read looks at it with each record
