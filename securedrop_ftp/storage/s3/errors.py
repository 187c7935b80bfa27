"""From botocore's errors to ours: one table, by the S3 error code, then by the HTTP status."""

from __future__ import annotations

from typing import Final

from botocore import exceptions as sdk

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
    UnsupportedByBackend,
    VerificationFailed,
)
from securedrop_ftp.storage.retry import Fault

#: S3 error code to our exception and a sentence for the operator.
BY_CODE: Final[dict[str, tuple[type[SecureDropError], str]]] = {
    # Not there.
    "NoSuchKey": (NotFound, "There is no such object."),
    "NoSuchUpload": (NotFound, "The unfinished upload is gone."),
    "NotFound": (NotFound, "There is no such object."),
    "404": (NotFound, "There is no such object."),
    # The operator must act.
    "NoSuchBucket": (StorageRefused, "The bucket does not exist."),
    "InvalidBucketName": (StorageRefused, "The bucket's name is not valid."),
    "AccessDenied": (StorageRefused, "Access denied: the credentials lack a permission."),
    "AllAccessDisabled": (StorageRefused, "Access denied: all access is disabled."),
    "AccountProblem": (StorageRefused, "Access denied: there is a problem with the account."),
    "InvalidAccessKeyId": (StorageRefused, "The access key is not known to the storage."),
    "SignatureDoesNotMatch": (StorageRefused, "The secret key is wrong."),
    "ExpiredToken": (StorageRefused, "The session token has expired."),
    "InvalidToken": (StorageRefused, "The session token is not valid."),
    "RequestTimeTooSkewed": (StorageRefused, "This machine's clock is wrong: set it by NTP."),
    "PermanentRedirect": (StorageRefused, "The bucket is in another region: set region_name."),
    "AuthorizationHeaderMalformed": (
        StorageRefused,
        "The storage refused the signature: is region_name right?",
    ),
    "InvalidObjectState": (StorageRefused, "The object is archived: restore it first."),
    # No room.
    "QuotaExceeded": (StorageFull, "The storage's quota is used up."),
    "ServiceQuotaExceeded": (StorageFull, "The storage's quota is used up."),
    "XMinioStorageFull": (StorageFull, "The storage is full."),
    "XMinioAdminBucketQuotaExceeded": (StorageFull, "The bucket's quota is used up."),
    "InsufficientCapacity": (StorageFull, "The storage is full."),
    "EntityTooLarge": (TooLarge, "The object is larger than the storage takes."),
    # Names.
    "KeyTooLongError": (BadName, "The name is longer than the storage takes."),
    "InvalidURI": (BadName, "The storage does not take that name."),
    # Conditions.
    "PreconditionFailed": (Exists, "That name exists already."),
    # What we put is not what is there.
    "InvalidPart": (VerificationFailed, "The storage does not hold a part that was put."),
    "InvalidPartOrder": (VerificationFailed, "The parts are not in order."),
    "EntityTooSmall": (VerificationFailed, "A part is smaller than the storage takes."),
    "MalformedXML": (VerificationFailed, "The list of parts was not taken."),
    "InvalidRange": (VerificationFailed, "The range is not in the object."),
    "BadDigest": (VerificationFailed, "The bytes were damaged on the way."),
    "XAmzContentSHA256Mismatch": (VerificationFailed, "The bytes were damaged on the way."),
    "XAmzContentChecksumMismatch": (VerificationFailed, "The bytes were damaged on the way."),
    "NotImplemented": (UnsupportedByBackend, "The storage does not know that request."),
    # Later.
    "ConditionalRequestConflict": (StorageUnavailable, "Another request was in the way."),
    "OperationAborted": (StorageUnavailable, "Another request was in the way."),
    "RequestTimeout": (StorageUnavailable, "The storage did not get the request in time."),
    "SlowDown": (StorageUnavailable, "The storage is throttling."),
    "Throttling": (StorageUnavailable, "The storage is throttling."),
    "ThrottlingException": (StorageUnavailable, "The storage is throttling."),
    "TooManyRequests": (StorageUnavailable, "The storage is throttling."),
    "RequestLimitExceeded": (StorageUnavailable, "The storage is throttling."),
    "BandwidthLimitExceeded": (StorageUnavailable, "The storage is throttling."),
    "ServiceUnavailable": (StorageUnavailable, "The storage is not available."),
    "InternalError": (StorageUnavailable, "The storage failed."),
}

