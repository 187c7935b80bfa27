"""The server's certificate and key, and the TLS contexts of its connections.

A control connection is made under a page (:mod:`.pages`), which has the ticket keys and the
options, and then gets the context with the certificate. A data channel that resumes a session is
made under the page of that one, and needs no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.tls.handshake_limit import limit_handshakes
from securedrop_ftp.tls.openssl import limit_groups, on_server_name, set_alpn_selection
from securedrop_ftp.tls.peer import ask_after_handshake, ask_for_certificate
from securedrop_ftp.tls.pem import read_certificates, read_key
from securedrop_ftp.tls.profiles import MODERN, Profile

#: RFC 5246 §7.2.1 asks for nothing here: it saves about 34 KiB per idle connection.
SSL_MODE_RELEASE_BUFFERS: Final = 0x10
#: OpenSSL's option bit; pyOpenSSL has no name for it on older versions.
OP_NO_RENEGOTIATION: Final = getattr(SSL, "OP_NO_RENEGOTIATION", 1 << 30)

ALPN_FTP: Final = b"ftp"


class WrongProtocol(Exception):
    """ALPN offered, but not ``ftp``: the alert that ALPACA asks for (RFC 7301 §3.2)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A checked pair, ready for contexts."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: crypto.PKey

    @classmethod
    def load(cls, cert_file: str, key_file: str) -> Certificate:
        """Read PEM files: the leaf first, then its intermediates.

        Raises:
            ConfigurationError: missing, unreadable, not PEM, or the key is another's.
        """
        for path, name in ((cert_file, "CERT"), (key_file, "KEY")):
            if not path:
                raise ConfigurationError(f"SECUREDROP_TLS_{name}_FILE is not set: name a PEM file.")
        leaf, *chain = read_certificates(cert_file)
        private = read_key(key_file)
        if leaf.public_key() != private.public_key():
            raise ConfigurationError(
                f"The key in {key_file} does not belong to the certificate in {cert_file}; "
                "give the pair that was issued together."
            )
        pkey = crypto.PKey.from_cryptography_key(private)  # type: ignore[arg-type]  # RSA or EC
        return cls(leaf, tuple(chain), pkey)


def _select_ftp(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if ALPN_FTP in offered:
        return ALPN_FTP
    raise WrongProtocol(offered)


def build_context(
    certificate: Certificate, profile: Profile, *, ask_client: bool = False
) -> SSL.Context:
    """What control connections get that are made under a page; with ``ask_client``, clients are
    asked for a certificate and may go on without one."""
    context = _certified(certificate, profile)
    if ask_client:
        ask_for_certificate(context)
    elif profile.has_tls13:
        ask_after_handshake(context)
    return context


def strangers_context(certificate: Certificate, profile: Profile) -> SSL.Context:
    """A context for data channels that resume no session: none of its own can be resumed either,
    neither here nor anywhere else."""
    context = _certified(certificate, profile)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def build_page() -> SSL.Context:
    """A context without a certificate, for every profile (:mod:`.pages`)."""
    context = _bare(MODERN)
    on_server_name(context)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    ask_for_certificate(context)
    return context


def _certified(certificate: Certificate, profile: Profile) -> SSL.Context:
    context = _bare(profile)
    context.use_certificate(certificate.leaf)
    for intermediate in certificate.chain:
        context.add_extra_chain_cert(intermediate)
    context.use_privatekey(certificate.key)
    return context


def _bare(profile: Profile) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(profile.minimum)
    context.set_max_proto_version(profile.maximum)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | OP_NO_RENEGOTIATION
    )
    context.set_mode(SSL_MODE_RELEASE_BUFFERS)
    context.set_cipher_list(profile.cipher_list.encode())
    context.set_tls13_ciphersuites(profile.ciphersuites)
    limit_groups(context, profile.groups)
    limit_handshakes(context)
    set_alpn_selection(context, _select_ftp)
    return context
