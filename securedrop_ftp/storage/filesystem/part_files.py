"""Uploads in progress as files: ``<directory>/<upload id>.<epoch>``, and beside each a log of the
parts that are durably in it (``….parts``).

The epoch in the name makes one writer: whoever takes an upload over renames its file to the next
epoch, so a late writer of the old one finds no name any more. A write that runs meanwhile holds a
shared ``flock``; taking over and publishing hold the exclusive one, so neither happens in the
midst of a write. The file outlives the process: that is what makes resume work.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace as but
from datetime import datetime
from typing import Final

from securedrop_ftp.exceptions import NotFound
from securedrop_ftp.storage.errors import os_errors, upload_is_gone
from securedrop_ftp.storage.filesystem.tree import Tree
from securedrop_ftp.storage.names import check_upload_id
from securedrop_ftp.storage.protocol import ObjectSpec, Part, Partial

_NAME: Final = re.compile(r"(?P<upload_id>[A-Za-z0-9_-]{1,64})\.[0-9]{1,9}(\.parts)?\Z")
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600


class PartFiles:
    """Part files in the directory ``key`` of ``tree``.

    Args:
        tree: where.
        key: the directory, made for this user alone.
        mode: permissions of the files, before the umask.
    """

    def __init__(self, tree: Tree, key: str, mode: int = _PRIVATE) -> None:
        self._tree = tree
        self._key = key
        self._mode = mode

    # --- one upload ------------------------------------------------------------------

    def begin(self, spec: ObjectSpec, *, durable: bool = True) -> Partial:
        """An empty file; its name survives a power cut if ``durable``."""
        name = _name(spec.upload_id, spec.epoch)
        with os_errors(), self._tree.directory(self._key, create=True, private=True) as fd:
            os.close(os.open(name, _OPEN | os.O_CREAT | os.O_TRUNC, self._mode, dir_fd=fd))
            with suppress(FileNotFoundError):
                os.unlink(f"{name}.parts", dir_fd=fd)
            if durable:
                os.fsync(fd)
        return Partial(spec, name)

    def put(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """Write one part where it belongs; it is on the disk when this returns."""
        with os_errors(), self._locked(partial, fcntl.LOCK_SH) as (directory, name, fd):
            view, at = data.cast("B"), offset
            while view:
                done = os.pwrite(fd, view, at)
                view, at = view[done:], at + done
            # A recorded part is one that survives a power cut: the digest's midstate in the
            # ledger says that its bytes are there.
            os.fdatasync(fd)
            _append(directory, f"{name}.parts", f"{number} {offset} {data.nbytes}\n")
        return Part(number, offset, data.nbytes)

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """Rename the file to ``epoch``. Where a crash lost the new token, the file is found
        under an epoch between the two."""
        spec = but(partial.spec, epoch=epoch)
        name = _name(spec.upload_id, epoch)
        with os_errors():
            for old in _older_names(partial, epoch):
                with suppress(NotFound):
                    self._rename(but(partial, token=old), name)
                    return Partial(spec, name)
        raise upload_is_gone()

    def _rename(self, partial: Partial, name: str) -> None:
        with self._locked(partial, fcntl.LOCK_EX) as (directory, old, _):
            if old == name:
                return
            with suppress(FileNotFoundError):
                os.rename(
                    f"{old}.parts", f"{name}.parts", src_dir_fd=directory, dst_dir_fd=directory
                )
            os.rename(old, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)

    @contextmanager
    def exclusive(self, partial: Partial) -> Iterator[tuple[int, str, int]]:
        """(directory descriptor, name, file descriptor), with no writer in it; the log of parts
        goes when the block ends well."""
        with self._locked(partial, fcntl.LOCK_EX) as (directory, name, fd):
            yield directory, name, fd
            with suppress(OSError):
                os.unlink(f"{name}.parts", dir_fd=directory)

    def discard(self, partial: Partial) -> None:
        """Remove the file; doing it again is not an error."""
        with suppress(FileNotFoundError), self._tree.directory(self._key) as directory:
            for name in (partial.token, f"{partial.token}.parts"):
                with os_errors(), suppress(FileNotFoundError):
                    os.unlink(_checked(name), dir_fd=directory)

    def parts(self, partial: Partial) -> list[Part] | None:
        """The logged parts that lie in the file, by number; ``None``: it is gone."""
        try:
            with self._tree.directory(self._key) as directory:
                name = _checked(partial.token)
                size = os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
                found = {p.number: p for p in _logged(directory, f"{name}.parts")}
        except FileNotFoundError:
            return None
        return [p for _, p in sorted(found.items()) if p.offset + p.size <= size]

    @contextmanager
    def _locked(self, partial: Partial, lock: int) -> Iterator[tuple[int, str, int]]:
        name = _checked(partial.token)
        try:
            with self._tree.directory(self._key) as directory:
                fd = os.open(name, _OPEN, dir_fd=directory)
                try:
                    fcntl.flock(fd, lock)
                    held = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if held.st_ino != os.fstat(fd).st_ino:
                        raise FileNotFoundError
                    yield directory, name, fd
                finally:
                    os.close(fd)
        except FileNotFoundError as exc:
            raise upload_is_gone() from exc

    # --- all of them -----------------------------------------------------------------

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Remove old files that nobody wants; returns how many uploads that were."""
        swept: set[str] = set()
        with os_errors(), suppress(FileNotFoundError), self._tree.directory(self._key) as directory:
            wanted: dict[str, bool] = {}
            for name, modified in _listed(directory):
                match = _NAME.match(name)
                if match is None or modified >= older_than.timestamp():
                    continue
                upload_id = match["upload_id"]
                if upload_id not in wanted:
                    wanted[upload_id] = keep(upload_id)
                if not wanted[upload_id]:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=directory)
                        swept.add(upload_id)
        return len(swept)


class InPartFiles:
    """The half of a backend that keeps the parts of an upload in a file of this machine."""

    _uploads: PartFiles

    def begin(self, spec: ObjectSpec) -> Partial:
        return self._uploads.begin(spec)

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        return self._uploads.put(partial, number, offset, data)

    def resume(self, partial: Partial, epoch: int) -> Partial:
        return self._uploads.resume(partial, epoch)

    def abort(self, partial: Partial) -> None:
        self._uploads.discard(partial)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        with os_errors():
            return self._uploads.parts(partial)


def _name(upload_id: str, epoch: int) -> str:
    return f"{check_upload_id(upload_id)}.{int(epoch)}"


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise upload_is_gone()
    return name


def _older_names(partial: Partial, epoch: int) -> list[str]:
    first = int(partial.token.rpartition(".")[2])
    return [_name(partial.spec.upload_id, number) for number in range(first, epoch + 1)]


def _append(directory: int, name: str, line: str) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, _PRIVATE, dir_fd=directory)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def _logged(directory: int, name: str) -> Iterator[Part]:
    """The log's whole lines; a crash may have torn the last one."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    with os.fdopen(fd, encoding="ascii", errors="replace") as log:
        for line in log:
            fields = line.split()
            if line.endswith("\n") and len(fields) == 3 and all(f.isdigit() for f in fields):
                number, offset, size = map(int, fields)
                yield Part(number, offset, size)


def _listed(directory: int) -> list[tuple[str, float]]:
    found = []
    with os.scandir(directory) as names:
        for entry in names:
            with suppress(FileNotFoundError):
                found.append((entry.name, entry.stat(follow_symlinks=False).st_mtime))
    return found
