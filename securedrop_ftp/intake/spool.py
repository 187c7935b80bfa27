"""Parts larger than memory allows, collected on disk (the setting ``disk_spool``).

A storage takes 10 000 parts, so an object beyond 469 GiB needs parts beyond the 48 MiB that an
upload may hold in memory. Such a part is received in pieces; each is hashed and written to a file
without a name, which is mapped and put as one part when it is whole. The file is gone with the
process, however that ends.
"""

from __future__ import annotations

import errno
import mmap
import tempfile
from pathlib import Path

from securedrop_ftp.exceptions import StorageError, StorageFull


class SpooledPart:
    """One part on disk. Blocks: belongs to pool threads, one at a time."""

    def __init__(self, directory: Path, number: int, offset: int) -> None:
        self.number = number
        self.offset = offset
        self.filled = 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        except OSError as exc:
            raise _known(exc) from exc

    def write(self, data: memoryview) -> None:
        """Append a piece.

        Raises:
            StorageFull: the disk is full.
        """
        try:
            while data:
                done = self._file.write(data)
                self.filled += done
                data = data[done:]
        except OSError as exc:
            raise _known(exc) from exc

    @property
    def content(self) -> memoryview:
        """All of it, mapped for reading."""
        if not self.filled:
            return memoryview(b"")
        return memoryview(mmap.mmap(self._file.fileno(), self.filled, access=mmap.ACCESS_READ))

    def release(self) -> None:
        """Give the disk space back (once nobody reads the map any more)."""
        self._file.close()


def _known(exc: OSError) -> StorageError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("the spool's disk is full")
    return StorageError(f"the spool cannot be written: {exc.strerror}")
