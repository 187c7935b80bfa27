"""Does this OpenSSL resume the sessions that we mean, and no others?

What :mod:`.openssl` does rests on private names of pyOpenSSL and on the order in which OpenSSL does
things. A release that changes either is found here, when the service starts: 10 ms.
"""

from __future__ import annotations

import socket

import cryptography
import OpenSSL
from OpenSSL import SSL

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls import openssl, session_cache
from securedrop_ftp.tls.contexts import Certificate, build_context, build_page
from securedrop_ftp.tls.profiles import MODERN


def self_test() -> None:
    """Try everything once, in memory.

    Raises:
        ConfigurationError: the message says what went wrong, and with which releases.
    """
    try:
        for tls13 in (False, True):
            _tickets(tls13=tls13)
        _sessions_by_id()
        _handshake_on_a_socket()
    except Exception as exc:
        raise ConfigurationError(
            f"This pyOpenSSL ({OpenSSL.__version__}, with cryptography "
            f"{cryptography.__version__}) does not resume TLS sessions as data channels need it: "
            f"{exc}. Install the releases that requirements/service.txt pins, and tell us."
        ) from exc


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

    exported = session_cache.exported_session(server)
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
    client.bio_write(openssl.fatal_alert(server))
    try:
        client.recv(1)
    except SSL.WantReadError:
        _expect(False, "there is no fatal alert")
    except SSL.Error:
        pass


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
