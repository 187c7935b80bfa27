"""What an operator says about client certificates, judged before it is stored.

Expiry is not judged here: a CA or a revocation list that has run out must not keep an operator
from disabling a partner. The login and ``doctor`` look at it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cryptography import x509
from django.core.exceptions import ValidationError
from django.db import models

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_CRL_BLOCK: Final = re.compile(
    r"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL | re.ASCII
)
#: More text than any CA bundle for one partner needs.
MAX_PEM: Final = 1024 * 1024


class ClientCertificates(models.TextChoices):
    """What a partner's accounts show when they log in."""

    OFF = "off", "off: not asked for"
    ALLOWED = "allowed", "allowed: password; a certificate that is sent must be right"
    REQUIRED = "required", "required: password and certificate"
    INSTEAD = "instead", "instead of a password: the certificate alone, bound to the account"


def normalise_fingerprints(text: str) -> str:
    """SHA-256 fingerprints, one a line, as lower-case hex without colons, each once.

    Takes what tools print: ``sha256 Fingerprint=AB:CD:…``, ``SHA256:abcd…``, plain hex.

    Raises:
        ValidationError: a line is something else.
    """
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        value = re.split(r"[=\s]|(?i:^sha-?256):", line.strip())[-1]
        digits = value.replace(":", "").lower()
        if not _HEX.fullmatch(digits):
            raise ValidationError(
                f"Line {number} is not a SHA-256 fingerprint: 64 hexadecimal digits, with or "
                "without colons, are expected (openssl x509 -noout -fingerprint -sha256)."
            )
        if digits not in found:
            found.append(digits)
    return "\n".join(found)


@lru_cache(maxsize=256)
def parse_certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text, in order.

    Raises:
        ValueError: none, or one of them is broken.
    """
    return tuple(x509.load_pem_x509_certificates(pem.encode())) if pem.strip() else ()


@lru_cache(maxsize=64)
def parse_crls(pem: str) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a PEM text.

    Raises:
        ValueError: none, or one of them is broken.
    """
    if not pem.strip():
        return ()
    blocks = _CRL_BLOCK.findall(pem)
    if not blocks:
        raise ValueError("there is no “BEGIN X509 CRL” in it")
    return tuple(x509.load_pem_x509_crl(block.encode()) for block in blocks)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may issue certificates (RFC 5280 §4.2.1.9)."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def check_client_ca(pem: str) -> None:
    """Raise ValidationError unless ``pem`` holds CA certificates and nothing else of worth."""
    _check_pem(pem)
    try:
        certificates = parse_certificates(pem)
    except ValueError as exc:
        raise ValidationError(
            f"No CA certificate in PEM can be read from this text ({exc}). It begins with "
            "-----BEGIN CERTIFICATE-----."
        ) from exc
    for certificate in certificates:
        if not is_ca(certificate):
            raise ValidationError(
                f"“{certificate.subject.rfc4514_string()}” is not a CA certificate. Give the "
                "certificate of its issuer, or pin this one by its fingerprint."
            )


def check_client_crl(pem: str) -> None:
    """Raise ValidationError unless ``pem`` holds revocation lists."""
    _check_pem(pem)
    try:
        parse_crls(pem)
    except ValueError as exc:
        raise ValidationError(
            f"No revocation list in PEM can be read from this text ({exc}). Convert DER with "
            "openssl crl -inform der."
        ) from exc


def _check_pem(pem: str) -> None:
    if "PRIVATE KEY-----" in pem:
        raise ValidationError(
            "The text holds a private key. Nobody but its owner may have it: take it out, and "
            "renew the key if it came from the partner."
        )
    if len(pem) > MAX_PEM:
        raise ValidationError("The text is longer than 1 MiB.")
