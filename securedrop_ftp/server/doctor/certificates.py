"""The server's certificate as clients will judge it, and what partners' certificates rest on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import TimeoutError as TooSlow
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from securedrop_ftp.access.certificates import EXPIRY_WARNING
from securedrop_ftp.checks import certificate_problems
from securedrop_ftp.conf import Conf
from securedrop_ftp.db.threads import Threads
from securedrop_ftp.models import Account, ClientCertificates, Partner
from securedrop_ftp.models.client_certificates import parse_certificates, parse_crls
from securedrop_ftp.server.doctor.finding import Finding, from_message, ok, problem, warning

CHECK: Final = "certificate"
CLIENTS: Final = "client certificates"

#: A revocation list that is due so soon should have been renewed.
CRL_WARNING: Final = timedelta(days=2)

_WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104
_LOOKUP_TIMEOUT: Final = 3.0


def server_certificate(conf: Conf) -> Iterator[Finding]:
    """Files, dates, key, chain and names."""
    messages = certificate_problems(conf)
    yield from (from_message(CHECK, message) for message in messages)
    if any(message.is_serious() for message in messages):
        return
    leaf, *chain = x509.load_pem_x509_certificates(Path(conf.tls_cert_file).read_bytes())
    yield from _chain(leaf, chain)
    yield from _names(leaf, conf)
    if not messages:
        end = leaf.not_valid_after_utc
        left = (end - datetime.now(UTC)).days
        yield ok(CHECK, f"{leaf.subject.rfc4514_string()}, its key fits, {left} days left.")


def _chain(leaf: x509.Certificate, chain: list[x509.Certificate]) -> Iterator[Finding]:
    """Whether a client with the usual root CAs can build a chain from what the file holds."""
    for one, issuer in zip([leaf, *chain], chain, strict=False):
        if one.issuer != issuer.subject:
            yield problem(
                CHECK,
                f"The chain in the file is out of order: “{one.subject.rfc4514_string()}” is "
                f"followed by “{issuer.subject.rfc4514_string()}”, which did not issue it.",
                "Put the server's certificate first and then each issuer in turn.",
            )
            return
    if leaf.issuer == leaf.subject:
        yield warning(
            CHECK,
            "The certificate is self-signed: no client trusts it unless it was given to it.",
            "Hand it to your partners, or have one issued by a CA that they trust.",
        )
        return
    trusted = SSL.Context(SSL.TLS_CLIENT_METHOD)
    trusted.set_default_verify_paths()
    store = trusted.get_cert_store() or crypto.X509Store()
    untrusted = [crypto.X509.from_cryptography(one) for one in chain]
    context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf), untrusted)
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as exc:
        yield warning(
            CHECK,
            f"This machine's root CAs do not lead to it ({exc}).",
            f"If “{leaf.issuer.rfc4514_string()}” is your own CA, hand its certificate to your "
            "partners; else append its intermediates to the file.",
        )


def _names(leaf: x509.Certificate, conf: Conf) -> Iterator[Finding]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        yield problem(
            CHECK,
            "The certificate has no subject alternative names; clients look at nothing else.",
            "Have it issued for the host name that partners connect to.",
        )
        return
    host = conf.ftps_passive_address or conf.bind[0]
    if host in _WILDCARDS:
        return
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    if host in [*hosts, *addresses] or host in _resolved(hosts):
        return
    if _covered(host, hosts) or _resolved([host]) & _resolved(hosts):
        return
    yield warning(
        CHECK,
        f"None of its names ({', '.join([*hosts, *addresses])}) leads to {host}, where clients "
        "reach this service.",
        "Have it issued for the host name that partners connect to, or mend that name's DNS "
        "record.",
    )


def _covered(host: str, hosts: list[str]) -> bool:
    """By a wildcard, which stands for one label (RFC 9525 §6.3)."""
    return "*." + host.partition(".")[2] in hosts


def _resolved(hosts: list[str]) -> set[str]:
    """The addresses of the names, as far as DNS answers soon."""
    found: set[str] = set()
    pool = Threads(max_workers=4)
    try:
        lookups = [pool.submit(socket.getaddrinfo, h, None) for h in hosts if "*" not in h]
        for lookup in lookups:
            try:
                found |= {str(row[4][0]) for row in lookup.result(_LOOKUP_TIMEOUT)}
            except (OSError, UnicodeError, TooSlow):
                continue
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found


def client_certificates() -> Iterator[Finding]:
    """CAs and revocation lists of partners, and certificates that accounts logged in with. Needs
    the database."""
    now = datetime.now(UTC)
    asked = Partner.objects.filter(enabled=True).exclude(client_certificates=ClientCertificates.OFF)
    found = [finding for partner in asked for finding in _partner(partner, now)]
    soon = Account.objects.filter(
        enabled=True,
        partner__in=asked,
        certificate_not_after__lt=now + EXPIRY_WARNING,
    ).select_related("user", "partner")
    found += [
        warning(
            CLIENTS,
            f"The certificate of {account.username} ({account.partner.name}) ends on "
            f"{account.certificate_not_after:%Y-%m-%d}.",
            "Ask the partner to renew it.",
        )
        for account in soon
    ]
    yield from found
    if not found and asked.exists():
        yield ok(CLIENTS, f"asked of {asked.count()} partners; their CAs and lists are in date.")


def _partner(partner: Partner, now: datetime) -> Iterator[Finding]:
    for ca in parse_certificates(partner.client_ca):
        name, end = ca.subject.rfc4514_string(), ca.not_valid_after_utc
        if end < now + EXPIRY_WARNING:
            make = problem if end < now else warning
            yield make(
                CLIENTS,
                f"The CA {name} of partner {partner.name} ends on {end:%Y-%m-%d}.",
                "Ask the partner for the new one: partner_certificates --ca.",
            )
    for crl in parse_crls(partner.client_crl):
        due = crl.next_update_utc
        if due is not None and due < now + CRL_WARNING:
            make = problem if due < now else warning
            yield make(
                CLIENTS,
                f"A revocation list of partner {partner.name} is due on {due:%Y-%m-%d %H:%M} UTC; "
                "past that nobody of it logs in.",
                "Renew it from a timer: partner_certificates --crl.",
            )
