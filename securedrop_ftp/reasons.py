"""Which cause is meant by words that come from elsewhere: OpenSSL's, and the login's own."""

from __future__ import annotations

from typing import Final

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause

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


#: What the reason of a ``login.failed`` row begins with.
_LOGIN: Final = (
    ("password; it came in another encoding", causes.LOGIN_PASSWORD_ENCODING),
    ("password", causes.LOGIN_PASSWORD),
    ("unknown", causes.LOGIN_UNKNOWN),
    ("network", causes.LOGIN_ADDRESS),
    ("staff", causes.LOGIN_STAFF),
    ("inactive", causes.LOGIN_DISABLED),
    ("locked", causes.LOGIN_LOCKED),
    ("user locked", causes.LOGIN_LOCKED),
    ("address locked", causes.LOGIN_LOCKED),
    ("rate", causes.LOGIN_RATE),
    ("max_sessions", causes.LOGIN_SESSIONS),
    ("clock", causes.SERVICE_UNAVAILABLE),
    ("storage", causes.SERVICE_UNAVAILABLE),
)
#: What :func:`securedrop_ftp.access.certificates.refusal_reason` says of a certificate.
_CERTIFICATE: Final = (
    ("CRL", causes.LOGIN_REVOCATION_LIST),  # OpenSSL: "CRL has expired", "unable to get … CRL"
    ("expired", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("not valid before", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("not yet valid", causes.LOGIN_CERTIFICATE_EXPIRED),
    ("revoked", causes.LOGIN_CERTIFICATE_REVOKED),
)


def of_login(reason: str) -> Cause | None:
    """Why a login was refused, by the reason in its row; ``None``: it does not say."""
    if reason.startswith("no client certificate"):
        return causes.LOGIN_CERTIFICATE_MISSING
    if reason.startswith("client certificate"):
        told = reason.partition("; certificate ")[0]  # behind it stands what the client chose
        found = (cause for said, cause in _CERTIFICATE if said in told)
        return next(found, causes.LOGIN_CERTIFICATE_WRONG)
    return next((cause for begins, cause in _LOGIN if reason.startswith(begins)), None)
