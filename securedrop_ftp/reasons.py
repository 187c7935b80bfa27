"""Which cause is meant by words that come from elsewhere: OpenSSL's, and the login's own."""

from __future__ import annotations

import re
from typing import Final

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause
from securedrop_ftp.exceptions import LoginReason

#: Words of OpenSSL's error queue, the first that is found decides. Alerts are the client's words
#: (RFC 8446 §6.2); OpenSSL 3.2 calls "tlsv1 alert" and "sslv3 alert" by the one name "ssl/tls
#: alert".
_TLS: Final = (
    ("unsupported protocol", causes.TLS_VERSION),
    ("version too low", causes.TLS_VERSION),
    ("alert protocol version", causes.TLS_VERSION),
    ("no shared cipher", causes.TLS_CIPHER),
    ("no suitable key share", causes.TLS_CIPHER),
    ("no shared group", causes.TLS_CIPHER),
    ("no suitable groups", causes.TLS_CIPHER),
    ("no shared signature alg", causes.TLS_CIPHER),
    ("no suitable signature alg", causes.TLS_CIPHER),
    ("alert handshake failure", causes.TLS_CIPHER),
    ("alert insufficient security", causes.TLS_CIPHER),
    ("unknown ca", causes.TLS_DISTRUSTED),
    ("alert bad certificate", causes.TLS_DISTRUSTED),
    ("alert certificate", causes.TLS_DISTRUSTED),
    ("alert unsupported certificate", causes.TLS_DISTRUSTED),
    ("alert no application protocol", causes.TLS_ALPN),
    ("wrong version number", causes.NO_AUTH_TLS),
    ("http request", causes.SPOKE_HTTP),
    ("unexpected eof", causes.TLS_HUNG_UP),
    ("connection lost", causes.TLS_HUNG_UP),
    ("connection reset", causes.TLS_HUNG_UP),
    ("econnreset", causes.TLS_HUNG_UP),
    ("epipe", causes.TLS_HUNG_UP),
    ("alert user cancelled", causes.TLS_HUNG_UP),
    ("alert close notify", causes.TLS_HUNG_UP),
)


def of_handshake(words: str) -> Cause:
    """Why a handshake on the control connection failed, by what OpenSSL or the kernel said."""
    words = words.lower()
    return next((cause for said, cause in _TLS if said in words), causes.TLS_FAILED)


_LOGIN: Final = {
    LoginReason.UNKNOWN: causes.LOGIN_UNKNOWN,
    LoginReason.PASSWORD: causes.LOGIN_PASSWORD,
    LoginReason.ENCODING: causes.LOGIN_PASSWORD_ENCODING,
    LoginReason.NETWORK: causes.LOGIN_ADDRESS,
    LoginReason.STAFF: causes.LOGIN_STAFF,
    LoginReason.INACTIVE: causes.LOGIN_DISABLED,
    LoginReason.NO_CERTIFICATE: causes.LOGIN_CERTIFICATE_MISSING,
    LoginReason.LOCKED: causes.LOGIN_LOCKED,
    LoginReason.USER_LOCKED: causes.LOGIN_LOCKED,
    LoginReason.ADDRESS_LOCKED: causes.LOGIN_LOCKED,
    LoginReason.RATE: causes.LOGIN_RATE,
    LoginReason.SESSIONS: causes.LOGIN_SESSIONS,
    LoginReason.CLOCK: causes.SERVICE_UNAVAILABLE,
    LoginReason.STORAGE: causes.SERVICE_UNAVAILABLE,
}
#: What :func:`securedrop_ftp.access.certificates.refusal_reason` says of a certificate.
_CERTIFICATE: Final = (
    ("CRL", causes.LOGIN_REVOCATION_LIST),  # OpenSSL: "CRL has expired", "unable to get … CRL"
    ("expired", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("not valid before", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("not yet valid", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("revoked", causes.LOGIN_CERTIFICATE_REVOKED),
)


def of_refusal(reason: LoginReason, words: str = "") -> Cause | None:
    """Why a login was refused; ``None``: that is no cause. ``words``: the whole of its reason."""
    if reason is not LoginReason.CERTIFICATE:
        return _LOGIN.get(reason)
    told = words.partition("; certificate ")[0]  # behind it stands what the client chose
    found = (cause for said, cause in _CERTIFICATE if said in told)
    return next(found, causes.LOGIN_CERTIFICATE_WRONG)


#: Where a row's reason goes on: behind its first words, for a lockout's end and a certificate too.
_FIRST_WORDS: Final = re.compile(
    rf"({'|'.join(re.escape(r) for r in sorted(LoginReason, key=len, reverse=True))})(?=[ ;:]|$)"
)


def of_login(words: str) -> Cause | None:
    """The same by the reason in a row of the trail; ``None``: it does not say."""
    found = _FIRST_WORDS.match(words)
    return of_refusal(LoginReason(found[0]), words) if found else None
