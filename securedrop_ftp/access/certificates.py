"""Client certificates: is the one that a client showed right for this account?

The TLS handshake proves that the client holds the key and nothing else: which partner it is for is
known only after USER, so the chain is judged here, at login, against that partner's own rules
(docs/howto/client-certificates.md). What is not right is a refusal with a reason for the audit
trail; the client is told what every refused login is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from django.contrib.auth import get_user_model
from OpenSSL import crypto

from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import renew_connections
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Account, ClientCertificates, Partner
from securedrop_ftp.models.client_certificates import parse_certificates, parse_crls

logger = get_logger(__name__)

EXPIRY_WARNING: Final = timedelta(days=30)

#: Certificates looked at beside the leaf; OpenSSL's own limit is a size.
MAX_CHAIN: Final = 8

#: RFC 9325 §4.5: RSA keys below 2048 bits and curves below 224 bits are too weak.
MIN_RSA_BITS: Final = 2048
MIN_EC_BITS: Final = 224

_USER_PRINCIPAL_NAME: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_UTF8_STRING: Final = 0x0C

_CLIENT_PURPOSES: Final = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
)


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a client showed in its handshake. Nothing here is verified but that it holds the key.

    Attributes:
        der: the leaf, then what the client sent with it.
        subject: RFC 4514; for people.
        fingerprint: SHA-256 of the leaf, lower-case hex.
        not_after: ``None`` where the certificate cannot be read.
    """

    der: tuple[bytes, ...] = field(repr=False)
    subject: str
    fingerprint: str
    not_after: datetime | None

    @classmethod
    def from_der(cls, certificates: Sequence[bytes]) -> PeerCertificate | None:
        """The certificates of a handshake, DER, the leaf first; ``None`` for an empty sequence."""
        if not certificates:
            return None
        fingerprint = hashlib.sha256(certificates[0]).hexdigest()
        try:
            leaf = x509.load_der_x509_certificate(certificates[0])
            subject, end = leaf.subject.rfc4514_string(), leaf.not_valid_after_utc
        except Exception:  # whatever: the bytes are a stranger's
            return cls(tuple(certificates), "(unreadable)", fingerprint, None)
        return cls(tuple(certificates), subject, fingerprint, end)

    def __str__(self) -> str:
        return f"certificate {self.fingerprint} {self.subject}"


def refusal_reason(
    account: Account, certificate: PeerCertificate | None, now: datetime | None = None
) -> str:
    """Why this certificate, or its absence, bars the account; ``""`` where it does not. Reads the
    partner's policy; the account's ``partner`` and ``user`` are loaded."""
    policy = account.partner.client_certificates
    if policy == ClientCertificates.OFF:
        return ""
    if certificate is None:
        return "" if policy == ClientCertificates.ALLOWED else "no client certificate"
    try:
        reason = _untrusted(account, certificate, now or datetime.now(UTC))
        if not reason and policy == ClientCertificates.INSTEAD:
            reason = _unbound(account, certificate)
    except Exception as exc:
        # cryptography is stricter than OpenSSL, and raises more than ValueError (InvalidVersion,
        # DuplicateExtension, UnsupportedAlgorithm): what it cannot read is not right.
        reason = f"cannot be read: {exc}"
    return f"client certificate {reason}" if reason else ""


def replaces_password(account: Account) -> bool:
    """Whether the account logs in by its certificate alone."""
    return account.partner.client_certificates == ClientCertificates.INSTEAD


def client_certificates_wanted() -> bool:
    """Whether handshakes should ask for a certificate at all. Blocking, one query."""
    if get_conf().tls_client_ca_file:
        return True
    renew_connections()
    asked = Partner.objects.filter(enabled=True).exclude(client_certificates=ClientCertificates.OFF)
    return asked.exists()


def note_certificate(account: Account, certificate: PeerCertificate) -> None:
    """Remember on the account what it logged in with, and warn of its end. Inside the login's
    transaction."""
    seen = {
        "certificate_subject": certificate.subject[:255],
        "certificate_fingerprint": certificate.fingerprint,
        "certificate_not_after": certificate.not_after,
    }
    if any(getattr(account, name) != value for name, value in seen.items()):
        Account.objects.filter(pk=account.pk).update(**seen)
    end = certificate.not_after
    if end is not None and end - datetime.now(UTC) < EXPIRY_WARNING:
        logger.warning(
            "client_certificate.expires_soon",
            partner=account.partner.name,
            account=account.username,
            certificate=certificate.fingerprint,
            subject=certificate.subject,
            not_after=end.isoformat(),
        )


def described(partner: Partner) -> list[str]:
    """The partner's CAs and revocation lists, each in a line with its end."""
    lines = [
        f"CA {ca.subject.rfc4514_string()}, until {ca.not_valid_after_utc:%Y-%m-%d}"
        for ca in parse_certificates(partner.client_ca)
    ]
    for crl in parse_crls(partner.client_crl):
        end = crl.next_update_utc
        due = f"next due {end:%Y-%m-%d %H:%M} UTC" if end else "with no end"
        lines.append(f"revocation list of {crl.issuer.rfc4514_string()}, {due}")
    return lines


# --- trust ---------------------------------------------------------------------------


