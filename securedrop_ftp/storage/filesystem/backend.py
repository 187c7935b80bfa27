"""Files under a directory: Django's ``FileSystemStorage``, made atomic.

An upload is a file of its own under ``<location>/.securedrop/uploads`` (the same file system, so
that publishing is one ``rename``), filled by ``pwrite``; ``commit`` syncs it, renames it and syncs
the directory. An extended attribute of a file tells whose upload it is; where the file system has
none, a small record under ``.securedrop/published`` does, which names the inode.
"""

from __future__ import annotations

import errno
import json
import os
import stat as mode_of
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from securedrop_ftp.exceptions import (
    Exists,
    IntoItself,
    IsADirectory,
    NotADirectory,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageLost,
    StorageRefused,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import not_there, os_errors, refuse_root
from securedrop_ftp.storage.filesystem.part_files import InPartFiles, PartFiles
from securedrop_ftp.storage.filesystem.records import Records
from securedrop_ftp.storage.filesystem.tree import Tree, kind, move
from securedrop_ftp.storage.listing import in_pages
from securedrop_ftp.storage.parts import check_parts
from securedrop_ftp.storage.protocol import (
    META_UPLOAD_ID,
    RESERVED,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
    nothing_to_do,
)

UPLOADS: Final = f"{RESERVED}uploads"
PUBLISHED: Final = f"{RESERVED}published"
_ATTRIBUTE: Final = "user.securedrop"
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM})


