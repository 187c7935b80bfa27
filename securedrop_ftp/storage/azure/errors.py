"""From the errors of Azure's client to ours: by its error code, then by the HTTP status."""

from __future__ import annotations

from typing import Final

from azure.core import exceptions as sdk

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    NotFound,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooLarge,
    VerificationFailed,
)
from securedrop_ftp.storage.faults import ErrorTable, Fault, Meaning

_BY_CODE: Final[dict[str, Meaning]] = {
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

_BY_STATUS: Final[dict[int, Meaning]] = {
    401: (StorageRefused, "The credentials are not valid."),
    403: (StorageRefused, "Access denied: the credentials lack a permission."),
    404: (NotFound, "There is no such object."),
    408: _BY_CODE["OperationTimedOut"],
    409: (StorageUnavailable, "Another request was in the way."),
    412: _BY_CODE["ConditionNotMet"],
    413: _BY_CODE["RequestBodyTooLarge"],
    416: (VerificationFailed, "The range is not in the object."),
    429: _BY_CODE["ServerBusy"],
    503: _BY_CODE["ServerBusy"],
    507: (StorageFull, "The storage is full."),
}
ANSWERS: Final = ErrorTable(_BY_CODE, _BY_STATUS)


def fault(exc: Exception) -> Fault:
    """What an exception of the client means."""
    if isinstance(exc, sdk.ServiceRequestError):  # no connection was made
        return Fault.of_tls(exc) if "CERTIFICATE" in str(exc).upper() else Fault.unreachable()
    if isinstance(exc, sdk.HttpResponseError) and exc.status_code:
        code = getattr(exc, "error_code", "") or ""  # an enum's member where the SDK knows it
        return ANSWERS.fault(int(exc.status_code), str(getattr(code, "value", code)))
    if isinstance(exc, sdk.ClientAuthenticationError):
        return Fault.no_credentials()
    if isinstance(exc, (sdk.AzureError, OSError)):  # ServiceResponseError, IncompleteReadError
        return Fault.unanswered()
    return Fault.unknown(exc)