def _untrusted(account: Account, certificate: PeerCertificate, now: datetime) -> str:
    """Fingerprints narrow; a CA vouches. Fingerprints without a CA of the partner's own vouch by
    themselves, whatever the service's CA file says."""
    partner = account.partner
    pins = (account.client_fingerprints or partner.client_fingerprints).split()
    if pins and certificate.fingerprint not in pins:
        return "is not one of the fingerprints"
    leaf = x509.load_der_x509_certificate(certificate.der[0])
    reason = _unfit(leaf, now)
    if reason:
        return reason
    anchors = parse_certificates(partner.client_ca)
    if not anchors and not pins:
        anchors = _service_anchors()
        if not anchors:
            return "cannot be trusted: no CA and no fingerprint is set"
    crls = parse_crls(partner.client_crl)
    if not anchors:
        return "is revoked" if _listed(leaf, crls) else ""
    return _bad_chain(certificate, leaf, anchors, crls, now)


def _unfit(leaf: x509.Certificate, now: datetime) -> str:
    if now > leaf.not_valid_after_utc:
        return f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if now < leaf.not_valid_before_utc:
        return f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}"
    if not _for_clients(leaf):
        return "is not for client authentication"
    return "has a weak key" if _weak_key(leaf) else ""


def _for_clients(certificate: x509.Certificate) -> bool:
    """Its extended key usage, where it has one, names client authentication (RFC 5280
    §4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(purpose in usage for purpose in _CLIENT_PURPOSES)


def too_few_bits(certificate: x509.Certificate) -> int | None:
    """The bits of an RSA or elliptic-curve key that is too weak; ``None`` for any other key."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size if key.key_size < MIN_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size if key.key_size < MIN_EC_BITS else None
    return None


def _weak_key(certificate: x509.Certificate) -> bool:
    known = (
        rsa.RSAPublicKey
        | ec.EllipticCurvePublicKey
        | ed25519.Ed25519PublicKey
        | ed448.Ed448PublicKey
    )
    return too_few_bits(certificate) is not None or not isinstance(certificate.public_key(), known)


def _bad_chain(
    certificate: PeerCertificate,
    leaf: x509.Certificate,
    anchors: Sequence[x509.Certificate],
    crls: Sequence[x509.CertificateRevocationList],
    now: datetime,
) -> str:
    store = crypto.X509Store()
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    for crl in crls:
        store.add_crl(crl)
    # An anchor is whatever the operator gave, a root or not.
    flags = crypto.X509StoreFlags.PARTIAL_CHAIN
    if crls:
        flags |= crypto.X509StoreFlags.CRL_CHECK
    store.set_flags(flags)
    store.set_time(now)
    others = [x509.load_der_x509_certificate(der) for der in certificate.der[1 : MAX_CHAIN + 1]]
    context = crypto.X509StoreContext(
        store,
        crypto.X509.from_cryptography(leaf),
        chain=[crypto.X509.from_cryptography(other) for other in others],
    )
    try:
        chain = [found.to_cryptography() for found in context.get_verified_chain()]
    except crypto.X509StoreContextError as exc:
        return f"is not trusted: {exc}"
    return _weak_link(chain, crls)


def _weak_link(
    chain: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList]
) -> str:
    """What OpenSSL does not look at without a purpose and a security level. The anchor is the
    operator's word and is not judged."""
    for number, link in enumerate(chain[:-1]):
        algorithm = link.signature_hash_algorithm
        if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
            return f"is signed with {algorithm.name}, which is too weak"
        if number and (_weak_key(link) or not _for_clients(link)):
            return "has an intermediate that is weak or not for client authentication"
        issuer = chain[number + 1]
        signed = [crl for crl in crls if crl.issuer == issuer.subject and _signed(crl, issuer)]
        if number and _listed(link, signed):
            return "has an intermediate that is revoked"
    return ""


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # any key
    except TypeError:
        return False


def _listed(certificate: x509.Certificate, crls: Sequence[x509.CertificateRevocationList]) -> bool:
    return any(
        crl.issuer == certificate.issuer
        and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
        for crl in crls
    )


def _service_anchors() -> tuple[x509.Certificate, ...]:
    path = get_conf().tls_client_ca_file
    if not path:
        return ()
    try:
        return _anchors_in(path, Path(path).stat().st_mtime_ns)
    except (OSError, ValueError) as exc:
        logger.error("client_certificate.ca_file_unusable", path=path, error=str(exc))
        return ()


@lru_cache(maxsize=4)
def _anchors_in(path: str, _changed: int) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(Path(path).read_bytes()))


# --- whose it is ---------------------------------------------------------------------


def _unbound(account: Account, certificate: PeerCertificate) -> str:
    """Where the certificate is the whole login it must be this account's: one of the account's
    own fingerprints (checked above), or its name says so. Without that, whoever holds any
    certificate of the partner's CA could log in as each of its accounts."""
    if account.client_fingerprints:
        return ""
    leaf = x509.load_der_x509_certificate(certificate.der[0])
    normalised = get_user_model().normalize_username
    if account.username in {normalised(name) for name in names_in(leaf)}:
        return ""
    return "is right, but names another account"


def names_in(leaf: x509.Certificate) -> frozenset[str]:
    """The account names that a certificate can stand for: its common name, where it has exactly
    one, and the e-mail addresses and Windows user principal names of its alternative names."""
    common = [a.value for a in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    names = {str(common[0])} if len(common) == 1 else set()
    try:
        others = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset(names)
    names.update(others.get_values_for_type(x509.RFC822Name))
    for other in others.get_values_for_type(x509.OtherName):
        if other.type_id == _USER_PRINCIPAL_NAME:
            names.update(_utf8_string(other.value))
    return frozenset(names)


def _utf8_string(der: bytes) -> list[str]:
    # Names are shorter than 128 bytes, where DER's length is one byte (X.690 §8.1.3.4).
    if len(der) < 2 or der[0] != _UTF8_STRING or der[1] != len(der) - 2 or der[1] > 127:
        return []
    try:
        return [der[2:].decode()]
    except UnicodeDecodeError:
        return []
