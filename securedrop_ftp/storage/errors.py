"""From the errors of operating systems to ours: one table.

The object stores have theirs beside their backends (:mod:`.s3.errors` and so on).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    SecureDropError,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooLarge,
)

#: ``errno`` to our exception. What is not here becomes :class:`StorageUnavailable`: a disk that
#: fails in a way that we do not know may work at the next try, and nothing was changed.
BY_ERRNO: Final[dict[int, type[SecureDropError]]] = {
    errno.ENOENT: NotFound,
    errno.ELOOP: NotFound,  # a symlink, which we never follow
    errno.EEXIST: Exists,
    errno.EISDIR: IsADirectory,
    errno.ENOTDIR: NotADirectory,
    errno.ENOTEMPTY: NotEmpty,
    errno.ENAMETOOLONG: BadName,
    errno.EILSEQ: BadName,
    errno.EINVAL: BadName,
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
    errno.EFBIG: TooLarge,
    errno.EACCES: StorageRefused,
    errno.EPERM: StorageRefused,
    errno.EROFS: StorageRefused,
    errno.EXDEV: StorageRefused,
    errno.EIO: StorageUnavailable,
    errno.ESTALE: StorageUnavailable,
    errno.ETIMEDOUT: StorageUnavailable,
    errno.EMFILE: StorageUnavailable,
    errno.ENFILE: StorageUnavailable,
}


#: What is said of an unfinished upload whose parts storage does not have.
UPLOAD_IS_GONE: Final = "The unfinished upload is gone."


def upload_is_gone() -> NotFound:
    """For a backend whose storage does not have what a :class:`~.protocol.Partial` names."""
    return NotFound(UPLOAD_IS_GONE)


def from_os_error(exc: OSError) -> SecureDropError:
    """Our exception for ``exc``; its message never holds a path of this machine."""
    kind = BY_ERRNO.get(exc.errno or 0, StorageUnavailable)
    return kind(exc.strerror or kind.__name__)


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise ours in place of an :class:`OSError`."""
    try:
        yield
    except OSError as exc:
        raise from_os_error(exc) from exc


def refuse_root(key: str) -> None:
    """The root is no file, and is neither renamed nor removed."""
    if not key:
        raise StorageRefused("The root of a storage location stays as it is.")


def not_there(what: str = "object") -> StorageError:
    """``NotFound`` with the usual sentence."""
    return NotFound(f"There is no such {what}.")
