"""Ticket keys, and sessions that go from one worker to another."""

from __future__ import annotations

import random
import weakref
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL, crypto

from securedrop_ftp.tls import openssl, session_cache
from securedrop_ftp.tls import self_test as tried
from securedrop_ftp.tls.contexts import Certificate, build_context, build_page
from securedrop_ftp.tls.openssl import limit_groups
from securedrop_ftp.tls.pages import Pages
from securedrop_ftp.tls.profiles import MODERN
from securedrop_ftp.tls.session_der import without_peer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def certified(*, ask_client: bool = False) -> SSL.Context:
    leaf, key = session_cache.throw_away()
    return build_context(Certificate(leaf, (), key), MODERN, ask_client=ask_client)


def test_a_page_is_used_for_its_time_and_the_last_one_stays() -> None:
    clock = Clock()
    pages = Pages(3, 10.0, clock)
    seen = []
    for _ in range(8):
        seen.append((pages.now, pages.used_up))
        clock.now += 5.0
    assert [page for page, _ in seen] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert [used_up for _, used_up in seen] == [False] * 6 + [True] * 2


def test_row_103_a_page_is_freed_when_its_time_and_its_connections_have_ended() -> None:
    clock = Clock()
    pages, sid = Pages(5, 10.0, clock), openssl.new_sid()
    keys = [weakref.ref(page) for page in pages._pages.values()]
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    server = pages.accept(0, sid, certified(), None, tls13=False)
    hello = tried._hello(client, tried._first_session(client, server))
    assert pages.resuming(0, sid, hello, tls13=False)
    clock.now += 35.0
    pages.drop_before(0)  # a connection of the first page lives
    assert pages.resuming(0, sid, hello, tls13=False)
    pages.drop_before(None)
    assert not pages.resuming(0, sid, hello, tls13=False)
    del server
    assert [key() is None for key in keys] == [True, True, False, False, False]


def with_certificate() -> SSL.Context:
    """A client that shows a certificate of some length and remembers sessions by id."""
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.use_certificate(certificate)
    context.use_privatekey(crypto.PKey.from_cryptography_key(key))
    return context


def test_a_session_travels_without_the_certificate_of_its_client_and_is_resumed() -> None:
    page, other, sid = build_page(), build_page(), openssl.new_sid()
    server = openssl.accept_under(page, sid, certified(ask_client=True), None, tls13=False)
    client = with_certificate()
    hello = tried._hello(client, tried._first_session(client, server))
    whole = openssl.exported_session(server)
    session_id, short = without_peer(whole)
    assert server.get_peer_certificate() is not None
    assert len(session_id) == 32
    assert len(short) < 256 < len(whole)
    session_cache.import_session(other, sid, short)
    assert openssl.resuming(other, sid, hello, tls13=False)


def test_a_client_whose_first_key_share_is_refused_resumes_all_the_same() -> None:
    """It says hello twice (RFC 8446 §4.1.4, HelloRetryRequest); the first one chooses the sid."""
    page, sid = build_page(), openssl.new_sid()
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    limit_groups(client, b"P-521:X25519")  # it has a key share for the first alone
    first = openssl.accept_under(page, sid, certified(), None, tls13=True)
    session = tried._first_session(client, first)
    assert openssl.resuming(page, sid, tried._hello(client, session), tls13=True)
    again, server = (
        SSL.Connection(client, None),
        openssl.accept_under(page, sid, None, None, tls13=True),
    )
    again.set_session(session)
    session_cache.shake_hands(again, server)
    assert openssl.session_reused(again)
    assert openssl.session_reused(server)


def test_what_is_no_session_is_none() -> None:
    chance = random.Random(99)
    for length in (0, 1, 2, 5, 40, 200):
        for _ in range(200):
            without_peer(chance.randbytes(length))
            without_peer(b"\x30" + chance.randbytes(length))
    assert without_peer(b"") == without_peer(b"\x30\x03\x02\x01\x01") == (b"", b"")
    session_cache.import_session(build_page(), openssl.new_sid(), b"not a session")
