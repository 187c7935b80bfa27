"""Certificates for development and the demo: a CA that is good for this machine only.

The CA is limited to loopback names (RFC 5280 §4.2.1.10) and its key is never written: nothing
else can ever be signed with it, so trusting it costs nothing.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: The longest that browsers take from a CA of one's own.
LIFETIME: Final = timedelta(days=825)

NAMES: Final = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")

_LOOPBACK: Final = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
_PERMITTED: Final = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
    x509.IPAddress(ipaddress.ip_network("::1/128")),
)


@dataclass(frozen=True, slots=True)
class _Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def existing(directory: Path) -> list[str]:
    """Which of :data:`NAMES` are there."""
    return [name for name in NAMES if (directory / name).exists()]


def make_certificates(
    directory: Path,
    *,
    start: datetime | None = None,
    lifetime: timedelta = LIFETIME,
    client_name: str = "demo client",
) -> None:
    """Write :data:`NAMES` into ``directory`` (PEM, ECDSA P-256; keys 0600), replacing what is
    there. ``start`` and ``lifetime`` are the leaves': tests make expired ones.

    Raises:
        OSError: the directory or a file cannot be written.
    """
    start = start or datetime.now(UTC) - timedelta(minutes=5)
    ca = _make_ca(start, lifetime)
    server_key, client_key = _key(), _key()
    server = _leaf(ca, server_key, "localhost", start, lifetime, server=True)
    client = _leaf(ca, client_key, client_name, start, lifetime, server=False)
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "ca.pem", _pem(ca.certificate), 0o644)
    _write(directory / "server.key", _key_pem(server_key), 0o600)
    _write(directory / "server.pem", _pem(server), 0o644)
    _write(directory / "client.key", _key_pem(client_key), 0o600)
    _write(directory / "client.pem", _pem(client), 0o644)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "securedrop_ftp development"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _make_ca(start: datetime, lifetime: timedelta) -> _Issuer:
    key = _key()
    subject = _name("development CA (loopback only)")
    certificate = (
        _builder(subject, key, start, lifetime)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=_PERMITTED, excluded_subtrees=None),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return _Issuer(certificate, key)


def _leaf(
    ca: _Issuer,
    key: ec.EllipticCurvePrivateKey,
    common_name: str,
    start: datetime,
    lifetime: timedelta,
    *,
    server: bool,
) -> x509.Certificate:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name), key, start, lifetime)
        .issuer_name(ca.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()),
            critical=False,
        )
    )
    if server:
        builder = builder.add_extension(x509.SubjectAlternativeName(_LOOPBACK), critical=False)
    return builder.sign(ca.key, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    # A key is never on the disk with a wider mode, not even for a moment.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
