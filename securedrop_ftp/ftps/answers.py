"""What an FTP client is told: the one table from exceptions to replies.

:data:`ANSWERS` has an entry for each class of :mod:`securedrop_ftp.exceptions`; a class without one
of its own has that of its nearest base. The exceptions of this file are the protocol's own: each
brings its reply with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from securedrop_ftp import exceptions as errors
from securedrop_ftp import replies
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.intake.appending import APPENDS
from securedrop_ftp.intake.receipt import Receipt
from securedrop_ftp.replies import Reply

# --- exceptions of the protocol --------------------------------------------------------


class Refused(SecureDropError):
    """A command ends with the reply that it brings."""

    def __init__(self, reply: Reply, message: str = "") -> None:
        super().__init__(message or reply.text)
        self.reply = reply


class NoDataChannel(Refused):
    """The data channel did not come, or was not the client's. Send PASV or EPSV again."""

    def __init__(self, reply: Reply = replies.NO_DATA_CHANNEL) -> None:
        super().__init__(reply)


class CutShort(Refused, errors.Truncated):
    """The data channel ended too early, and the reply says more of it."""


class Stopped(Refused, errors.Cancelled):
    """The transfer was cancelled, and the reply says by what."""


class Denied(Refused, errors.AccessDenied):
    """The account may not use the verb, which the reply names."""


# --- the table ------------------------------------------------------------------------


def _bad_name(error: errors.BadName) -> Reply:
    return replies.BAD_NAME.but(str(error))


def _no_directory(error: errors.NoDirectory) -> Reply:
    if not error.path:
        return replies.NO_DIRECTORY
    return replies.NO_DIRECTORY.but(f"There is no directory {error.path}; make it first (MKD).")


def _into_itself(error: errors.IntoItself) -> Reply:
    return replies.INTO_ITSELF.but(str(error))


def _too_large(error: errors.TooLarge) -> Reply:
    if error.limit is None:
        return replies.TOO_LARGE
    return replies.TOO_LARGE.but(f"The file is larger than {error.limit} bytes.")


def _too_large_for_parts(error: errors.TooLargeForParts) -> Reply:
    return replies.TOO_LARGE.but(f"At most {error.limit} bytes can be taken.")


def _busy(error: errors.UploadBusy) -> Reply:
    if error.seconds is None:
        return replies.BUSY
    left = math.ceil(error.seconds)
    return replies.BUSY.but(
        f"An earlier upload of this file may still reach storage; try again in {left} s."
    )


def _bad_offset(error: errors.BadOffset) -> Reply:
    if error.durable is None:
        return replies.BAD_OFFSET
    if not error.durable:
        return replies.BAD_OFFSET.but("There is nothing to go on with; send the file whole.")
    return replies.BAD_OFFSET.but(
        f"Restart at {error.durable}: that is what is stored of this upload."
    )


def _not_at_the_end(error: errors.NotAtTheEnd) -> Reply:
    return replies.BAD_OFFSET.but(
        f"The file has {error.durable} bytes; REST {error.durable} appends to it. Or send it whole."
    )


def _appended_already(error: errors.AppendedAlready) -> Reply:
    return replies.BAD_OFFSET.but(
        f"What you sent last was stored: the file has {error.durable} bytes. Send what is missing."
    )


def _its_own(error: Refused) -> Reply:
    return error.reply


