"""From the errors of Google's client and of HTTP to ours."""

from __future__ import annotations

from typing import Final

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooLarge,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import UPLOAD_IS_GONE
from securedrop_ftp.storage.faults import ErrorTable, Fault, Meaning

_BY_STATUS: Final[dict[int, Meaning]] = {
    400: (VerificationFailed, "The storage did not take the bytes as they were sent."),
    401: (StorageRefused, "The credentials are not valid."),
    403: (StorageRefused, "Access denied: the credentials lack a permission."),
    404: (NotFound, "There is no such object."),
    408: (StorageUnavailable, "The storage did not get the request in time."),
    410: (NotFound, UPLOAD_IS_GONE),
    412: (Exists, "That name exists already."),
    413: (TooLarge, "The object is larger than the storage takes."),
    416: (NotFound, "The range is not in the object."),
    429: (StorageUnavailable, "The storage is throttling."),
    499: (NotFound, "The unfinished upload was cancelled."),
    501: (StorageError, "The storage does not know that request."),
    503: (StorageUnavailable, "The storage is not available."),
    507: (StorageFull, "The storage is full."),
}
ANSWERS: Final = ErrorTable({}, _BY_STATUS)


def fault(exc: Exception) -> Fault:
    """What an exception of the client, or of ``requests`` beneath it, means."""
    if isinstance(exc, api.GoogleAPICallError):
        return of_status(exc.code or 0, str(exc.message))
    if isinstance(exc, (auth.DefaultCredentialsError, auth.RefreshError)):
        if getattr(exc, "retryable", False):
            return Fault(StorageUnavailable("The credentials could not be refreshed."), retry=True)
        return Fault.no_credentials()
    if isinstance(exc, requests.exceptions.SSLError):
        return Fault.of_tls(exc)
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return Fault.unreachable()
    if isinstance(exc, (requests.exceptions.RequestException, auth.TransportError, OSError)):
        no_connection = "refused" in str(exc) or "resolve" in str(exc)
        return Fault.unreachable() if no_connection else Fault.unanswered()
    return Fault.unknown(exc)


def of_status(status: int, message: str = "") -> Fault:
    """What an HTTP answer means. Google tells a quota from a permission in the message only."""
    if status == 403 and "quota" in message.lower():
        return Fault(StorageFull("The storage's quota is used up."))
    return ANSWERS.fault(status)
