"""Does this pyOpenSSL still do what :mod:`.openssl` needs of it?

That file rests on private names of pyOpenSSL and on the order in which OpenSSL does things. A
release that changes either is found here, when the service starts and by ``check --deploy``.
"""

from __future__ import annotations

import socket
from typing import Final

import cryptography
import OpenSSL
from OpenSSL import SSL

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls import openssl, session_cache
from securedrop_ftp.tls.contexts import Certificate, WrongProtocol, build_context, build_page
from securedrop_ftp.tls.profiles import MODERN

#: Private names that :mod:`.openssl` uses, by what has them.
NAMES: Final[dict[str, str]] = {
    "SSL": "_ALPNSelectHelper _VerifyHelper _ffi _lib",
    "SSL._lib": (
        "BIO_new BIO_s_mem ERR_GET_REASON ERR_clear_error ERR_peek_error "
        "SSL_CTX_set1_curves_list SSL_CTX_set_alpn_select_cb SSL_CTX_set_info_callback "
        "SSL_CTX_set_session_id_context SSL_CTX_set_timeout "
        "SSL_CTX_set_tlsext_servername_callback SSL_CTX_set_verify "
        "SSL_R_UNEXPECTED_EOF_WHILE_READING SSL_SESSION_free SSL_TLSEXT_ERR_ALERT_FATAL "
        "SSL_TLSEXT_ERR_NOACK SSL_VERIFY_POST_HANDSHAKE SSL_get1_session SSL_read "
        "SSL_session_reused SSL_set_bio SSL_set_fd SSL_set_options SSL_set_session SSL_set_verify "
        "SSL_verify_client_post_handshake SSL_write d2i_SSL_SESSION i2d_SSL_SESSION"
    ),
    "SSL._ffi": "NULL buffer callback from_buffer new",
    "Context": (
        "_alpn_select_callback _alpn_select_helper _context _info_callback _verify_callback "
        "_verify_helper"
    ),
    "Connection": "_from_ssl _into_ssl _raise_ssl_error _socket _ssl",
}


def self_test() -> None:
    """Try everything that :mod:`.openssl` does once, in memory: 15 ms.

    Raises:
        ConfigurationError: a sentence says what a release broke, and what to install.
    """
    try:
        _private_names()
        for tls13 in (False, True):
            _tickets(tls13=tls13)
        _sessions_by_id()
        _callbacks_and_groups()
        _handshake_on_a_socket()
        for closed_well in (False, True):
            _records(closed_well=closed_well)
    except Exception as exc:
        raise ConfigurationError(
            f"This pyOpenSSL ({OpenSSL.__version__}, with cryptography "
            f"{cryptography.__version__}) does not do what FTPS needs of it: {exc}. Install the "
            "releases that requirements/service.txt pins, and tell us."
        ) from exc


def _private_names() -> None:
    parts = openssl.private_parts()
    gone = [
        f"{part}.{name}"
        for part, names in NAMES.items()
        for name in names.split()
        if not hasattr(parts[part], name)
    ]
    _expect(not gone, f"it has no {', '.join(gone[:3])}")


def _expect(answer: bool, what: str) -> None:
    if not answer:
        raise AssertionError(what)


def _tickets(*, tls13: bool) -> None:
    page, sid, version = build_page(), openssl.new_sid(), "TLS 1.3" if tls13 else "TLS 1.2"
    client = _client(tls13=tls13)
    session = _first_session(client, _server(page, sid, tls13=tls13))
    hello = _hello(client, session)

    def resumes(of: SSL.Context, under: bytes) -> bool:
        server = openssl.accept_under(of, under, None, None, tls13=tls13)
        again = SSL.Connection(client, None)
        again.set_session(session)
        session_cache.shake_hands(again, server)
        return openssl.session_reused(again)

    def tried(of: SSL.Context, under: bytes, *, right: bool, wrong: str) -> None:
        _expect(resumes(of, under) == right, wrong)
        begun = openssl.resuming(of, under, hello, tls13=tls13)
        _expect((begun is not None) == right, f"{wrong} by its first records")

    tried(page, sid, right=True, wrong=f"a {version} ticket is not resumed")
    tried(page, openssl.new_sid(), right=False, wrong=f"any {version} ticket is resumed")
    tried(build_page(), sid, right=False, wrong=f"a {version} ticket of other keys is resumed")


