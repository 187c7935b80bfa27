"""Resume tokens at rest: encrypted with a key derived from Django's ``SECRET_KEY``.

A GCS resumable session address is a bearer credential, an S3 multipart id nearly one (security
bar, row 34): the ledger holds Fernet text (AES-128-CBC with HMAC-SHA-256) and nothing shows it.
The Fernet key is HKDF-SHA-256 (RFC 5869) of the secret key with a label of its own.

Key rotation: new tokens use ``SECRET_KEY``; old ones are still read while the old key stands in
``SECRET_KEY_FALLBACKS``. Once it is gone, uploads suspended under it cannot go on and are
started anew by their clients.
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_LABEL: Final = b"securedrop_ftp resume token v1"


def _fernet(secret: str | bytes) -> Fernet:
    raw = secret.encode() if isinstance(secret, str) else secret
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(raw)
    return Fernet(base64.urlsafe_b64encode(key))


def _ring() -> MultiFernet:
    return MultiFernet(
        [_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )


def seal(token: str) -> str:
    """The token encrypted; ``""`` stays ``""``."""
    return _ring().encrypt(token.encode()).decode() if token else ""


def unseal(sealed: str) -> str | None:
    """The token, or ``None`` if no key of ours opens it."""
    if not sealed:
        return ""
    try:
        return _ring().decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None
