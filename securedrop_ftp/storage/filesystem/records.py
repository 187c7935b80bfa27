"""Small files of ours that tell whose a published file is, where its storage cannot."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from securedrop_ftp.storage.errors import os_errors
from securedrop_ftp.storage.filesystem.tree import Tree
from securedrop_ftp.storage.names import check_upload_id

_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST: Final = 64 * 1024


class Records:
    """Records in the directory ``key`` of ``tree``, each named by its upload. The directory is made
    for this user alone."""

    def __init__(self, tree: Tree, key: str) -> None:
        self._tree = tree
        self._key = key

    def write(self, upload_id: str, content: bytes) -> None:
        """Store the upload's record durably.

        Raises:
            OSError: it cannot be written.
        """
        with self._tree.directory(self._key, create=True, private=True) as directory:
            file = os.open(check_upload_id(upload_id), _WRITE, 0o600, dir_fd=directory)
            try:
                os.write(file, content)
                os.fsync(file)
            finally:
                os.close(file)
            os.fsync(directory)

    def read(self, upload_id: str) -> bytes:
        """The upload's record, ``b""`` where it has none.

        Raises:
            OSError: it cannot be read.
        """
        try:
            with self._tree.directory(self._key) as directory:
                file = os.open(check_upload_id(upload_id), _READ, dir_fd=directory)
        except FileNotFoundError:
            return b""
        try:
            return os.read(file, _LARGEST)
        finally:
            os.close(file)

    def sweep(self, keep: Callable[[str], bool], older_than: datetime) -> None:
        """Remove the old records of uploads that ``keep`` does not want."""
        with (
            os_errors(),
            suppress(FileNotFoundError),
            self._tree.directory(self._key) as directory,
            os.scandir(directory) as records,
        ):
            for record in records:
                with suppress(FileNotFoundError):
                    modified = record.stat(follow_symlinks=False).st_mtime
                    if modified < older_than.timestamp() and not keep(record.name):
                        os.unlink(record.name, dir_fd=directory)