class FilesystemBackend(InPartFiles):
    """See the module's docstring.

    Args:
        storage: a ``FileSystemStorage``: its location and its permission modes are used.
    """

    name = "filesystem"
    #: The longest read that leaves eight downloads of two workers in the memory that the allocator
    #: keeps (server/allocator.py); with 3 MiB one download costs 5 % more CPU.
    capabilities = Capabilities(
        resumable=True,
        node_bound=True,
        lands_late=False,
        reads_ahead=1,
        longest_read=4 * 1024 * 1024,
    )

    def __init__(self, storage: Any) -> None:
        self._file_mode: int | None = storage.file_permissions_mode
        self._tree = Tree(str(storage.location), storage.directory_permissions_mode)
        # Django's meaning of None: as the umask says.
        first_mode = 0o666 if self._file_mode is None else 0o600
        self._uploads = PartFiles(self._tree, UPLOADS, first_mode)
        self._records = Records(self._tree, PUBLISHED)

    # --- writing ---------------------------------------------------------------------

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        check_parts(parts, size)
        spec = partial.spec
        refuse_root(spec.key)
        with os_errors(), self._uploads.exclusive(partial) as (source, temporary, fd):
            held = os.fstat(fd).st_size
            if held < size:
                raise VerificationFailed(f"The file holds {held} bytes; {size} were received.")
            if held > size:  # bytes beyond the last recorded part, of a writer that is gone
                os.ftruncate(fd, size)
            self._seal(fd, spec, sha256)
            return self._place(fd, source, temporary, spec.key, replace)

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        part = Part(1, 0, data.nbytes)
        partial = self._uploads.begin(spec, durable=False)
        try:
            with os_errors(), self._uploads.exclusive(partial) as (source, temporary, fd):
                view = data.cast("B")
                while view:
                    view = view[os.write(fd, view) :]
                check_parts([part], os.fstat(fd).st_size)
                self._seal(fd, spec, sha256)
                return self._place(fd, source, temporary, spec.key, replace)
        except OutcomeUnknown:
            raise
        except SecureDropError:
            self._uploads.discard(partial)
            raise

    def _seal(self, fd: int, spec: ObjectSpec, sha256: str) -> None:
        """Permissions and label, and all of it on the disk."""
        if self._file_mode is not None:
            os.fchmod(fd, self._file_mode)
        try:
            os.setxattr(fd, _ATTRIBUTE, json.dumps(spec.label(sha256)).encode())
        except OSError as exc:
            if exc.errno not in _NO_ATTRIBUTES:
                raise
            self._records.write(spec.upload_id, _inode(os.fstat(fd)))
        os.fsync(fd)

    def _place(self, fd: int, source: int, temporary: str, key: str, replace: bool) -> Published:
        with self._tree.parent(key, create=True) as (directory, name):
            if kind(directory, name) == "directory":
                raise IsADirectory
            move(source, temporary, directory, name, replace=replace)
            try:
                os.fsync(directory)
                self._tree.verify()
            except OSError as exc:
                raise OutcomeUnknown("The directory could not be synced.") from exc
            except StorageLost as exc:
                raise OutcomeUnknown("The storage location went away meanwhile.") from exc
        found = os.fstat(fd)
        return Published(key, found.st_size, _etag(found))

    def find_published(self, key: str, upload_id: str) -> Published | None:
        try:
            with os_errors(), self._tree.parent(key) as (directory, name):
                fd = os.open(name, _READ, dir_fd=directory)
        except (NotFound, NotADirectory):
            return None
        try:
            found = os.fstat(fd)
            if label := _label(fd):
                ours = label.get(META_UPLOAD_ID) == upload_id
            else:
                ours = self._records.read(upload_id) == _inode(found)
        finally:
            os.close(fd)
        return Published(key, found.st_size, _etag(found)) if ours else None

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Old records under ``.securedrop/published`` go too."""
        self._records.sweep(keep, older_than)
        return self._uploads.sweep(keep, older_than=older_than)

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        if not key:
            return Entry("", is_dir=True)
        try:
            with os_errors(), self._tree.parent(key) as (directory, name):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if mode_of.S_ISDIR(found.st_mode):
                    return _entry(key, found)
                if mode_of.S_ISREG(found.st_mode):
                    return self._file_entry(directory, name, key)
        except NotADirectory as exc:
            raise not_there() from exc
        raise not_there()

    @staticmethod
    def _file_entry(directory: int, name: str, key: str) -> Entry:
        fd = os.open(name, _READ, dir_fd=directory)
        try:
            return _entry(key, os.fstat(fd), _label(fd))
        finally:
            os.close(fd)

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        """Symlinks and special files are left out."""
        base = f"{key}/" if key else ""
        try:
            with os_errors(), self._tree.directory(key) as fd, os.scandir(fd) as names:
                found = (_listed(item, base + item.name) for item in names)
                yield from in_pages(e for e in found if e and e.key != RESERVED[:-1])
        except NotFound:
            if key:  # the location itself is made with the first file
                raise

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        with os_errors():
            try:
                with self._tree.parent(entry.key) as (directory, name):
                    fd = os.open(name, _READ, dir_fd=directory)
            except NotADirectoryError:
                raise not_there() from None
            try:
                if entry.etag and _etag(os.fstat(fd)) != entry.etag:
                    raise not_there()
                return _pread(fd, length, offset)
            finally:
                os.close(fd)

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        refuse_root(key)
        with os_errors(), self._tree.parent(key) as (directory, name):
            match kind(directory, name):
                case "directory":
                    raise IsADirectory
                case "file":
                    os.unlink(name, dir_fd=directory)
                    os.fsync(directory)
                case _:
                    raise not_there()

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        """One step of the kernel: ``copied`` is never called."""
        refuse_root(source)
        refuse_root(target)
        with os_errors(), self._tree.parent(source) as (source_fd, source_name):
            what = kind(source_fd, source_name)
            if what not in ("file", "directory"):
                raise not_there()
            if source == target:
                return
            if target.startswith(f"{source}/"):
                raise IntoItself("A directory cannot move into itself.")
            with self._tree.parent(target, create=True) as (target_fd, target_name):
                if kind(target_fd, target_name) == "directory":
                    raise Exists if what == "directory" else IsADirectory
                move(
                    source_fd,
                    source_name,
                    target_fd,
                    target_name,
                    replace=replace and what == "file",
                )
                os.fsync(target_fd)
            os.fsync(source_fd)

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        """Both names are there only where the file system has no exclusive rename: as two links to
        one file."""
        with os_errors():
            try:
                with self._tree.parent(source) as (source_fd, source_name):
                    found = os.stat(source_name, dir_fd=source_fd, follow_symlinks=False)
                    if not self._is_linked(found, target):
                        return False
                    os.unlink(source_name, dir_fd=source_fd)
                    os.fsync(source_fd)
            except FileNotFoundError:
                pass  # it was renamed
            return True

    def _is_linked(self, found: os.stat_result, target: str) -> bool:
        try:
            with self._tree.parent(target) as (directory, name):
                there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return mode_of.S_ISREG(found.st_mode) and os.path.samestat(found, there)

    def mkdir(self, key: str) -> None:
        """Missing parents are made."""
        refuse_root(key)
        with os_errors(), self._tree.parent(key, create=True) as (directory, name):
            self._tree.make(directory, name)

    def rmdir(self, key: str) -> None:
        refuse_root(key)
        with os_errors(), self._tree.parent(key) as (directory, name):
            if kind(directory, name) == "other":
                raise not_there("directory")
            os.rmdir(name, dir_fd=directory)
            os.fsync(directory)

    @property
    def disks(self) -> tuple[str, ...]:
        """Where it writes: room is kept there."""
        return (self._tree.location,)

    # --- its location ----------------------------------------------------------------

    @property
    def place(self) -> str:
        return self._tree.location

    def mark(self) -> str:
        with os_errors():
            return self._tree.read_mark()

    def put_mark(self, mark: str) -> str:
        with os_errors():
            return self._tree.put_mark(mark)

    def expect_mark(self, mark: str) -> None:
        self._tree.expect(mark)

    def is_blank(self) -> bool:
        with os_errors():
            return self._tree.is_blank()

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """Write and remove a file, and see that publishing will not cross file systems."""
        spec = ObjectSpec("check", f"check-{os.getpid()}-{os.urandom(4).hex()}")
        partial = self._uploads.begin(spec)
        self._uploads.discard(partial)
        with os_errors(), self._tree.directory("") as root, self._tree.directory(UPLOADS) as ours:
            if os.fstat(root).st_dev != os.fstat(ours).st_dev:
                raise StorageRefused(
                    f"{RESERVED}uploads is another file system than the storage location: "
                    "publishing could not be atomic."
                )

    def close(self) -> None:
        """No descriptor is kept."""


def _entry(key: str, found: os.stat_result, label: Mapping[str, str] | None = None) -> Entry:
    is_dir = mode_of.S_ISDIR(found.st_mode)
    modified = datetime.fromtimestamp(found.st_mtime, UTC)
    if is_dir:
        return Entry(key, is_dir=True, modified=modified)
    return Entry(key, False, found.st_size, modified, _etag(found), label or {})


def _listed(item: os.DirEntry[str], key: str) -> Entry | None:
    try:
        found = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if mode_of.S_ISREG(found.st_mode) or mode_of.S_ISDIR(found.st_mode):
        return _entry(key, found)
    return None


def _inode(found: os.stat_result) -> bytes:
    return str(found.st_ino).encode()


def _etag(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def _label(fd: int) -> dict[str, str]:
    try:
        label = json.loads(os.getxattr(fd, _ATTRIBUTE))
    except (OSError, ValueError):
        return {}
    return label if isinstance(label, dict) else {}


def _pread(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]  # a signal, or more than the kernel gives at once
    while data and sum(map(len, pieces)) < length:
        done = sum(map(len, pieces))
        data = os.pread(fd, length - done, offset + done)
        pieces.append(data)
    return b"".join(pieces)
