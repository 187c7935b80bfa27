"""OpenSSL below pyOpenSSL's surface: the only file that touches private parts of pyOpenSSL.

Contexts, sessions and handshakes of data channels, and records in bulk need functions of OpenSSL
that pyOpenSSL has under private names only (``SSL._lib``, ``Connection._ssl`` and so on). They have
been the same for years, and nothing promises that they stay: pyproject.toml has a ceiling for
pyOpenSSL, and :mod:`.self_test` tries everything here before anything is served.

TLS objects are used by one thread of a process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
#: Not in a handshake of TLS 1.3, but later, when we ask (SSL_CTX_set_verify(3)).
VERIFY_POST_HANDSHAKE: Final[int] = getattr(_lib, "SSL_VERIFY_POST_HANDSHAKE", 0)
_FIN: Final[int] = getattr(_lib, "SSL_R_UNEXPECTED_EOF_WHILE_READING", 0)


# --- contexts --------------------------------------------------------------------------------

# pyOpenSSL makes a C callback for each context. It refers to itself, so it outlives its context
# until the garbage collector's next full run: 1.5 KiB a connection, a gigabyte after a million
# connections (measured). There is a context for each control connection here, and all have the
# same callbacks: so each is made once.


def limit_groups(context: SSL.Context, groups: bytes) -> None:
    """Let handshakes agree their key in ``groups`` (OpenSSL's names, preferred first, colons
    between) and no others. (pyOpenSSL's ``set_tmp_ecdh`` takes one curve, and TLS 1.3 none.)

    Raises:
        ValueError: OpenSSL does not know one of them.
    """
    if _lib.SSL_CTX_set1_curves_list(_raw_context(context), groups) != 1:
        _lib.ERR_clear_error()
        raise ValueError(f"OpenSSL does not know all of the groups {groups.decode()}")


def set_alpn_selection(
    context: SSL.Context, select: Callable[[SSL.Connection, list[bytes]], bytes]
) -> None:
    """:meth:`OpenSSL.SSL.Context.set_alpn_select_callback`, for a function of a module."""
    made: Any = context
    made._alpn_select_helper = _helper("_ALPNSelectHelper", select)
    made._alpn_select_callback = made._alpn_select_helper.callback
    _lib.SSL_CTX_set_alpn_select_cb(_raw_context(context), made._alpn_select_callback, _ffi.NULL)


def set_verification(context: SSL.Context, mode: int, verify: Callable[..., bool]) -> None:
    """:meth:`OpenSSL.SSL.Context.set_verify`, for a function of a module."""
    made: Any = context
    made._verify_helper = _helper("_VerifyHelper", verify)
    made._verify_callback = made._verify_helper.callback
    _lib.SSL_CTX_set_verify(_raw_context(context), mode, made._verify_callback)


def set_info(context: SSL.Context, notice: Callable[[SSL.Connection, int, int], None]) -> None:
    """:meth:`OpenSSL.SSL.Context.set_info_callback`, for a function of a module."""
    made: Any = context
    made._info_callback = _info_callback(notice)
    _lib.SSL_CTX_set_info_callback(_raw_context(context), made._info_callback)


@cache
def _helper(kind: str, function: Callable[..., Any]) -> Any:
    return getattr(SSL, kind)(function)


@cache
def _info_callback(notice: Callable[..., None]) -> Any:
    model: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
    model.set_info_callback(notice)
    return model._info_callback


def _raw_context(context: Any) -> Any:
    return context._context


def _raw(connection: Any) -> Any:
    return connection._ssl


def on_server_name(context: SSL.Context) -> None:
    """Have handshakes of a context without a certificate speak TLS 1.3, and end early in
    :func:`resuming`.

    OpenSSL speaks TLS 1.3 without a certificate only where this callback might bring one. It calls
    it for each ClientHello, with a server name in it or without, when it knows whether that resumes
    a session, and before anything is computed for it.
    """
    _lib.SSL_CTX_set_tlsext_servername_callback(_raw_context(context), _server_name_callback())


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


#: Whether a handshake that resumes nothing is ended (:func:`resuming`).
_only_resuming = False
#: What the last ClientHello would do. OpenSSL forgets it where it asks for another key share.
_resumes = False


# --- sessions --------------------------------------------------------------------------------


def new_sid() -> bytes:
    """A session id context for one control connection."""
    return os.urandom(SID)


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
    made: Any = page
    raw = _raw_context(page)
    _set_sid(raw, sid)
    try:
        if lifetime:
            _lib.SSL_CTX_set_timeout(raw, lifetime)
        connection = SSL.Connection(page, sock)
    finally:
        _set_sid(raw, b"")
    if not tls13:
        _lib.SSL_set_options(_raw(connection), SSL.OP_NO_TLSv1_3)
    if certified is not None:
        connection.set_context(certified)
        # SSL_new has copied who is asked for a certificate from ``page``, too.
        mode = certified.get_verify_mode()
        _lib.SSL_set_verify(_raw(connection), mode, made._verify_callback)
    connection.set_accept_state()
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
    return bool(_lib.SSL_session_reused(_raw(connection)))


def exported_session(connection: SSL.Connection) -> bytes:
    """The session, its secret included, as OpenSSL's DER; ``b""`` where there is none. Of a
    connection that resumed one it is the first connection's."""
    session = _lib.SSL_get1_session(_raw(connection))
    if session == _ffi.NULL:
        return b""
    try:
        size = _lib.i2d_SSL_SESSION(session, _ffi.NULL)
        if size <= 0:
            return b""
        buffer = _ffi.new("unsigned char[]", size)
        _lib.i2d_SSL_SESSION(session, _ffi.new("unsigned char **", buffer))
        return bytes(_ffi.buffer(buffer, size))
    finally:
        _lib.SSL_SESSION_free(session)


@contextmanager
def imported_session(der: bytes) -> Iterator[Any]:
    """The session in ``der``, for :func:`use_session`, while the block runs; ``None`` where it is
    no session."""
    encoded = _ffi.from_buffer("unsigned char[]", der)  # the pointer to it keeps nothing alive
    session = _lib.d2i_SSL_SESSION(_ffi.NULL, _ffi.new("const unsigned char **", encoded), len(der))
    if session == _ffi.NULL:
        _lib.ERR_clear_error()
        yield None
        return
    try:
        yield session
    finally:
        _lib.SSL_SESSION_free(session)


def use_session(connection: SSL.Connection, session: Any) -> None:
    """Give a connection that shakes hands now the session of :func:`imported_session`."""
    _lib.SSL_set_session(_raw(connection), session)


# --- a handshake in memory, and what comes after it ------------------------------------------


def attach(connection: SSL.Connection, sock: socket.socket) -> None:
    """Have a connection that was made without a socket go on with ``sock``. OpenSSL frees its two
    memory buffers, so nothing may be left in them."""
    made: Any = connection
    if _lib.SSL_set_fd(_raw(connection), sock.fileno()) != 1:
        _lib.ERR_clear_error()
        raise OSError("OpenSSL does not take the socket")
    made._socket, made._into_ssl, made._from_ssl = sock, None, None


def fatal_alert(connection: SSL.Connection) -> bytes:
    """The bytes of a fatal alert on a connection whose handshake is done; nothing can be sent or
    read on it afterwards. OpenSSL has no call for it: it writes one when a record is broken."""
    made: Any = connection
    memory = [_lib.BIO_new(_lib.BIO_s_mem()) for _ in "io"]
    _lib.SSL_set_bio(_raw(connection), *memory)
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
    if _lib.SSL_verify_client_post_handshake(_raw(connection)) != 1:
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


# --- many records in one call ----------------------------------------------------------------

# pyOpenSSL's ``recv_into`` reads one record (16 KiB) into a buffer of its own and copies it, and
# its ``send`` writes one. Here ``SSL_read`` decrypts straight into the caller's memory, again and
# again until that is full or the socket is empty, and ``SSL_write`` writes until the socket takes
# no more.
#
# What is returned as an error has no traceback: its frames would lead to the caller's, which holds
# the error, and that cycle would keep the buffer until the garbage collector comes.


class Fin(SSL.SysCallError):
    """The peer's FIN where a record was awaited, and no close_notify before it. Never RST: OpenSSL
    has a reason of its own for a read that gave nothing (pyOpenSSL raises the same for that and for
    errors without a number)."""


def read_into(connection: SSL.Connection, into: memoryview) -> tuple[int, Exception | None]:
    """Decrypt into ``into``, which is writable and not empty.

    Returns how many bytes came, and why it was left before ``into`` was full: what pyOpenSSL would
    have raised (:class:`OpenSSL.SSL.WantReadError`, ``ZeroReturnError``, …). Both may be there: the
    bytes came first.
    """
    tls = connection._ssl
    filled, size = 0, len(into)
    with _ffi.from_buffer(into, require_writable=True) as buffer:
        while filled < size:
            n = _lib.SSL_read(tls, buffer + filled, size - filled)
            if n <= 0:
                fin = _ended_by_fin(connection, n)
                try:
                    connection._raise_ssl_error(tls, n)  # empties the error queue
                except Exception as exc:
                    if fin:
                        return filled, Fin(*exc.args)
                    return filled, exc.with_traceback(None)
            filled += n
    return filled, None


def write_from(
    connection: SSL.Connection, data: bytes | bytearray | memoryview, limit: int
) -> tuple[int, Exception | None]:
    """Encrypt and send ``data``, which is not empty, until ``limit`` bytes are out, or a record
    more.

    Returns how many were sent, and what pyOpenSSL would have raised where the socket or the
    connection took no more. The bytes that follow must be offered next, as many or more (OpenSSL
    keeps a record that the socket took half of).
    """
    tls = connection._ssl
    sent, size = 0, len(data)
    with _ffi.from_buffer(data) as buffer:
        while sent < size and sent < limit:
            n = _lib.SSL_write(tls, buffer + sent, size - sent)
            if n <= 0:
                try:
                    connection._raise_ssl_error(tls, n)  # empties the error queue
                except Exception as exc:
                    return sent, exc.with_traceback(None)
            sent += n
    return sent, None


def _ended_by_fin(_connection: SSL.Connection, _result: int) -> bool:
    """Whether a read that gave nothing met the peer's FIN, by the oldest error in the queue."""
    reason: int = _lib.ERR_GET_REASON(_lib.ERR_peek_error())
    return reason == _FIN


# --- for the self-test -----------------------------------------------------------------------


def private_parts() -> dict[str, Any]:
    """What has the private names that this file uses, by what it is called; an object that is not
    there is ``None``."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    return {
        "SSL": SSL,
        "SSL._lib": _lib,
        "SSL._ffi": _ffi,
        "Context": context,
        "Connection": SSL.Connection(context, None),
    }