BY_STATUS: Final[dict[int, tuple[type[SecureDropError], str]]] = {
    301: BY_CODE["PermanentRedirect"],
    307: BY_CODE["OperationAborted"],
    401: BY_CODE["AccessDenied"],
    403: BY_CODE["AccessDenied"],
    404: BY_CODE["NoSuchKey"],
    405: BY_CODE["NotImplemented"],
    408: BY_CODE["RequestTimeout"],
    409: BY_CODE["OperationAborted"],
    411: (StorageRefused, "The storage refused the transfer encoding."),
    412: BY_CODE["PreconditionFailed"],
    413: BY_CODE["EntityTooLarge"],
    414: BY_CODE["KeyTooLongError"],
    416: BY_CODE["InvalidRange"],
    429: BY_CODE["SlowDown"],
    501: BY_CODE["NotImplemented"],
    503: BY_CODE["ServiceUnavailable"],
    507: BY_CODE["InsufficientCapacity"],
}

#: The server says so itself: nothing was done.
_REFUSED_UNDONE: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded",
     "BandwidthLimitExceeded", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
)  # fmt: skip


def fault(exc: Exception) -> Fault:
    """What a boto3 call's exception means."""
    if isinstance(exc, sdk.ClientError):
        return _answered(exc)
    if isinstance(exc, sdk.SSLError):
        return Fault(
            StorageRefused("The storage's certificate is not trusted: set verify to its CA file.")
            if "CERTIFICATE" in str(exc).upper()
            else StorageUnavailable("The TLS connection to the storage failed."),
            retry="CERTIFICATE" not in str(exc).upper(),
            may_have_happened="CERTIFICATE" not in str(exc).upper(),
        )
    if isinstance(
        exc, (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.ProxyConnectionError)
    ):
        return Fault(StorageUnavailable("The storage cannot be reached."), retry=True)
    if isinstance(exc, sdk.ReadTimeoutError):
        error = StorageUnavailable("The storage did not answer in time.")
        return Fault(error, retry=True, may_have_happened=True)
    if isinstance(exc, (sdk.NoCredentialsError, sdk.PartialCredentialsError)):
        return Fault(StorageRefused("There are no credentials for the storage."))
    if isinstance(exc, sdk.CredentialRetrievalError):
        return Fault(StorageUnavailable("The storage's credentials could not be fetched."), True)
    if isinstance(exc, (sdk.ParamValidationError, ValueError)):
        return Fault(StorageRefused(f"The storage's settings are not valid: {_line(exc)}"))
    if isinstance(exc, (sdk.HTTPClientError, sdk.BotoCoreError, OSError)):
        error = StorageUnavailable("The connection to the storage was lost.")
        return Fault(error, retry=True, may_have_happened=True)
    return Fault(StorageError(f"The storage call failed: {_line(exc)}"), may_have_happened=True)


def _answered(exc: sdk.ClientError) -> Fault:
    code = str(exc.response.get("Error", {}).get("Code", ""))
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    # HEAD has no body: its "code" is the status, and a missing bucket is a 404 like any other.
    kind, text = BY_CODE.get(code) or BY_STATUS.get(status) or _by_class(status)
    later = issubclass(kind, StorageUnavailable)
    undone = code in _REFUSED_UNDONE or status < 500 or status in (501, 503, 507)
    return Fault(kind(text), retry=later, may_have_happened=later and not undone)


def _by_class(status: int) -> tuple[type[SecureDropError], str]:
    if status >= 500 or status == 0:
        return StorageUnavailable, "The storage failed."
    return StorageError, f"The storage refused the request with status {status}."


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200]
