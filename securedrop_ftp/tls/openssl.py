"""OpenSSL below pyOpenSSL's surface: what the resumption of sessions and the handshakes of data
channels need, and what has no public name.

Names behind ``SSL._lib`` are pyOpenSSL's private ones. They have been the same for years, and
nothing promises that they stay: :mod:`.self_test` tries everything here before anything is served.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import Any, Final

from OpenSSL import SSL

# Without them this still loads, so that the self-test can say what is the matter.
_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)

#: The length of our session id contexts, bytes; OpenSSL takes up to 32.
SID: Final = 16
#: RFC 8446 §6.2: "when access control was applied, the sender decided not to proceed". Of all
#: alerts it is the one that tells a person what is the matter.
ACCESS_DENIED: Final = 49
#: That alert, fatal, as the first record of a server (its version: RFC 8446 §5.1).
ACCESS_DENIED_RECORD: Final = bytes((21, 3, 3, 0, 2, 2, ACCESS_DENIED))


def new_sid() -> bytes:
    """A session id context for one control connection."""
    return os.urandom(SID)


def on_server_name(context: SSL.Context) -> None:
    """Have handshakes of a context without a certificate speak TLS 1.3, and end early in
    :func:`resuming`.

    OpenSSL speaks TLS 1.3 without a certificate only where this callback might bring one. It calls
    it for each ClientHello, with a server name in it or without, when it knows whether that resumes
    a session, and before anything is computed for it.
    """
    made: Any = context
    _lib.SSL_CTX_set_tlsext_servername_callback(made._context, _server_name_callback())


@cache
def _server_name_callback() -> Any:
    def heard(tls: Any, alert: Any, _argument: Any) -> int:
        global _resumes
        _resumes = bool(_lib.SSL_session_reused(tls))
        if _resumes or not _only_resuming:
            return int(_lib.SSL_TLSEXT_ERR_NOACK)  # as if there were no callback
        alert[0] = ACCESS_DENIED
        return int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)

    return _ffi.callback("int (*)(SSL *, int *, void *)", heard, error=2)


#: A handshake that resumes nothing ends here. (Of TLS objects one thread of a process takes care.)
_only_resuming = False
#: What the last ClientHello would do. OpenSSL forgets it where it asks for another key share.
_resumes = False


def accept_under(
    page: SSL.Context,
    sid: bytes,
    certified: SSL.Context | None,
    sock: Any,
    *,
    tls13: bool,
    lifetime: int = 0,
) -> SSL.Connection:
    """The server side of a connection that has the ticket keys, session cache and options of
    ``page``, a session id context of its own, and the certificate of ``certified`` (none: it can
    resume a session and nothing else). ``lifetime`` is that of its session, seconds.

    ``SSL_new`` copies the session id context. ``SSL_set_SSL_CTX`` then changes the certificate, and
    keeps a session id context that is not its context's own: that is why ``page`` has none.
    """
    raw: Any = page
    _set_sid(raw._context, sid)
    try:
        if lifetime:
            _lib.SSL_CTX_set_timeout(raw._context, lifetime)
        made: Any = SSL.Connection(page, sock)
    finally:
        _set_sid(raw._context, b"")
    if not tls13:
        _lib.SSL_set_options(made._ssl, SSL.OP_NO_TLSv1_3)
    if certified is not None:
        made.set_context(certified)
        # SSL_new has copied who is asked for a certificate from ``page``, too.
        _lib.SSL_set_verify(made._ssl, certified.get_verify_mode(), raw._verify_callback)
    made.set_accept_state()
    connection: SSL.Connection = made
    return connection


def _set_sid(context: Any, sid: bytes) -> None:
    # pyOpenSSL refuses it on a context that has made connections.
    if _lib.SSL_CTX_set_session_id_context(context, sid, len(sid)) != 1:
        raise ValueError(f"OpenSSL takes no session id context of {len(sid)} bytes")


class HandshakeFailed(Exception):
    """The peer cannot or does not want to. ``alert`` is what is to be sent last."""

    def __init__(self, error: BaseException, alert: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.alert = alert


def resuming(page: SSL.Context, sid: bytes, hello: bytes, *, tls13: bool) -> SSL.Connection | None:
    """The server side of a connection that begins with the records ``hello`` and resumes a session
    that was made under ``page`` and ``sid``: it has taken them, and its answer is in its memory.
    ``None`` where it would resume none: nothing was computed but a ticket's MAC, 20 µs. That the
    peer has the session's secret is proved by the rest of the handshake.

    Raises:
        HandshakeFailed: it resumes one, and fails all the same.
    """
    global _only_resuming, _resumes
    made = accept_under(page, sid, None, None, tls13=tls13)
    made.bio_write(hello)
    _only_resuming, _resumes = True, False
    try:
        made.do_handshake()
    except SSL.WantReadError:
        pass
    except Exception as exc:
        # Where it resumes nothing, a callback's own (another protocol's ALPN) is met again by the
        # handshake that follows.
        if _resumes:
            raise HandshakeFailed(exc, taken_out(made)) from exc
        return None
    finally:
        _only_resuming = False
    return made if _resumes else None


def session_reused(connection: SSL.Connection) -> bool:
    """Whether the handshake resumed a session that was made under the connection's own session id
    context."""
    made: Any = connection
    return bool(_lib.SSL_session_reused(made._ssl))


# --- a handshake in memory, and what comes after it ------------------------------------------


def attach(connection: SSL.Connection, sock: socket.socket) -> None:
    """Have a connection that was made without a socket go on with ``sock``. OpenSSL frees its two
    memory buffers, so nothing may be left in them."""
    made: Any = connection
    if _lib.SSL_set_fd(made._ssl, sock.fileno()) != 1:
        _lib.ERR_clear_error()
        raise OSError("OpenSSL does not take the socket")
    made._socket, made._into_ssl, made._from_ssl = sock, None, None


def fatal_alert(connection: SSL.Connection) -> bytes:
    """The bytes of a fatal alert on a connection whose handshake is done; nothing can be sent or
    read on it afterwards. OpenSSL has no call for it: it writes one when a record is broken."""
    made: Any = connection
    memory = [_lib.BIO_new(_lib.BIO_s_mem()) for _ in "io"]
    _lib.SSL_set_bio(made._ssl, *memory)
    made._socket, (made._into_ssl, made._from_ssl) = None, memory
    connection.bio_write(b"\x17\x03\x03\x00\x20" + bytes(32))
    try:
        connection.recv(1)
    except SSL.Error:
        pass
    return taken_out(connection)


def ask_for_tickets(connection: SSL.Connection) -> bool:
    """Have OpenSSL send two more session tickets: it does so after post-handshake authentication
    (RFC 8446 §4.6.2), whether the client then shows a certificate or, as most, none. The request
    goes out now, the tickets once the client has answered.

    ``False`` where the client does not offer it or has not answered the last one.
    """
    made: Any = connection
    if _lib.SSL_verify_client_post_handshake(made._ssl) != 1:
        _lib.ERR_clear_error()
        return False
    try:
        connection.do_handshake()
    except (SSL.Error, OSError):
        pass  # whatever it is, the next read or write meets it
    return True


def taken_out(connection: SSL.Connection) -> bytes:
    """All that a connection without a socket has to say."""
    try:
        return connection.bio_read(1 << 20)
    except SSL.WantReadError:
        return b""
