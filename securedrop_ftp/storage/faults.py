"""What a failed request to an object store means: one kind of table for all of them.

Each store maps its own error codes and HTTP statuses to our exceptions (``s3/errors.py`` and so
on). Whether a request that failed may have been carried out, or may still be, is decided here and
nowhere else: an upload's name is held back while that is so (docs/adr/0005-commit-protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from securedrop_ftp.exceptions import (
    SecureDropError,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)

#: Our exception, and its sentence for the operator.
Meaning = tuple[type[SecureDropError], str]

#: Statuses from 500 that say that nothing was done: not implemented, not available (throttled),
#: no space.
_NOT_DONE: Final = frozenset({501, 503, 507})


@dataclass(frozen=True, slots=True)
class Fault:
    """What a failed try means.

    Attributes:
        error: ours.
        retry: another try may go better.
        may_have_happened: the server may have carried the request out, or may still do it.
    """

    error: SecureDropError
    retry: bool = False
    may_have_happened: bool = False

    @classmethod
    def unreachable(cls) -> Fault:
        """No connection was made, so nothing was sent."""
        return cls(StorageUnavailable("The storage cannot be reached."), retry=True)

    @classmethod
    def unanswered(cls, text: str = "The connection to the storage was lost.") -> Fault:
        """The request, or a part of it, was sent, and no answer came."""
        return cls(StorageUnavailable(text), retry=True, may_have_happened=True)

    @classmethod
    def of_tls(cls, exc: Exception, hint: str = "") -> Fault:
        """TLS failed: over the server's certificate, which an operator must mend, or in any other
        way, at any moment of the connection."""
        if "CERTIFICATE" in str(exc).upper():
            return cls(StorageRefused(f"The storage's certificate is not trusted{hint}."))
        return cls.unanswered("The TLS connection to the storage failed.")

    @classmethod
    def no_credentials(cls) -> Fault:
        """An operator must set or renew them."""
        return cls(StorageRefused("There are no valid credentials for the storage."))

    @classmethod
    def unknown(cls, exc: Exception) -> Fault:
        """Anything else. Its text is in the traceback only: it may hold an address with a
        secret."""
        error = StorageError(f"The storage call failed: {type(exc).__name__}.")
        return cls(error, may_have_happened=True)


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What a store's answers mean.

    Attributes:
        by_code: by the store's own error code, which goes before the status.
        by_status: by the HTTP status.
        not_done: codes by which the server says that it did nothing, whatever the status is.
    """

    by_code: Mapping[str, Meaning]
    by_status: Mapping[int, Meaning]
    not_done: frozenset[str] = frozenset()

    def fault(self, status: int, code: str = "") -> Fault:
        """The meaning of an answer; ``status`` is 0 where the client did not tell it."""
        kind, text = self.by_code.get(code) or self.by_status.get(status) or _by_class(status)
        later = issubclass(kind, StorageUnavailable)
        done = code not in self.not_done and not _says_not_done(status)
        return Fault(kind(text), retry=later, may_have_happened=later and done)


def _says_not_done(status: int) -> bool:
    return 300 <= status < 500 or status in _NOT_DONE


def _by_class(status: int) -> Meaning:
    if status >= 500 or status == 0:
        return StorageUnavailable, "The storage failed."
    return StorageError, f"The storage refused the request with status {status}."
