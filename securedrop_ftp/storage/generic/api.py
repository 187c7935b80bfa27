"""A Django storage as it is: one method for each call of its API, with our exceptions.

The API has no rename, no metadata, no sizes in listings and no versions. How atomic one ``save``
is depends on the storage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, Any, Final

from django.core.exceptions import SuspiciousOperation
from django.core.files.base import File

from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    NotADirectory,
    NotFound,
    SecureDropError,
    StorageUnavailable,
    UnsupportedByBackend,
)
from securedrop_ftp.storage.errors import from_os_error
from securedrop_ftp.storage.protocol import Entry

CHUNK: Final = 1024 * 1024


@contextmanager
def storage_errors() -> Iterator[None]:
    """Map whatever a storage raises to our exceptions; what is not known to
    :class:`StorageUnavailable`."""
    try:
        yield
    except (SecureDropError, GeneratorExit):
        raise
    except FileExistsError as exc:  # InMemoryStorage's, below a file, has no errno
        raise Exists from exc
    except OSError as exc:
        raise from_os_error(exc) from exc
    except SuspiciousOperation as exc:
        raise BadName("The storage does not take that name.") from exc
    except NotImplementedError as exc:
        raise UnsupportedByBackend("The storage cannot do that.") from exc
    except Exception as exc:
        raise StorageUnavailable(f"The storage failed: {type(exc).__name__}.") from exc


class StorageApi:
    """The calls of one Django storage. All raise :class:`SecureDropError` and nothing else.

    Args:
        storage: any Django storage with ``listdir`` and ``size``.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    # --- looking ---------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Whether a file has that name."""
        with storage_errors():
            return bool(self._storage.exists(key))

    def size(self, key: str) -> int:
        """How many bytes a file has."""
        with storage_errors():
            return int(self._storage.size(key))

    def names(self, key: str) -> tuple[list[str], list[str]]:
        """Directories and files in ``key``; none where it is no directory."""
        try:
            with storage_errors():
                directories, files = self._storage.listdir(key)
        except (NotFound, NotADirectory, Exists):
            return [], []
        return [name for name in directories if name], [name for name in files if name]

    def find(self, key: str) -> Entry | None:
        """What has that name. The directory above is listed: the API cannot tell a file from a
        directory otherwise."""
        if not key:
            return Entry("", is_dir=True)
        parent, _, name = key.rpartition("/")
        directories, files = self.names(parent)
        if name in files:
            return self.file(key)
        return Entry(key, is_dir=True) if name in directories else None

    def file(self, key: str) -> Entry:
        """The entry of a file: two calls."""
        with storage_errors():
            return Entry(key, False, int(self._storage.size(key)), self._modified(key))

    def _modified(self, key: str) -> datetime | None:
        try:
            modified: datetime = self._storage.get_modified_time(key)
        except NotImplementedError:
            return None
        return modified.astimezone(UTC)

    # --- reading ---------------------------------------------------------------------

    @contextmanager
    def opened(self, key: str) -> Iterator[IO[bytes]]:
        """A file, open for reading while the block runs."""
        with storage_errors(), self._storage.open(key, "rb") as content:
            yield content

    def read(self, key: str, offset: int, length: int) -> bytes:
        """At most ``length`` bytes of a file from ``offset``."""
        with self.opened(key) as content:
            if offset:
                content.seek(offset)
            return content.read(length)

    def sha256(self, key: str) -> str:
        """The digest of a file's content, in hex; all of it is read."""
        digest = hashlib.sha256()
        with self.opened(key) as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    # --- writing ---------------------------------------------------------------------

    def overwrites(self, key: str) -> bool:
        """Whether ``save`` keeps a name that is taken, rather than choosing another."""
        with storage_errors():
            return bool(self._storage.get_available_name(key) == key)

    def save(self, key: str, content: IO[bytes], size: int) -> None:
        """One ``save`` of all of ``content``.

        Raises:
            Exists: the storage chose another name; what it saved there is deleted.
        """
        with storage_errors():
            content.seek(0)
            file = File(content, name=key)
            file.size = size
            saved = self._storage.save(key, file)
        if saved != key:
            self.discard(saved)
            raise Exists

    def copy(self, source: str, target: str) -> None:
        """Copy a file through this machine to a name that is not taken."""
        with self.opened(source) as content:
            self.save(target, content, self.size(source))

    def delete(self, key: str) -> None:
        """Remove a file, or an empty directory where storage has them."""
        with storage_errors():
            self._storage.delete(key)

    def discard(self, key: str) -> None:
        """The same, without an error where it cannot be done."""
        with suppress(SecureDropError):
            self.delete(key)
