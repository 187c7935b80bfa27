"""Checks of the TLS certificate, its key and the client CA: the files as they are now."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name

from securedrop_ftp.access.certificates import EXPIRY_WARNING, too_few_bits
from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.invocation import command_line
from securedrop_ftp.tls.pem import NotPem, Unreadable, read_certificates, read_key


def check_certificates(**kwargs: Any) -> list[CheckMessage]:
    """The deploy check of :func:`certificate_problems`."""
    try:
        return certificate_problems(get_conf())
    except TypeError:  # SECUREDROP itself is broken; check E002 says so
        return []


def certificate_problems(conf: Conf, now: datetime | None = None) -> list[CheckMessage]:
    """What is wrong with the certificate files that ``conf`` names; empty where all is well.

    Callable at any time: before serving, and again before a reload swaps contexts.
    """
    now = now or datetime.now(UTC)
    return [*_server_pair(conf, now), *_client_ca(conf, now)]


def _server_pair(conf: Conf, now: datetime) -> Iterator[CheckMessage]:
    names = (("TLS_CERT_FILE", conf.tls_cert_file), ("TLS_KEY_FILE", conf.tls_key_file))
    missing = [f"SECUREDROP_{name}" for name, value in names if not value]
    if missing:
        yield Error(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            hint="FTPS needs a certificate (PEM, the chain included) and its key. For a try: "
            f"{command_line('dev_certs')}.",
            id="securedrop.E020",
        )
        return
    certificates = yield from _load_certificates(conf.tls_cert_file, "TLS_CERT_FILE")
    key = yield from _load_key(conf.tls_key_file)
    if certificates:
        leaf = certificates[0]
        yield from _validity(leaf, conf.tls_cert_file, now)
        yield from _strength(leaf, conf.tls_cert_file)
        if key is not None and leaf.public_key() != key.public_key():
            yield Error(
                f"The key in {conf.tls_key_file} does not belong to the certificate in "
                f"{conf.tls_cert_file}.",
                hint="Renew both together. The first certificate in the file must be the "
                "server's own, then the chain.",
                id="securedrop.E025",
            )


def _client_ca(conf: Conf, now: datetime) -> Iterator[CheckMessage]:
    if not conf.tls_client_ca_file:
        return
    certificates = yield from _load_certificates(conf.tls_client_ca_file, "TLS_CLIENT_CA_FILE")
    for certificate in certificates:
        yield from _validity(certificate, conf.tls_client_ca_file, now)


def _load_certificates(
    path: str, name: str
) -> Generator[CheckMessage, None, list[x509.Certificate]]:
    try:
        return read_certificates(path)
    except Unreadable as exc:
        yield Error(f"SECUREDROP_{name}: {exc}", hint=exc.hint, id="securedrop.E021")
    except NotPem as exc:
        yield Error(f"SECUREDROP_{name}: {exc}", hint=exc.hint, id="securedrop.E022")
    return []


def _load_key(path: str) -> Generator[CheckMessage, None, PrivateKeyTypes | None]:
    key = None
    try:
        key = read_key(path)
    except Unreadable as exc:
        yield Error(f"SECUREDROP_TLS_KEY_FILE: {exc}", hint=exc.hint, id="securedrop.E021")
    except NotPem as exc:
        yield Error(f"SECUREDROP_TLS_KEY_FILE: {exc}", hint=exc.hint, id="securedrop.E023")
    with suppress(OSError):  # E021 says so
        if Path(path).stat().st_mode & 0o007 and os.name == "posix":
            yield Warning(
                f"The key {path} can be read by every user of this machine.",
                hint=f"chmod 600 {path}",
                id="securedrop.W026",
            )
    return key


def _validity(certificate: x509.Certificate, path: str, now: datetime) -> Iterator[CheckMessage]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        yield Error(
            f"The certificate in {path} expired on {end:%Y-%m-%d %H:%M} UTC.",
            hint="Renew it; clients refuse it. SIGHUP makes a running service take the new one.",
            id="securedrop.E024",
        )
    elif now < start:
        yield Error(
            f"The certificate in {path} is not valid before {start:%Y-%m-%d %H:%M} UTC.",
            hint="Check this machine's clock.",
            id="securedrop.E027",
        )
    elif end - now < EXPIRY_WARNING:
        yield Warning(
            f"The certificate in {path} expires on {end:%Y-%m-%d %H:%M} UTC.",
            hint="Renew it; SIGHUP makes a running service take the new one.",
            id="securedrop.W024",
        )


def _strength(certificate: x509.Certificate, path: str) -> Iterator[CheckMessage]:
    bits = too_few_bits(certificate)
    if bits is not None:
        yield Error(
            f"The certificate in {path} has a key of {bits} bits, which is too weak.",
            hint="Use ECDSA P-256, or RSA with at least 2048 bits (RFC 9325).",
            id="securedrop.E028",
        )