#: Each class of the tree, and the reply to it or a function that makes it.
ANSWERS: Final[Mapping[type[SecureDropError], Reply | Callable[[Any], Reply]]] = {
    SecureDropError: replies.LOCAL_ERROR,
    errors.ConfigurationError: replies.LOCAL_ERROR,
    # names
    errors.BadName: _bad_name,
    errors.IntoItself: _into_itself,
    errors.OutsidePrefix: replies.NO_PERMISSION,
    # storage
    errors.StorageError: replies.LOCAL_ERROR,
    errors.NotFound: replies.NO_SUCH_FILE,
    errors.Exists: replies.ALREADY_EXISTS,
    errors.IsADirectory: replies.IS_A_DIRECTORY,
    errors.NotADirectory: replies.NOT_A_DIRECTORY,
    errors.NoDirectory: _no_directory,
    errors.NotEmpty: replies.DIRECTORY_NOT_EMPTY,
    errors.TooManyToMove: replies.NO_PERMISSION.but(
        "More than 10000 files are in that directory; rename them in smaller steps, or ask the "
        "operator (partner_rename_directory)."
    ),
    errors.StorageRefused: replies.STORAGE_REFUSED,
    errors.StorageFull: replies.STORAGE_FULL,
    errors.TooLarge: _too_large,
    errors.TooLargeForParts: _too_large_for_parts,
    errors.StorageUnavailable: replies.STORAGE_UNAVAILABLE,
    errors.StorageLost: replies.STORAGE_UNAVAILABLE,
    errors.OutcomeUnknown: replies.OUTCOME_PENDING,
    errors.VerificationFailed: replies.LOCAL_ERROR,
    errors.UnsupportedByBackend: replies.NOT_IMPLEMENTED,
    # uploads
    errors.UploadBusy: _busy,
    errors.NameBusy: replies.BUSY.but(
        "The name is being renamed, deleted or written; try again in a moment."
    ),
    errors.LeaseLost: replies.BUSY.but("Another session took this upload over."),
    errors.UploadRejected: replies.NO_PERMISSION,
    errors.AlreadyFinished: replies.NO_PERMISSION.but(
        "The file is finished and nothing is appended to it: send it whole, by one STOR under "
        "TYPE I (fsspec: a block_size larger than the file)."
    ),
    errors.AnothersFile: replies.NO_PERMISSION.but(
        "Only a file that this account stored is appended to; send it whole, by one STOR."
    ),
    errors.TooManyAppends: replies.TOO_LARGE.but(
        f"A file is appended to at most {APPENDS} times in 24 hours; send it whole, by one STOR."
    ),
    errors.AppendedFileChanged: replies.BUSY.but(
        "The file was replaced, renamed or deleted meanwhile; nothing was appended. Look at it, "
        "then try again."
    ),
    errors.WrongType: replies.ASCII_REFUSED,
    errors.BadOffset: _bad_offset,
    errors.NotAtTheEnd: _not_at_the_end,
    errors.AppendedAlready: _appended_already,
    errors.ConvertedFromStart: replies.NO_RESTART_IN_ASCII,
    errors.LedgerUnavailable: replies.LOCAL_ERROR,
    errors.LedgerFull: replies.STORAGE_FULL,
    errors.UploadNotBegun: replies.SERVICE_UNAVAILABLE,
    errors.DatabaseUnavailable: replies.NOT_NOW,
    errors.Truncated: replies.TRANSFER_ABORTED,
    errors.Cancelled: replies.TRANSFER_ABORTED,
    # accounts
    errors.AccessDenied: replies.NO_PERMISSION,
    errors.LoginFailed: replies.LOGIN_FAILED,
    errors.TooManySessions: replies.TOO_MANY_SESSIONS,
    errors.NoStorageForLogin: replies.NO_STORAGE,
    errors.StorageNotSeen: replies.NO_STORAGE,
    errors.AccessUnavailable: replies.SERVICE_UNAVAILABLE,
    errors.AuditUnavailable: replies.LOCAL_ERROR,
    # the protocol's own
    Refused: _its_own,
}


def answer(error: BaseException) -> Reply:
    """The reply to an exception; one that is not ours is a local error."""
    made = next((ANSWERS[c] for c in type(error).__mro__ if c in ANSWERS), replies.LOCAL_ERROR)
    return made if isinstance(made, Reply) else made(error)


def stored(receipt: Receipt) -> Reply:
    """226 for a file that is stored (invariant 1)."""
    text = f"Transfer complete; {receipt.size} bytes; SHA-256 {receipt.sha256}"
    if receipt.sent is not None:
        text += f"; {receipt.sent.size} bytes came under TYPE A, CR LF is stored as LF"
    if receipt.version_of:
        text += f"; stored as {receipt.path.rpartition('/')[2]}"
    if receipt.joined_at is not None:
        text += f"; joined at {receipt.joined_at}"
    if receipt.appended_at is not None:
        text += f"; appended at {receipt.appended_at}"
    if receipt.already_stored:
        text += "; it was stored already"
    return replies.TRANSFER_COMPLETE.but(text + ".")


class FtpsDoor:
    """How the rows of the trail quote this door: what the client is told, code and text. See
    :class:`securedrop_ftp.intake.door.Door` and :class:`securedrop_ftp.access.attempt.Door`."""

    def refused(self, error: SecureDropError) -> str:
        """The reply to an exception."""
        return str(answer(error))

    def stored(self, receipt: Receipt) -> str:
        """The reply to an upload that is stored."""
        return str(stored(receipt))

    def logged_in(self, *, by_certificate: bool) -> str:
        """The reply to a login."""
        told = replies.LOGGED_IN_BY_CERTIFICATE if by_certificate else replies.LOGGED_IN
        return str(told)


FTPS: Final = FtpsDoor()
