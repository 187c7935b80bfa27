"""Parts larger than memory allows, collected on disk (the setting ``disk_spool``).

A storage takes 10 000 parts, so an object beyond 469 GiB needs parts beyond the 48 MiB that an
upload may hold in memory. Such a part is received in pieces; each is hashed and written to a file
without a name, which is mapped and put as one part when it is whole. The file is gone with the
process, however that ends.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import threading
from pathlib import Path
from typing import Final

from securedrop_ftp.exceptions import StorageError, StorageFull
from securedrop_ftp.intake.part_writer import FullPart, PartWriter
from securedrop_ftp.intake.space import Space
from securedrop_ftp.storage.protocol import Part, Partial

#: Parts of one upload that may be on disk at once; beyond, no more is read from the client.
MAX_SPOOLED: Final = 2


class SpooledPart:
    """One part on disk. Blocks; pieces may be written by several threads."""

    def __init__(self, directory: Path) -> None:
        self.filled = 0
        self._size: int | None = None  # known once its last piece came
        self._lock = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        except OSError as exc:
            raise _known(exc) from exc

    def write(self, data: memoryview, at: int, *, last: bool) -> bool:
        """Write a piece ``at`` bytes from the part's begin. Whether the part is whole now.

        Raises:
            StorageFull: the disk is full.
        """
        end = at + len(data)
        try:
            self._write_all(data, at)
        except OSError as exc:
            raise _known(exc) from exc
        with self._lock:
            self.filled += len(data)
            if last:
                self._size = end
            return self.filled == self._size

    def _write_all(self, data: memoryview, at: int) -> None:
        while data:
            done = os.pwrite(self._file.fileno(), data, at)
            data, at = data[done:], at + done

    @property
    def content(self) -> memoryview:
        """All of it, mapped for reading."""
        if not self.filled:
            return memoryview(b"")
        return memoryview(mmap.mmap(self._file.fileno(), self.filled, access=mmap.ACCESS_READ))

    def release(self) -> None:
        """Give the disk space back (once nobody reads the map any more)."""
        self._file.close()


class SpoolingWriter:
    """Around another writer: pieces go to disk, and a part to that writer when it is whole. Whoever
    brings the last missing piece puts the part."""

    def __init__(self, inner: PartWriter, directory: Path, space: Space) -> None:
        self._inner = inner
        self._directory = directory
        self._space = space
        self._open: dict[int, SpooledPart] = {}  # by number
        self._lock = threading.Lock()

    def put(self, partial: Partial, part: FullPart) -> Part | None:
        """Keep a piece on the disk; put its part into storage once it is whole.

        Raises:
            StorageFull: the spool's disk, or the storage's, has no room for it.
        """
        if not part.is_piece:
            return self._inner.put(partial, part)
        self._space.refuse_spool(part.size)
        spooled = self._part(part.number)
        at = part.offset - part.begins
        whole = spooled.write(part.buffer.content, at, last=part.ends_part)
        part.buffer.release()  # not held while storage takes the whole part
        if not whole:
            return None
        with self._lock:
            self._open.pop(part.number, None)
        try:
            return self._inner.put(
                partial, FullPart(part.number, part.begins, spooled, part.begins)
            )
        finally:
            spooled.release()

    def _part(self, number: int) -> SpooledPart:
        with self._lock:
            spooled = self._open.get(number)
            if spooled is None:
                spooled = self._open[number] = SpooledPart(self._directory)
            return spooled

    def close(self) -> None:
        """Give back the disk of parts that did not become whole."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        for spooled in left:
            spooled.release()
        self._inner.close()


def _known(exc: OSError) -> StorageError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("the spool's disk is full")
    return StorageError(f"the spool cannot be written: {exc.strerror}")
