"""What we raise on purpose. Each class says what happened, then what to do about it.

::

    SecureDropError
    ├── ConfigurationError
    ├── BadName
    │   ├── IntoItself
    │   └── OutsidePrefix
    ├── StorageError
    │   ├── NotFound
    │   ├── Exists
    │   ├── IsADirectory
    │   ├── NotADirectory
    │   ├── NoDirectory
    │   ├── NotEmpty
    │   ├── TooManyToMove
    │   ├── StorageRefused
    │   ├── StorageFull
    │   ├── TooLarge
    │   │   └── TooLargeForParts
    │   ├── StorageUnavailable
    │   │   └── StorageLost
    │   ├── OutcomeUnknown
    │   ├── VerificationFailed
    │   └── UnsupportedByBackend
    ├── UploadBusy
    │   └── NameBusy
    ├── LeaseLost
    ├── UploadRejected
    │   ├── AlreadyFinished
    │   │   └── AnothersFile
    │   ├── TooManyAppends
    │   └── AppendedFileChanged
    ├── WrongType
    ├── BadOffset
    │   ├── ConvertedFromStart
    │   ├── NotAtTheEnd
    │   └── AppendedAlready
    ├── LedgerUnavailable
    │   ├── LedgerFull
    │   └── UploadNotBegun
    ├── DatabaseUnavailable
    ├── Truncated
    ├── Cancelled
    ├── AccessDenied
    ├── LoginFailed
    ├── TooManySessions
    ├── NoStorageForLogin
    ├── StorageNotSeen
    ├── AccessUnavailable
    └── AuditUnavailable
    SessionGone (a BaseException)

The tree speaks no protocol. Each door maps it to what its clients are told, FTPS in
:mod:`securedrop_ftp.ftps.answers`. Raised without a message, an exception has the first sentence of
its docstring for one.
"""

from __future__ import annotations

import inspect
from enum import StrEnum
from uuid import UUID


def _first_sentence(of: type[BaseException]) -> str:
    text = " ".join((inspect.getdoc(of) or of.__name__).split("\n\n")[0].split())
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


