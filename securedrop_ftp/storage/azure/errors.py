"""From the errors of Azure's client to ours: by its error code, then by the HTTP status."""

from __future__ import annotations

from typing import Final

from azure.core import exceptions as sdk

from securedrop_ftp.exceptions import (
    BadName,
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

BY_CODE: Final[dict[str, tuple[type[SecureDropError], str]]] = {
    "ContainerNotFound": (StorageRefused, "The container does not exist."),
    "ContainerBeingDeleted": (StorageRefused, "The container is being deleted."),
    "ContainerDisabled": (StorageRefused, "The container is disabled."),
    "AuthenticationFailed": (StorageRefused, "The account's key or signature is wrong."),
    "AccountIsDisabled": (StorageRefused, "The account is disabled."),
    "BlobAlreadyExists": (Exists, "That name exists already."),
    "UnauthorizedBlobOverwrite": (Exists, "That name exists already."),
    "ConditionNotMet": (Exists, "That name exists already."),
    "InvalidBlockList": (VerificationFailed, "The storage does not hold a part that was put."),
    "InvalidBlockId": (VerificationFailed, "The storage does not take that part's name."),
    "InvalidBlobOrBlock": (VerificationFailed, "The storage does not take that part."),
    "Md5Mismatch": (VerificationFailed, "The bytes were damaged on the way."),
    "RequestBodyTooLarge": (TooLarge, "The object is larger than the storage takes."),
    "InvalidResourceName": (BadName, "The storage does not take that name."),
    "InvalidUri": (BadName, "The storage does not take that name."),
    "BlobArchived": (StorageRefused, "The object is archived: restore it first."),
    "ServerBusy": (StorageUnavailable, "The storage is throttling."),
    "OperationTimedOut": (StorageUnavailable, "The storage did not answer in time."),
    "InternalError": (StorageUnavailable, "The storage failed."),
}

BY_STATUS: Final[dict[int, tuple[type[SecureDropError], str]]] = {
    401: (StorageRefused, "The credentials are not valid."),
    403: (StorageRefused, "Access denied: the credentials lack a permission."),
    404: (NotFound, "There is no such object."),
    408: BY_CODE["OperationTimedOut"],
    409: (StorageUnavailable, "Another request was in the way."),
    412: BY_CODE["ConditionNotMet"],
    413: BY_CODE["RequestBodyTooLarge"],
    416: (VerificationFailed, "The range is not in the object."),
    429: BY_CODE["ServerBusy"],
    503: BY_CODE["ServerBusy"],
    507: (StorageFull, "The storage is full."),
}
_UNDONE: Final = frozenset({408, 409, 429, 503})


def fault(exc: Exception) -> Fault:
    """What an exception of the client means."""
    if isinstance(exc, sdk.ServiceRequestError):
        if "CERTIFICATE" in str(exc).upper():
            return Fault(StorageRefused("The storage's certificate is not trusted."))
        return Fault(StorageUnavailable("The storage cannot be reached."), retry=True)
    if isinstance(exc, sdk.HttpResponseError) and exc.status_code:
        code = getattr(exc, "error_code", "") or ""  # an enum's member where the SDK knows it
        return _answered(int(exc.status_code), str(getattr(code, "value", code)))
    if isinstance(exc, sdk.ClientAuthenticationError):
        return Fault(StorageRefused("There are no valid credentials for the storage."))
    if isinstance(exc, (sdk.AzureError, OSError)):
        # ServiceResponseError, IncompleteReadError: sent, but not answered.
        error = StorageUnavailable("The connection to the storage was lost.")
        return Fault(error, retry=True, may_have_happened=True)
    return Fault(StorageError(f"The storage call failed: {type(exc).__name__}."), False, True)


def _answered(status: int, code: str) -> Fault:
    kind, text = BY_CODE.get(code) or BY_STATUS.get(status) or _by_class(status)
    later = issubclass(kind, StorageUnavailable)
    return Fault(kind(text), retry=later, may_have_happened=later and status not in _UNDONE)


def _by_class(status: int) -> tuple[type[SecureDropError], str]:
    if status >= 500:
        return StorageUnavailable, "The storage failed."
    return StorageError, f"The storage refused the request with status {status}."
