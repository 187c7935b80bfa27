"""What is read of a ClientHello before OpenSSL has it."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from securedrop_ftp.tls import session_cache
from securedrop_ftp.tls.contexts import Certificate, build_context
from securedrop_ftp.tls.handshake import Handshake, NotResumed
from securedrop_ftp.tls.hello import parsed, session_id_of, tickets_of
from securedrop_ftp.tls.openssl import HandshakeFailed
from securedrop_ftp.tls.profiles import MODERN

_BINDER = 33  # the length, and a MAC of SHA-256


def hello_with_a_ticket() -> bytes:
    """The record in which OpenSSL's client offers the one TLS 1.3 session that it has."""
    leaf, key = session_cache.throw_away()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    server = SSL.Connection(build_context(Certificate(leaf, (), key), MODERN), None)
    server.set_accept_state()
    client = SSL.Connection(context, None)
    session_cache.shake_hands(client, server)
    with pytest.raises(SSL.WantReadError):
        client.recv(1)  # the tickets
    session = client.get_session()
    assert session is not None
    again = SSL.Connection(context, None)
    again.set_session(session)
    again.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        again.do_handshake()
    return again.bio_read(16 * 1024)


def offering(record: bytes, tickets: int) -> list[bytes]:
    """The same ClientHello with its ticket so often, over as many records as it needs."""
    hello = parsed(record)
    assert hello is not None
    psk = hello.extensions[41]  # the last one (RFC 8446 §4.2.11)
    end = 2 + int.from_bytes(psk[:2], "big")
    identities, binders = psk[2:end] * tickets, psk[end + 2 : end + 2 + _BINDER] * tickets
    longer = b"".join(len(part).to_bytes(2, "big") + part for part in (identities, binders))
    head = record[9 : -len(psk) - 4]
    body = bytearray(head + b"\0\x29" + len(longer).to_bytes(2, "big") + longer)
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    body[at : at + 2] = (len(body) - at - 2).to_bytes(2, "big")
    message = b"\x01" + len(body).to_bytes(3, "big") + bytes(body)
    parts = [message[n : n + 16384] for n in range(0, len(message), 16384)]
    return [b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts]


def test_row_112_a_hello_that_offers_hundreds_of_tickets_is_tried_against_nothing() -> None:
    record = hello_with_a_ticket()
    asked: list[int] = []

    def resuming(hello: list[bytes]) -> None:
        asked.append(tickets_of(hello))

    def feed(tickets: int) -> None:
        handshake = Handshake(resuming, lambda: pytest.fail("no stranger is served"))
        for part in offering(record, tickets):
            handshake.feed(part)

    for few in (1, 2, 8):
        with pytest.raises(NotResumed):
            feed(few)
    for many in (9, 200):
        with pytest.raises(HandshakeFailed, match=f"offers {many} sessions"):
            feed(many)
    assert asked == [1, 2, 8]


def test_a_hello_is_read_alike_from_one_record_and_from_many() -> None:
    record = hello_with_a_ticket()
    cut = [b"\x16\x03\x01" + len(p).to_bytes(2, "big") + p for p in (record[5:90], record[90:])]
    assert tickets_of([record]) == tickets_of(cut) == 1
    assert session_id_of([record]) == session_id_of(cut) != b""


@pytest.mark.parametrize("length", [0, 1, 4, 20, 60, 200])
def test_a_broken_hello_offers_nothing(length: int) -> None:
    record = hello_with_a_ticket()[: 5 + length]
    assert tickets_of([record]) == 0
    assert parsed(record) is None