class SecureDropError(Exception):
    """The service met an internal error. Operator: the log has its traceback."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or _first_sentence(type(self)))

    @property
    def kind(self) -> str:
        """The name of its class in this module, for the ledger and the trail. A door may have
        subclasses of its own; their names stand in no row."""
        return next(c.__name__ for c in type(self).__mro__ if c.__module__ == __name__)


class ConfigurationError(SecureDropError):
    """A setting, a certificate or an argument is wrong. The message says what to do."""


# --- names ---------------------------------------------------------------------------


class BadName(SecureDropError):
    """The name is not valid UTF-8 or holds a character that is not allowed. Send the file under
    another name; the message may be shown to the client."""


class IntoItself(BadName):
    """A directory cannot move into itself. Choose another target."""


class OutsidePrefix(BadName):
    """The key lies outside the partner's prefix. It must never happen, and is checked everywhere:
    report it."""


# --- storage -------------------------------------------------------------------------


class StorageError(SecureDropError):
    """A storage call failed. Its outcome is known: nothing was changed."""

    #: Worth another try by the same caller, inside its deadline.
    transient = False


class NotFound(StorageError):
    """No such file or directory. Look at the listing for its name."""


class Exists(StorageError):
    """That name exists already. Send under another, or let the partner replace files."""


class IsADirectory(StorageError):
    """The path is a directory. Name a file."""


class NotADirectory(StorageError):
    """The path is not a directory. Name one."""


class NoDirectory(StorageError):
    """A directory above the name is not there. Make it with MKD; operator: ``partner_set
    --directory``, or let the partner's names make theirs (``--create-directories on``).

    Attributes:
        path: the FTP path of the uppermost one that is missing.
    """

    def __init__(self, path: str = "") -> None:
        super().__init__(path and f"There is no directory {path}.")
        self.path = path


class NotEmpty(StorageError):
    """The directory is not empty. Delete what is in it first."""


class TooManyToMove(StorageError):
    """The directory holds more than 10 000 files, which this storage would have to copy one by one.
    Rename what is in it in smaller steps; operator: ``partner_rename_directory`` has no such
    bound."""


class StorageRefused(StorageError):
    """Storage refused the request. Operator: check the bucket's name and the rights of the
    credentials."""


class StorageFull(StorageError):
    """Storage is full or over its quota. Operator: make room, then the client sends again."""


class TooLarge(StorageError):
    """The file is larger than the service takes. Operator: raise the partner's limit, if it is the
    partner's.

    Attributes:
        limit: bytes that a file may have, where that is known.
    """

    def __init__(self, message: str = "", *, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class TooLargeForParts(TooLarge):
    """The file is larger than all the parts of an upload together. Operator: raise
    ``SECUREDROP_MAX_PART_SIZE``, or switch ``SECUREDROP_DISK_SPOOL`` on."""


class StorageUnavailable(StorageError):
    """Storage is not available. It timed out, was throttled or failed after the retries; try again
    later."""

    transient = True


class StorageLost(StorageUnavailable):
    """The folder is not the one that files were stored in. Its disk is not mounted, or another is:
    nothing is read from it or written to it until the operator has put the right one back."""


class OutcomeUnknown(StorageError):
    """Storage did not say whether it published. Recovery settles it; the client may send the same
    file again, it is not stored twice."""


class VerificationFailed(StorageError):
    """Size or digest in storage differ from what was received. The file was not published; send it
    again."""


class UnsupportedByBackend(StorageError):
    """The storage cannot do that. Operator: choose a storage that can."""


# --- intake --------------------------------------------------------------------------


class UploadBusy(SecureDropError):
    """The file is being written by another session. Try again later.

    Attributes:
        seconds: for which an earlier upload may still reach storage, where no session writes the
            file now.
    """

    def __init__(self, message: str = "", *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class NameBusy(UploadBusy):
    """The name is being renamed, deleted or written. Try again in a moment.

    Attributes:
        key: of the name, where an act has several.
    """

    def __init__(self, message: str = "", *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class LeaseLost(SecureDropError):
    """Another session took this upload over. The client that was cut off is most likely back."""


class UploadRejected(SecureDropError):
    """The upload is not permitted. Operator: grant the account the permission that it lacks."""


class AlreadyFinished(UploadRejected):
    """A finished file cannot be appended to. Send it whole."""


class AnothersFile(AlreadyFinished):
    """The account did not store that file, as far as the ledger knows, and may not append to it.
    Send it whole."""


class TooManyAppends(UploadRejected):
    """The file was appended to too often in 24 hours. Send it whole."""


class AppendedFileChanged(UploadRejected):
    """The file is not the one that was stored, or was replaced, renamed or deleted while bytes for
    its end came. Nothing was appended; look at the file, then try again."""


class WrongType(SecureDropError):
    """The partner's files go as they are, their line ends are not converted. Switch to binary
    first."""


class BadOffset(SecureDropError):
    """The offset is not the durable length of the upload. Go on at ``durable``.

    Attributes:
        durable: bytes that are stored of the upload, 0 where there is nothing to go on with;
            ``None`` where it was not looked at.
    """

    def __init__(self, message: str = "", *, durable: int | None = None) -> None:
        told = f"{durable} bytes are stored of the upload" if durable is not None else ""
        super().__init__(message or told)
        self.durable = durable


class ConvertedFromStart(BadOffset):
    """What is converted on its way goes from its first byte. Send it whole, or as binary."""


class NotAtTheEnd(BadOffset):
    """What is appended begins at the end of the file, of ``durable`` bytes. Go on there, or send
    the file whole."""


class AppendedAlready(BadOffset):
    """What was sent last is in the file of ``durable`` bytes, though its client was told that the
    outcome was pending. Send what is missing."""


class LedgerUnavailable(SecureDropError):
    """The database did not take a row of the ledger, or did not say that it had. Nothing was
    published; try again later.

    Attributes:
        ending_id: of the audit row that ends an attempt whose first row may be there after all.
    """

    ending_id: UUID | None = None


class LedgerFull(LedgerUnavailable):
    """The database has no room for a new upload. Operator: make room on its disk."""


class UploadNotBegun(LedgerUnavailable):
    """The database did not take the first row of an upload. Try again later."""


class DatabaseUnavailable(SecureDropError):
    """The database did not answer what a command asked of it. Try again later."""


class Truncated(SecureDropError):
    """The transfer ended before the file was whole (invariant 3). Send the file again, or go on
    with it where it is kept."""


class Cancelled(SecureDropError):
    """The transfer was cancelled before the file was published. Send the file again."""


# --- access --------------------------------------------------------------------------


class AccessDenied(SecureDropError):
    """The account may not do that. Operator: grant it the permission, if it should."""


class LoginReason(StrEnum):
    """Why a login was refused: the first words of the reason in its row, up to a ``;`` or a ``:``,
    behind which the row says more."""

    UNKNOWN = "unknown"
    PASSWORD = "password"  # noqa: S105  (a word, and no secret)
    ENCODING = "password; it came in another encoding than UTF-8"
    NETWORK = "network"
    STAFF = "staff"
    INACTIVE = "inactive"
    CERTIFICATE = "client certificate"
    NO_CERTIFICATE = "no client certificate"
    LOCKED = "locked"
    USER_LOCKED = "user locked"
    ADDRESS_LOCKED = "address locked"
    RATE = "rate"
    SESSIONS = "max_sessions"
    GONE = "the connection ended before the login did"
    CLOCK = "clock"
    STORAGE = "storage"


class LoginFailed(SecureDropError):
    """The login was refused: the account is unknown, inactive or locked, the password or the
    certificate is wrong, or its network may not. Doors tell all of them alike.

    Attributes:
        reason: why, in words for logs and audit, never for the client.
        why: the same as a value; ``None``: not known.
        locked: the attempt was refused because of a lockout.
        reply_at: ``time.monotonic()`` before which the answer should not leave, so that every
            refusal takes one duration (security bar, row 29). The caller waits without holding
            a thread.
    """

    def __init__(
        self,
        reason: str = "",
        *,
        why: LoginReason | None = None,
        locked: bool = False,
        reply_at: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.why = why
        self.locked = locked
        self.reply_at = reply_at


class TooManySessions(SecureDropError):
    """The partner has all the sessions that it may have, or the connection ended before its login.
    The credentials are right; close a session and log in again."""


class NoStorageForLogin(SecureDropError):
    """The partner's storage cannot be used. The credentials are right; log in again later.
    Operator: run ``doctor``, the log says why."""


class StorageNotSeen(SecureDropError):
    """The partner's storage was not looked at in this process. Look at it, then log in again:
    nothing was counted and no row was left."""


class AccessUnavailable(SecureDropError):
    """The accounts could not be asked. That is no login and no counted failure; try again later."""


class AuditUnavailable(SecureDropError):
    """The audit row could not be written where it must be. Operator: look at the database."""


# --- sessions ------------------------------------------------------------------------


class SessionGone(BaseException):
    """The session of a parked verb has closed. Not an ``Exception``: nothing may swallow it by
    mistake."""


def forget_frames(error: BaseException) -> BaseException:
    """Take the tracebacks off an exception that is kept, and off what led to it; gives it back.

    A traceback holds frames, and these hold what kept the exception: a cycle, which stays in memory
    until the garbage collector's next full run. Who wants the traceback logs it before.
    """
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        chain.__traceback__ = None
        chain = chain.__cause__ or chain.__context__
    return error
