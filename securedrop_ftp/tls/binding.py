"""Was this data channel opened by the owner of the control channel?

TLS answers it: a connection that resumed the session of *this* control connection was made by
whoever holds its master secret. pyOpenSSL does not offer ``SSL_session_reused``; this reaches below
its surface.
"""

from __future__ import annotations

from OpenSSL import SSL


def session_reused(connection: SSL.Connection) -> bool:
    """Whether the finished handshake resumed a session of the connection's own context."""
    return bool(SSL._lib.SSL_session_reused(connection._ssl))  # type: ignore[attr-defined]  # no public name
