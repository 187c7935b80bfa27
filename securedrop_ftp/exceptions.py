"""The exception tree. Each exception that can reach a partner carries the reply it means."""

from __future__ import annotations

import math
from uuid import UUID

from securedrop_ftp import replies
from securedrop_ftp.replies import Reply


class SecureDropError(Exception):
    """Root of everything we raise on purpose. ``reply`` is what an FTP client is told."""

    reply: Reply = replies.LOCAL_ERROR

    def __init__(self, message: str = "", *, reply: Reply | None = None) -> None:
        super().__init__(message or (reply or self.reply).text)
        if reply is not None:
            self.reply = reply


class ConfigurationError(SecureDropError):
    """A setting, certificate or argument is wrong; the message says what to do."""


# --- names ---------------------------------------------------------------------------


class BadName(SecureDropError):
    """An FTP path or an object key that we do not take. The message is for the client, too."""

    reply = replies.BAD_NAME

    def __init__(self, message: str = "", *, reply: Reply | None = None) -> None:
        told = self.reply.but(message) if message else None
        super().__init__(message, reply=reply or told)


class IntoItself(BadName):
    """A directory cannot be moved into itself."""

    reply = replies.NAME_NOT_ALLOWED


class OutsidePrefix(BadName):
    """A key outside the partner's prefix: must never happen, is checked everywhere."""

    reply = replies.NO_PERMISSION

    def __init__(self, message: str = "", *, reply: Reply | None = None) -> None:
        super().__init__(message, reply=reply or self.reply)


# --- storage -------------------------------------------------------------------------


class StorageError(SecureDropError):
    """A storage call failed and the outcome is known: nothing was changed."""

    reply = replies.LOCAL_ERROR
    #: Worth another try by the same caller, inside its deadline.
    transient = False


class NotFound(StorageError):
    """No object, no directory."""

    reply = replies.NO_SUCH_FILE


class Exists(StorageError):
    """The name is taken and may not be replaced."""

    reply = replies.ALREADY_EXISTS


class IsADirectory(StorageError):
    """A file was meant."""

    reply = replies.IS_A_DIRECTORY


class NotADirectory(StorageError):
    """A directory was meant."""

    reply = replies.NOT_A_DIRECTORY


class NotEmpty(StorageError):
    """RMD of a directory that holds something (RFC 959: refused)."""

    reply = replies.DIRECTORY_NOT_EMPTY


class StorageRefused(StorageError):
    """Access denied, no such bucket: the operator must act."""

    reply = replies.STORAGE_REFUSED


class StorageFull(StorageError):
    """No space, or a quota."""

    reply = replies.STORAGE_FULL


class TooLarge(StorageError):
    """More bytes than the backend or the partner's limit takes."""

    reply = replies.TOO_LARGE


class StorageUnavailable(StorageError):
    """Timeout, throttling, 5xx after the retries: try again later."""

    reply = replies.STORAGE_UNAVAILABLE
    transient = True


class StorageLost(StorageUnavailable):
    """The folder is not the one that files were stored in: its disk is not mounted, or another
    is. Nothing is read from it or written to it until the right one is back."""


class OutcomeUnknown(StorageError):
    """The publishing call got no answer: published or not, recovery settles it."""

    reply = replies.OUTCOME_PENDING


class VerificationFailed(StorageError):
    """Size or digest in storage differ from what was received."""


class UnsupportedByBackend(StorageError):
    """The backend cannot do that at all."""

    reply = replies.NOT_IMPLEMENTED


# --- intake --------------------------------------------------------------------------


class UploadBusy(SecureDropError):
    """Another live session holds the lease of this key."""

    reply = replies.BUSY

    @classmethod
    def by_echo(cls, seconds: float) -> UploadBusy:
        """No session has it, but what one sent may still land within ``seconds``."""
        left = math.ceil(seconds)
        text = f"An earlier upload of this file may still reach storage; try again in {left} s."
        return cls("what was sent before may still land", reply=cls.reply.but(text))


class LeaseLost(SecureDropError):
    """Our epoch is no longer the row's: another session took the upload over."""

    reply = replies.BUSY.but("Another session took this upload over.")


class UploadRejected(SecureDropError):
    """Refused by policy before the first byte."""

    reply = replies.NO_PERMISSION


class WrongType(SecureDropError):
    """A file under TYPE A, of a partner whose files go under TYPE I only."""

    reply = replies.ASCII_REFUSED


class BadOffset(SecureDropError):
    """REST to an offset that is not the durable length."""

    reply = replies.BAD_OFFSET


class LedgerUnavailable(SecureDropError):
    """The database did not take a ledger row, or did not say that it had; nothing was published.

    Attributes:
        ending_id: of the audit row that ends an attempt whose first row may be there after all.
    """

    reply = replies.LOCAL_ERROR
    ending_id: UUID | None = None


class Truncated(SecureDropError):
    """The data channel did not end with close_notify (invariant 3)."""

    reply = replies.TRANSFER_ABORTED


class Cancelled(SecureDropError):
    """ABOR, QUIT or a lost session before the publishing call."""

    reply = replies.TRANSFER_ABORTED


# --- access --------------------------------------------------------------------------


class AccessDenied(SecureDropError):
    """Logged in, but not allowed to do that."""

    reply = replies.NO_PERMISSION


class LoginFailed(SecureDropError):
    """Unknown, wrong, inactive, locked or from a refused network: told alike.

    Attributes:
        reason: a token for logs and audit, never for the client.
        locked: the attempt was refused because of a lockout.
        reply_at: ``time.monotonic()`` before which the reply should not leave, so that every
            refusal takes one duration (security bar, row 29). The caller waits without holding
            a thread.
    """

    reply = replies.LOGIN_FAILED

    def __init__(self, reason: str = "", *, locked: bool = False, reply_at: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.locked = locked
        self.reply_at = reply_at


class TooManySessions(SecureDropError):
    """The credentials are right, but the partner has all the sessions that it may have, or the
    connection has ended meanwhile: 421, and the trail has a refused login."""

    reply = replies.TOO_MANY_SESSIONS


class AccessUnavailable(SecureDropError):
    """The database did not answer: 421, never a login, never a counted failure."""

    reply = replies.SERVICE_UNAVAILABLE


class AuditUnavailable(SecureDropError):
    """The audit row could not be written where it must be."""

    reply = replies.LOCAL_ERROR


# --- sessions ------------------------------------------------------------------------


class SessionGone(BaseException):
    """Raised in a parked verb when its session closed. Not an ``Exception``: nothing may
    swallow it by mistake."""
