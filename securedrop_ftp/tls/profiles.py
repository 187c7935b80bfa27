"""Frozen, named TLS profiles. Nothing about versions or suites is left to a library's default.

Both profiles follow RFC 9325 (§3.1.1 versions, §3.3 compression, §3.5 renegotiation, §4.2 suites):
ECDHE key exchange and AEAD only, in the groups of Mozilla's "intermediate" configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from OpenSSL import SSL

_TLS12_SUITES: Final = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)
_TLS13_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#: OpenSSL's own list adds X448 and P-521, which Mozilla's configurations do not have; ML-KEM is the
#: hybrid against recordings that a quantum computer could open later (TLS 1.3 only).
_GROUPS: Final = b"X25519MLKEM768:X25519:P-256:P-384"


@dataclass(frozen=True, slots=True)
class Profile:
    """Versions are pyOpenSSL's constants; suites and groups are in OpenSSL's notation."""

    name: str
    minimum: int
    maximum: int
    cipher_list: str = _TLS12_SUITES
    ciphersuites: bytes = _TLS13_SUITES
    groups: bytes = _GROUPS

    @property
    def has_tls13(self) -> bool:
        """Whether TLS 1.3 may be agreed on."""
        return self.maximum >= SSL.TLS1_3_VERSION

    def without_tls13(self) -> Profile:
        """The same up to TLS 1.2."""
        return replace(self, maximum=min(self.maximum, SSL.TLS1_2_VERSION))


#: The default (docs/adr/0012-tls-1-3.md).
TLS12: Final = Profile("tls12", SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION)

#: TLS 1.3 too, for clients to whom new session tickets can be given; TLS 1.2 for the others.
MODERN: Final = Profile("modern", SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)

PROFILES: Final[dict[str, Profile]] = {p.name: p for p in (TLS12, MODERN)}
