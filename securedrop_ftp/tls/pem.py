"""Certificates and keys in PEM files, read as the service and its checks both need them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from securedrop_ftp.exceptions import ConfigurationError

_BEGIN: Final = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----")


class PemProblem(ConfigurationError):
    """A PEM file cannot be used. The message says why, and ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Unreadable(PemProblem):
    """The file is not there, or the service's user may not read it."""


class NotPem(PemProblem):
    """The file does not hold what it is for, or not all of it."""


def read_certificates(path: str) -> list[x509.Certificate]:
    """The certificates in a file, at least one.

    Raises:
        Unreadable, NotPem.
    """
    pem = _read(path, "The service's user must be able to read it.")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise NotPem(
            f"{path} holds no certificate in PEM: {exc}.",
            "It begins with -----BEGIN CERTIFICATE-----. Convert DER with openssl x509 "
            "-inform der.",
        ) from exc
    # OpenSSL leaves out a certificate that is cut off without a word: clients would miss the rest
    # of the chain.
    if len(_BEGIN.findall(pem)) != len(certificates):
        raise NotPem(
            f"{path} ends in the midst of a certificate.",
            "Copy it whole, under another name, and rename it then.",
        )
    return certificates


def read_key(path: str) -> PrivateKeyTypes:
    """The private key in a file.

    Raises:
        Unreadable, NotPem.
    """
    pem = _read(path, "The service's user must be able to read it, and no one else.")
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as exc:
        raise NotPem(
            f"{path} holds no private key in PEM without a password: {exc}.",
            "Remove a password with openssl pkey -in old.key -out new.key.",
        ) from exc


def _read(path: str, hint: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise Unreadable(f"cannot read {path}: {exc.strerror}.", hint) from exc
