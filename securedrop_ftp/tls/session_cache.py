"""Sessions that are known by an id (TLS 1.2 without tickets), in OpenSSL's cache of a page.

Such a session is in the memory of the worker that made it; here it is put into another worker's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from securedrop_ftp.tls.openssl import accept_under, imported_session, set_info, use_session

#: Bytes that a memory BIO gives at a time.
_FLIGHT: Final = 64 * 1024


def keep_session(connection: SSL.Connection) -> None:
    """Before a connection is let go: others that share its session may go on to resume it. (OpenSSL
    takes the session of a connection that was cut off out of its cache.)"""
    connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)


def forget_session(connection: SSL.Connection) -> None:
    """Before a connection is let go: nobody resumes its session any more."""
    connection.set_shutdown(0)


def import_session(page: SSL.Context, sid: bytes, der: bytes) -> None:
    """Put a session of another process into the cache of ``page``; what is no session is left out.

    No function of OpenSSL that can be reached from here does it. But when a full handshake ends
    OpenSSL stores its session, and ``SSL_set_session`` may change that one a moment before: so we
    shake hands with ourselves. About half a millisecond.
    """
    with imported_session(der) as session:
        if session is None:
            return
        server = accept_under(page, sid, _self_signed(), None, tls13=False)
        server.set_app_data(session)
        shake_hands(SSL.Connection(_own_client(), None), server)
        keep_session(server)


def _swap(server: SSL.Connection, where: int, _value: int) -> None:
    session = server.get_app_data()
    step = where & SSL.SSL_CB_ACCEPT_LOOP == SSL.SSL_CB_ACCEPT_LOOP
    if session is not None and step and server.get_state_string().endswith(b"write finished"):
        use_session(server, session)


@cache
def _self_signed() -> SSL.Context:
    certificate, key = throw_away()
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    set_info(context, _swap)
    return context


@cache
def throw_away() -> tuple[x509.Certificate, crypto.PKey]:
    """A certificate and its key for handshakes with ourselves, made by this process."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate, crypto.PKey.from_cryptography_key(key)


@cache
def _own_client() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def shake_hands(client: SSL.Connection, server: SSL.Connection) -> None:
    """Both ends of a handshake, in memory; it may fail."""
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.Error:  # WantReadError, too
                pass
            try:
                other.bio_write(one.bio_read(_FLIGHT))
            except SSL.Error:
                pass