def _sessions_by_id() -> None:
    page, other, sid = build_page(), build_page(), openssl.new_sid()
    client = _client(tls13=False, options=SSL.OP_NO_TICKET)
    server = _server(page, sid, tls13=False)
    hello = _hello(client, _first_session(client, server))

    def found(of: SSL.Context, under: bytes) -> bool:
        return openssl.resuming(of, under, hello, tls13=False) is not None

    exported = openssl.exported_session(server)
    _expect(found(page, sid), "a session is not found by its id")
    _expect(found(page, sid), "a session is not found a second time")
    _expect(not found(other, sid), "a session is found where it cannot be")
    session_cache.import_session(other, sid, exported)
    _expect(found(other, sid), "an imported session is not found")
    _expect(not found(other, openssl.new_sid()), "an imported session is found by anybody")
    session_cache.forget_session(server)
    del server
    _expect(not found(page, sid), "a forgotten session is found")


def _handshake_on_a_socket() -> None:
    """A connection that was made in memory goes on with a socket, and ends with a fatal alert."""
    page, sid = build_page(), openssl.new_sid()
    client = SSL.Connection(_client(tls13=False), None)
    server = _server(page, sid, tls13=False)
    session_cache.shake_hands(client, server)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        openssl.attach(server, ours)
        server.send(b"four")
        client.bio_write(theirs.recv(1000))
        _expect(client.recv(10) == b"four", "a connection does not go on with a socket")
    alert = openssl.fatal_alert(server)
    _expect(alert != b"", "there is no fatal alert")
    client.bio_write(alert)
    try:
        client.recv(1)
    except SSL.WantReadError:
        _expect(False, "there is no fatal alert")
    except SSL.Error:
        pass


def _callbacks_and_groups() -> None:
    """Groups that are not ours, and protocols that are not FTP, are refused; steps are counted."""

    def shaken(client: SSL.Context) -> SSL.Connection | None:
        server = _server(build_page(), openssl.new_sid(), tls13=True)
        connection = SSL.Connection(client, None)
        try:
            session_cache.shake_hands(connection, server)
            connection.do_handshake()
        except (SSL.Error, WrongProtocol):
            return None
        return server

    for groups, taken in ((b"P-384", True), (b"P-521", False)):
        client = _client(tls13=True)
        openssl.limit_groups(client, groups)
        _expect((shaken(client) is not None) == taken, "groups are not limited")
    for protocol, taken in ((b"ftp", True), (b"http/1.1", False)):
        client = _client(tls13=True)
        client.set_alpn_protos([protocol])
        _expect((shaken(client) is not None) == taken, "ALPN is not looked at")
    server = shaken(_client(tls13=True))
    _expect(server is not None and server.get_app_data() is not None, "steps are not counted")
    _expect(
        server is None or not openssl.ask_for_tickets(server),
        "a client is asked for the authentication after the handshake that it does not offer",
    )


def _records(*, closed_well: bool) -> None:
    """Many records in one call, and how the last one is followed."""
    page, sid = build_page(), openssl.new_sid()
    client, server = SSL.Connection(_client(tls13=False), None), _server(page, sid, tls13=False)
    session_cache.shake_hands(client, server)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end, sock in ((server, ours), (client, theirs)):
            sock.setblocking(False)
            openssl.attach(end, sock)
        sent, into = bytes(range(256)) * 200, memoryview(bytearray(100_000))
        taken, error = openssl.write_from(client, sent, len(sent))
        _expect((taken, error) == (len(sent), None), "records are not written in one call")
        size, error = openssl.read_into(server, into)
        _expect(bytes(into[:size]) == sent, "records are not read in one call")
        _expect(isinstance(error, SSL.WantReadError), "an empty socket is not told")
        if closed_well:
            client.shutdown()
        theirs.shutdown(socket.SHUT_WR)
        _, error = openssl.read_into(server, into)
        expected = SSL.ZeroReturnError if closed_well else openssl.Fin
        _expect(isinstance(error, expected), "close_notify and FIN are not told apart")


def _server(page: SSL.Context, sid: bytes, *, tls13: bool) -> SSL.Connection:
    leaf, key = session_cache.throw_away()
    certified = build_context(Certificate(leaf, (), key), MODERN)
    return openssl.accept_under(page, sid, certified, None, tls13=tls13)


def _client(*, tls13: bool, options: int = 0) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_3_VERSION if tls13 else SSL.TLS1_2_VERSION)
    context.set_options(options)
    return context


def _first_session(context: SSL.Context, server: SSL.Connection) -> SSL.Session:
    client = SSL.Connection(context, None)
    session_cache.shake_hands(client, server)
    try:
        client.recv(1)  # TLS 1.3's tickets come after the handshake
    except SSL.WantReadError:
        pass
    session = client.get_session()
    session_cache.keep_session(client)
    if session is None:
        raise AssertionError("a handshake fails")
    return session


def _hello(context: SSL.Context, session: SSL.Session) -> bytes:
    client = SSL.Connection(context, None)
    client.set_session(session)
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        pass
    return client.bio_read(16 * 1024)
