"""A directory tree walked by descriptors, so that no symlink ever leads out of it.

Each component is opened relative to the one before with ``O_NOFOLLOW``: what a path names cannot
be exchanged between check and use, as it can with ``realpath`` (CVE-2024-39330 and many before).
Only the location itself may be a symlink: the operator set it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from securedrop_ftp.exceptions import StorageLost
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.protocol import RESERVED

logger = get_logger(__name__)

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RENAME_NOREPLACE: Final = 1
_PRIVATE: Final = 0o700
#: Tells that a location is the one that files were stored in, and not the mount point of a disk
#: that is not there.
MARK: Final = f"{RESERVED}location"
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class Tree:
    """Directories under ``location``, by key. The functions raise :class:`OSError`, and
    :class:`StorageLost` while the location does not carry the mark that :meth:`expect` named.

    Args:
        location: the directory that is the tree's root; made when it is not there.
        directory_mode: permissions of directories that we make, ``None``: the umask's.
    """

    def __init__(self, location: str, directory_mode: int | None = None) -> None:
        self.location = location
        self._mode = directory_mode
        self._expected = ""
        self._lost = False
        self._lock = threading.Lock()

    @contextmanager
    def directory(self, key: str, *, create: bool = False, private: bool = False) -> Iterator[int]:
        """A descriptor of the directory ``key`` (``""``: the root) while the block runs. What is
        created on the way is for this user alone if ``private``."""
        fd = self._open_root(create)
        try:
            for name in key.split("/") if key else ():
                below = self._open_below(fd, name, create, _PRIVATE if private else self._mode)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The directory that holds ``key`` and the last component."""
        directory, _, name = key.rpartition("/")
        with self.directory(directory, create=create) as fd:
            yield fd, name

    def expect(self, mark: str) -> None:
        """From now on the location is never made, and used only while it carries ``mark``."""
        self._expected = mark

    def verify(self) -> None:
        """Raises StorageLost where the location is not the expected one now."""
        os.close(self._open_root(create=False))

    def read_mark(self) -> str:
        """The location's mark, ``""``: none, or no location."""
        try:
            fd = os.open(self.location, _ROOT)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        try:
            return _mark_in(fd)
        finally:
            os.close(fd)

    def put_mark(self, mark: str) -> str:
        """Mark the location durably, unless it is marked; its mark. It is made where missing."""
        own, name = f"{mark}.mark", MARK.removeprefix(RESERVED)
        with self.directory(RESERVED[:-1], create=True, private=True) as fd:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(own, flags, 0o600, dir_fd=fd)
            try:
                os.write(file, f"{mark}\n".encode())
                os.fsync(file)
            finally:
                os.close(file)
            try:
                move(fd, own, fd, name, replace=False)
            except FileExistsError:
                os.unlink(own, dir_fd=fd)
            os.fsync(fd)
        return self.read_mark()

    def is_blank(self) -> bool:
        """Whether nothing is in the location, or it is not there. What a file system makes itself
        does not count."""
        try:
            with os.scandir(self.location) as names:
                return all(entry.name == "lost+found" for entry in names)
        except FileNotFoundError:
            return True

    def _open_root(self, create: bool) -> int:
        if self._expected:
            return self._open_expected()
        try:
            return os.open(self.location, _ROOT)
        except FileNotFoundError:
            if not create:
                raise
            Path(self.location).mkdir(parents=True, exist_ok=True)
            return os.open(self.location, _ROOT)

    def _open_expected(self) -> int:
        fd = -1
        try:
            fd = os.open(self.location, _ROOT)
            found = _mark_in(fd)
        except (FileNotFoundError, NotADirectoryError):
            found = ""
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise
        self._note(found)
        if found == self._expected:
            return fd
        if fd >= 0:
            os.close(fd)
        raise StorageLost(_what_is_wrong(self.location, found))

    def _note(self, found: str) -> None:
        """Into the log when the location goes and when it is back, not with every call."""
        lost = found != self._expected
        if lost == self._lost:
            return
        with self._lock:
            changed, self._lost = lost != self._lost, lost
        if changed and lost:
            logger.error("storage.lost", reason=_what_is_wrong(self.location, found))
        elif changed:
            logger.info("storage.back", location=self.location)

    def _open_below(self, fd: int, name: str, create: bool, mode: int | None) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):
            self._make(fd, name, mode)
        return os.open(name, _DIRECTORY, dir_fd=fd)

    def make(self, fd: int, name: str) -> None:
        """Make the directory ``name`` in ``fd``, durably."""
        self._make(fd, name, self._mode)

    @staticmethod
    def _make(fd: int, name: str, mode: int | None) -> None:
        os.mkdir(name, mode or 0o777, dir_fd=fd)
        if mode is not None:  # whatever the umask is
            os.chmod(name, mode, dir_fd=fd)
        os.fsync(fd)


def _mark_in(root: int) -> str:
    try:
        fd = os.open(MARK, _READ, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        return os.read(fd, 100).decode("ascii", "replace").strip()
    finally:
        os.close(fd)


def _what_is_wrong(location: str, found: str) -> str:
    if found:
        return f"{location} is another storage location than the one in use (mark {found})"
    return f"{location} does not carry our mark: is its disk mounted?"


def kind(fd: int, name: str) -> str:
    """What ``name`` in ``fd`` is: ``file``, ``directory``, ``other`` (symlinks, devices) or
    ``""`` for nothing."""
    try:
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def move(source_fd: int, source: str, target_fd: int, target: str, *, replace: bool) -> None:
    """Rename atomically; with ``replace=False`` fail with ``EEXIST`` where the name is taken.

    ``renameat2`` decides that in the kernel. File systems without it (NFS) get a hard link and an
    unlink for files, which is as exclusive; a directory is renamed after a look at the name, and
    never replaces what is not an empty directory.
    """
    if replace:
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        return
    number = _renameat2(source_fd, source, target_fd, target)
    if number in _UNSUPPORTED and kind(source_fd, source) == "directory":
        if kind(target_fd, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    elif number in _UNSUPPORTED:
        os.link(
            source,
            target,
            src_dir_fd=source_fd,
            dst_dir_fd=target_fd,
            follow_symlinks=False,
        )
        os.unlink(source, dir_fd=source_fd)
    elif number:
        raise OSError(number, os.strerror(number))


@lru_cache(maxsize=1)
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _renameat2(source_fd: int, source: str, target_fd: int, target: str) -> int:
    """0 or an errno."""
    try:
        call = _libc().renameat2
    except AttributeError:
        return errno.ENOSYS
    done = call(source_fd, os.fsencode(source), target_fd, os.fsencode(target), _RENAME_NOREPLACE)
    return ctypes.get_errno() if done else 0
