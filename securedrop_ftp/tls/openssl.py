"""OpenSSL below pyOpenSSL's surface: what a data channel's handshake needs and has no public name.

Any release of pyOpenSSL may rename these. :func:`self_test` tries them when the service starts, so
that such a release is met there, in a sentence, and not in the midst of a transfer.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL import __version__ as pyopenssl_version

from securedrop_ftp.exceptions import ConfigurationError

_SSL: Final[Any] = SSL

#: RFC 8446 §6.2: "when access control was applied, the sender decided not to proceed". Of all
#: alerts it is the one that tells a person what is the matter.
ACCESS_DENIED: Final = 49


def only_resumption(context: SSL.Context) -> None:
    """From now on a handshake of ``context`` resumes one of its sessions, or fails with the alert
    ``access_denied`` before anything is computed for it."""
    made: Any = context
    _SSL._lib.SSL_CTX_set_tlsext_servername_callback(made._context, _refusal())


@cache
def _refusal() -> Any:
    """OpenSSL calls it for each ClientHello, with a server name in it or without, as soon as it
    knows whether that resumes a session."""
    library = _SSL._lib

    def refuse_unless_resumed(tls: Any, alert: Any, _argument: Any) -> int:
        if library.SSL_session_reused(tls):
            return int(library.SSL_TLSEXT_ERR_NOACK)  # as if there were no callback
        alert[0] = ACCESS_DENIED
        return int(library.SSL_TLSEXT_ERR_ALERT_FATAL)

    return _SSL._ffi.callback(
        "int (*)(SSL *, int *, void *)",
        refuse_unless_resumed,
        error=library.SSL_TLSEXT_ERR_ALERT_FATAL,
    )


def attach(connection: SSL.Connection, sock: socket.socket) -> None:
    """Have a connection that was made without a socket go on with ``sock``. OpenSSL frees its two
    memory buffers, so nothing may be left in them."""
    made: Any = connection
    if _SSL._lib.SSL_set_fd(made._ssl, sock.fileno()) != 1:
        _SSL._lib.ERR_clear_error()
        raise OSError("OpenSSL does not take the socket")
    made._socket, made._into_ssl, made._from_ssl = sock, None, None


def fatal_alert(connection: SSL.Connection) -> bytes:
    """The bytes of a fatal alert on a connection whose handshake is done; nothing can be sent or
    read on it afterwards. OpenSSL has no call for it: it writes one when a record is broken."""
    made: Any = connection
    library = _SSL._lib
    memory = [library.BIO_new(library.BIO_s_mem()) for _ in "io"]
    library.SSL_set_bio(made._ssl, *memory)
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
    if _SSL._lib.SSL_verify_client_post_handshake(made._ssl) != 1:
        _SSL._lib.ERR_clear_error()
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


def self_test() -> None:
    """Try everything in this module.

    Raises:
        ConfigurationError: a new pyOpenSSL has changed something.
    """
    try:
        _try_everything()
    except Exception as exc:
        raise ConfigurationError(
            f"pyOpenSSL {pyopenssl_version} is not as this release knows it ({exc!r}); install the "
            "version that requirements/ names."
        ) from exc


def _try_everything() -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    only_resumption(context)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    _step(client)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = SSL.Connection(context, None)
        server.set_accept_state()
        attach(server, ours)
        ours.setblocking(False)
        if ask_for_tickets(server):
            raise RuntimeError("post-handshake authentication before the handshake")
        theirs.sendall(taken_out(client))
        _step(server)
        if theirs.recv(64)[-1] != ACCESS_DENIED:
            raise RuntimeError("a handshake that resumes nothing is not refused")


def _step(connection: SSL.Connection) -> None:
    try:
        connection.do_handshake()
    except SSL.Error:
        pass
