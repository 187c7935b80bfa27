"""From botocore's errors to ours: one table, by the S3 error code, then by the HTTP status."""

from __future__ import annotations

from typing import Final

from botocore import exceptions as sdk

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    NotFound,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooLarge,
    UnsupportedByBackend,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import UPLOAD_IS_GONE
from securedrop_ftp.storage.faults import ErrorTable, Fault, Meaning

#: S3 error code to our exception and a sentence for the operator.
_BY_CODE: Final[dict[str, Meaning]] = {
    # Not there.
    "NoSuchKey": (NotFound, "There is no such object."),
    "NoSuchUpload": (NotFound, UPLOAD_IS_GONE),
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

_BY_STATUS: Final[dict[int, Meaning]] = {
    301: _BY_CODE["PermanentRedirect"],
    307: _BY_CODE["OperationAborted"],
    401: _BY_CODE["AccessDenied"],
    403: _BY_CODE["AccessDenied"],
    404: _BY_CODE["NoSuchKey"],
    405: _BY_CODE["NotImplemented"],
    408: _BY_CODE["RequestTimeout"],
    409: _BY_CODE["OperationAborted"],
    411: (StorageRefused, "The storage refused the transfer encoding."),
    412: _BY_CODE["PreconditionFailed"],
    413: _BY_CODE["EntityTooLarge"],
    414: _BY_CODE["KeyTooLongError"],
    416: _BY_CODE["InvalidRange"],
    429: _BY_CODE["SlowDown"],
    501: _BY_CODE["NotImplemented"],
    503: _BY_CODE["ServiceUnavailable"],
    507: _BY_CODE["InsufficientCapacity"],
}

#: Codes that say that nothing was done, also behind a status of 200 or 500.
_NOT_DONE: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded",
     "BandwidthLimitExceeded", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
)  # fmt: skip
ANSWERS: Final = ErrorTable(_BY_CODE, _BY_STATUS, _NOT_DONE)


def fault(exc: Exception) -> Fault:
    """What a boto3 call's exception means."""
    if isinstance(exc, sdk.ClientError):
        return _answered(exc)
    if isinstance(exc, sdk.SSLError):
        return Fault.of_tls(exc, hint=": set verify to its CA file")
    if isinstance(
        exc, (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.ProxyConnectionError)
    ):
        return Fault.unreachable()
    if isinstance(exc, sdk.ReadTimeoutError):
        return Fault.unanswered("The storage did not answer in time.")
    if isinstance(exc, (sdk.NoCredentialsError, sdk.PartialCredentialsError)):
        return Fault.no_credentials()
    if isinstance(exc, sdk.CredentialRetrievalError):
        error = StorageUnavailable("The storage's credentials could not be fetched.")
        return Fault(error, retry=True)
    if isinstance(exc, (sdk.ParamValidationError, ValueError)):
        reason = " ".join(str(exc).split())[:200]
        return Fault(StorageRefused(f"The storage's settings are not valid: {reason}"))
    if isinstance(exc, (sdk.HTTPClientError, sdk.BotoCoreError, OSError)):
        return Fault.unanswered()
    return Fault.unknown(exc)


def _answered(exc: sdk.ClientError) -> Fault:
    # HEAD has no body: its "code" is the status, and a missing bucket is a 404 like any other.
    code = str(exc.response.get("Error", {}).get("Code", ""))
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return ANSWERS.fault(status, code)
