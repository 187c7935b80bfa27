"""Who is at the other end: the certificate that a client proved to hold the key of.

Handshakes ask for a certificate and take any, or none: the partner is known only after USER, so
:mod:`securedrop_ftp.access.certificates` judges it then. What OpenSSL itself insists on here is the
proof of the key (RFC 5246 §7.4.8, RFC 8446 §4.4.3).
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL, crypto

from securedrop_ftp.tls.openssl import VERIFY_POST_HANDSHAKE, set_verification

#: No issuer of the leaf is looked for, so no signature on the chain is verified: whatever came of
#: it would be taken all the same, and a stranger's chain of nine keys of 16384 bits held the loop
#: for 50 ms (seen). OpenSSL looks for issuers up to this number plus one; -1 means "not set".
NO_CHAIN: Final = -2


def ask_for_certificate(context: SSL.Context) -> None:
    """Have the handshakes of ``context`` ask for a client certificate. No CA names are sent: they
    would tell everyone who the partners are (RFC 5246 §7.4.4: then the client may send any)."""
    _ask(context, SSL.VERIFY_PEER)


def ask_after_handshake(context: SSL.Context) -> None:
    """Ask for no certificate, but let :func:`securedrop_ftp.tls.openssl.ask_for_tickets` do so
    later, under TLS 1.3 (in TLS 1.2's handshakes OpenSSL asks all the same; any answer is
    taken)."""
    _ask(context, SSL.VERIFY_PEER | VERIFY_POST_HANDSHAKE)


def _ask(context: SSL.Context, mode: int) -> None:
    set_verification(context, mode, _take_any)
    context.set_verify_depth(NO_CHAIN)


def _take_any(*_: Any) -> bool:
    return True


def peer_certificates(connection: SSL.Connection) -> tuple[bytes, ...]:
    """DER of the client's certificate and of what came with it, leaf first; empty where it sent
    none. On the loop's thread, like everything that touches TLS objects; parses nothing."""
    leaf = connection.get_peer_certificate()
    if leaf is None:
        return ()
    others = connection.get_peer_cert_chain() or []
    encoded = [crypto.dump_certificate(crypto.FILETYPE_ASN1, c) for c in (leaf, *others)]
    # A server's chain is without the leaf (SSL_get_peer_cert_chain(3)); a library that changes
    # that does no harm.
    return tuple(dict.fromkeys(encoded))
