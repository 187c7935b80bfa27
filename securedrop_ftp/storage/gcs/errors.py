"""From the errors of Google's client and of HTTP to ours."""

from __future__ import annotations

from typing import Final

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    SecureDropError,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooLarge,
    VerificationFailed,
)
from securedrop_ftp.storage.retry import Fault

BY_STATUS: Final[dict[int, tuple[type[SecureDropError], str]]] = {
    400: (VerificationFailed, "The storage did not take the bytes as they were sent."),
    401: (StorageRefused, "The credentials are not valid."),
    403: (StorageRefused, "Access denied: the credentials lack a permission."),
    404: (NotFound, "There is no such object."),
    408: (StorageUnavailable, "The storage did not get the request in time."),
    410: (NotFound, "The unfinished upload is gone."),
    412: (Exists, "That name exists already."),
    413: (TooLarge, "The object is larger than the storage takes."),
    416: (NotFound, "The range is not in the object."),
    429: (StorageUnavailable, "The storage is throttling."),
    499: (NotFound, "The unfinished upload was cancelled."),
    501: (StorageError, "The storage does not know that request."),
    503: (StorageUnavailable, "The storage is not available."),
    507: (StorageFull, "The storage is full."),
}
#: 429 and 503 are refusals: nothing was done.
_UNDONE: Final = frozenset({408, 429, 503})


def fault(exc: Exception) -> Fault:
    """What an exception of the client, or of ``requests`` beneath it, means."""
    if isinstance(exc, api.GoogleAPICallError):
        return of_status(exc.code or 0, str(exc.message))
    if isinstance(exc, (auth.DefaultCredentialsError, auth.RefreshError)):
        retry = bool(getattr(exc, "retryable", False))
        if retry:
            return Fault(StorageUnavailable("The credentials could not be refreshed."), True)
        return Fault(StorageRefused("There are no valid credentials for the storage."))
    if isinstance(exc, requests.exceptions.SSLError):
        return Fault(StorageRefused("The storage's certificate is not trusted."))
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return Fault(StorageUnavailable("The storage cannot be reached."), retry=True)
    if isinstance(exc, (requests.exceptions.RequestException, auth.TransportError, OSError)):
        refused = "refused" in str(exc) or "resolve" in str(exc)
        error = StorageUnavailable(
            "The storage cannot be reached." if refused else "The storage did not answer."
        )
        return Fault(error, retry=True, may_have_happened=not refused)
    return Fault(StorageError(f"The storage call failed: {type(exc).__name__}."), False, True)


def of_status(status: int, message: str = "") -> Fault:
    """What an HTTP status means."""
    if status == 403 and "quota" in message.lower():
        return Fault(StorageFull("The storage's quota is used up."))
    kind, text = BY_STATUS.get(status) or (
        (StorageUnavailable, "The storage failed.")
        if status >= 500
        else (StorageError, f"The storage refused the request with status {status}.")
    )
    later = issubclass(kind, StorageUnavailable)
    return Fault(kind(text), retry=later, may_have_happened=later and status not in _UNDONE)
