"""Any other Django storage, through nothing but Django's Storage API.

An upload is spooled on this machine's disk until it is whole; then one ``storage.save`` publishes
it. (Never ``storage.open(…, "wb")``: what it has written becomes visible when it is closed, whole
or not.) How atomic that one ``save`` is depends on the storage; a backend of its own is better
where that matters. The API knows no sizes in listings, no rename and no directories, so listing
costs two calls for each file, a rename copies through this machine, and a directory that was made
is held by a hidden file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any, Final

from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile, File

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IntoItself,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageLost,
    StorageUnavailable,
    UnsupportedByBackend,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import from_os_error, not_there, os_errors, refuse_root
from securedrop_ftp.storage.filesystem.part_files import PartFiles
from securedrop_ftp.storage.filesystem.tree import MARK, Tree
from securedrop_ftp.storage.parts import check_parts, check_upload_id
from securedrop_ftp.storage.protocol import (
    RESERVED,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)

PAGE: Final = 1000
CHUNK: Final = 1024 * 1024
#: Holds a directory that was made where storage has none.
DIRECTORY_MARKER: Final = ".securedrop-directory"
_SPOOL: Final = "generic/uploads"
_RECORDS: Final = "generic/published"
_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise ours in place of whatever a storage raises."""
    try:
        yield
    except (SecureDropError, GeneratorExit):
        raise
    except OSError as exc:
        raise from_os_error(exc) from exc
    except SuspiciousOperation as exc:
        raise BadName("The storage does not take that name.") from exc
    except NotImplementedError as exc:
        raise UnsupportedByBackend("The storage cannot do that.") from exc
    except Exception as exc:
        raise StorageUnavailable(f"The storage failed: {type(exc).__name__}.") from exc


class GenericBackend:
    """See the module's docstring.

    Args:
        storage: any Django storage with ``listdir`` and ``size``.
        conf: where the spool is; the settings in force if not given.
    """

    name = "generic"
    capabilities = Capabilities(resumable=True, node_bound=True)

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        self._storage = storage
        self._tree = Tree(str((conf or get_conf()).spool), 0o700)
        self._spool = PartFiles(self._tree, _SPOOL)
        self._expected = ""

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        """See the protocol."""
        return self._spool.begin(spec)

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """See the protocol."""
        return self._spool.put(partial, number, offset, data)

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """See the protocol."""
        return self._spool.resume(partial, epoch)

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        """See the protocol."""
        check_parts(parts, size)
        with os_errors(), self._spool.exclusive(partial) as (directory, name, fd):
            held = os.fstat(fd).st_size
            if held < size:
                raise VerificationFailed(f"The spool holds {held} bytes; {size} were received.")
            os.ftruncate(fd, size)
            with os.fdopen(os.dup(fd), "rb") as content:
                published = self._publish(partial.spec, content, size, sha256, replace)
            os.unlink(name, dir_fd=directory)
        return published

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        """See the protocol."""
        content = io.BytesIO(data)
        return self._publish(spec, content, data.nbytes, sha256, replace)

    def _publish(
        self, spec: ObjectSpec, content: IO[bytes], size: int, sha256: str, replace: bool
    ) -> Published:
        refuse_root(spec.key)
        self._refuse_lost()
        before = self._find(spec.key)
        if before is not None and before.is_dir:
            raise IsADirectory
        if before is not None and not replace:
            raise Exists
        self._record(spec, size, sha256)
        self._save(spec.key, content, size, replacing=before is not None)
        with storage_errors():
            found = int(self._storage.size(spec.key))
        if found != size:
            raise VerificationFailed(f"Storage holds {found} bytes; {size} were received.")
        return Published(spec.key, size)

    def _save(self, key: str, content: IO[bytes], size: int, *, replacing: bool) -> None:
        if not replacing:
            self._save_new(key, content, size)
        elif self._overwrites(key):
            try:
                self._save_as(key, content, size)
            except SecureDropError as exc:
                raise OutcomeUnknown(str(exc)) from exc
        else:
            self._exchange(key, content, size)

    def _overwrites(self, key: str) -> bool:
        """Whether ``save`` keeps a name that is taken."""
        with storage_errors():
            return bool(self._storage.get_available_name(key) == key)

    def _save_as(self, key: str, content: IO[bytes], size: int) -> None:
        with storage_errors():
            content.seek(0)
            file = File(content, name=key)
            file.size = size
            saved = self._storage.save(key, file)
        if saved != key:
            with suppress(SecureDropError), storage_errors():
                self._storage.delete(saved)
            raise Exists

    def _save_new(self, key: str, content: IO[bytes], size: int) -> None:
        try:
            self._save_as(key, content, size)
        except Exists:
            raise
        except SecureDropError:
            with suppress(SecureDropError), storage_errors():
                self._storage.delete(key)  # nothing was there: what is there now is half a file
            raise

    def _exchange(self, key: str, content: IO[bytes], size: int) -> None:
        """Replace a file where ``save`` would choose another name. The old one is kept aside
        until the new one is saved, and put back if that fails."""
        aside = self._fresh_name(".replaced")
        self._copy(key, aside)
        try:
            with storage_errors():
                self._storage.delete(key)
            try:
                self._save_new(key, content, size)
            except SecureDropError:
                self._copy(aside, key)
                raise
        finally:
            with suppress(SecureDropError), storage_errors():
                self._storage.delete(aside)

    @staticmethod
    def _fresh_name(suffix: str) -> str:
        return f"{RESERVED}{uuid.uuid4()}{suffix}"

    def _copy(self, source: str, target: str) -> None:
        with storage_errors(), self._storage.open(source, "rb") as content:
            size = int(self._storage.size(source))
            self._save_as(target, content, size)

    def abort(self, partial: Partial) -> None:
        """See the protocol."""
        self._spool.discard(partial)

    # The API has no metadata, so whose a file is stands in a record beside the spool.

    def _record(self, spec: ObjectSpec, size: int, sha256: str) -> None:
        name = check_upload_id(spec.upload_id)
        record = json.dumps({"key": spec.key, "size": size, "sha256": sha256}).encode()
        with os_errors(), self._tree.directory(_RECORDS, create=True) as directory:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS
            fd = os.open(name, flags, 0o600, dir_fd=directory)
            try:
                os.write(fd, record)
                os.fsync(fd)
            finally:
                os.close(fd)

    def find_published(self, key: str, upload_id: str) -> Published | None:
        """See the protocol. What is there is read back and compared with the recorded digest."""
        self._refuse_lost()
        try:
            with os_errors(), self._tree.directory(_RECORDS) as directory:
                fd = os.open(check_upload_id(upload_id), os.O_RDONLY | _FLAGS, dir_fd=directory)
                with os.fdopen(fd, "rb") as file:
                    record = json.load(file)
        except (NotFound, ValueError):
            return None
        found = self._find(key)
        if found is None or record["key"] != key or record["size"] != found.size:
            return None
        return Published(key, found.size) if self._digest(key) == record["sha256"] else None

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        with storage_errors(), self._storage.open(key, "rb") as content:
            while chunk := content.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def list_parts(self, partial: Partial) -> list[Part] | None:
        """See the protocol."""
        with os_errors():
            return self._spool.parts(partial)

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """See the protocol. Old records go too."""
        with (
            os_errors(),
            self._tree.directory(_RECORDS, create=True) as fd,
            os.scandir(fd) as records,
        ):
            for record in records:
                with suppress(FileNotFoundError):
                    old = record.stat().st_mtime < older_than.timestamp()
                    if old and not keep(record.name):
                        os.unlink(record.name, dir_fd=fd)
        return self._spool.sweep(keep, older_than=older_than)

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        """See the protocol. The directory above is listed: the API cannot tell a file from a
        directory otherwise."""
        found = self._find(key)
        if found is None:
            raise not_there()
        return found

    def _find(self, key: str) -> Entry | None:
        if not key:
            return Entry("", is_dir=True)
        parent, _, name = key.rpartition("/")
        directories, files = self._names(parent)
        if name in files:
            return self._file(key)
        return Entry(key, is_dir=True) if name in directories else None

    def _names(self, key: str) -> tuple[list[str], list[str]]:
        """Directories and files in ``key``; none where it is no directory."""
        try:
            with storage_errors():
                directories, files = self._storage.listdir(key)
        except (NotFound, NotADirectory):
            return [], []
        return [name for name in directories if name], [name for name in files if name]

    def _file(self, key: str) -> Entry:
        with storage_errors():
            return Entry(key, False, int(self._storage.size(key)), self._modified(key))

    def _modified(self, key: str) -> datetime | None:
        try:
            modified: datetime = self._storage.get_modified_time(key)
        except NotImplementedError:
            return None
        return modified.astimezone(UTC)

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        """See the protocol, but sizes and times are one call each for every file."""
        found = self._find(key)
        if found is None:
            raise not_there("directory")
        if not found.is_dir:
            raise NotADirectory
        base = f"{key}/" if key else ""
        directories, files = self._names(key)
        entries = self._entries(base, directories, files)
        while page := list(islice(entries, PAGE)):
            yield page

    def _entries(self, base: str, directories: list[str], files: list[str]) -> Iterator[Entry]:
        for name in directories:
            if f"{base}{name}/" != RESERVED:
                yield Entry(base + name, is_dir=True)
        for name in files:
            if name != DIRECTORY_MARKER:
                with suppress(NotFound):  # deleted meanwhile
                    yield self._file(base + name)

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """See the protocol; the API has no versions to hold on to."""
        if offset >= entry.size:
            return b""
        with storage_errors(), self._storage.open(entry.key, "rb") as content:
            content.seek(offset)
            data: bytes = content.read(min(length, entry.size - offset))
        return data

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        """See the protocol."""
        refuse_root(key)
        if self.stat(key).is_dir:
            raise IsADirectory
        with storage_errors():
            self._storage.delete(key)

    def rename(self, source: str, target: str, *, replace: bool) -> None:
        """See the protocol. Files are copied through this machine, then deleted."""
        refuse_root(source)
        refuse_root(target)
        found = self.stat(source)
        if source == target:
            return
        if target.startswith(f"{source}/"):
            raise IntoItself("A directory cannot move into itself.")
        taken = self._find(target)
        if taken is not None and (found.is_dir or not (taken.is_dir or replace)):
            raise Exists
        if taken is not None and taken.is_dir:
            raise IsADirectory
        if found.is_dir:
            self._move_directory(source, target)
        else:
            with storage_errors(), self._storage.open(source, "rb") as content:
                self._save(target, content, found.size, replacing=taken is not None)
            with storage_errors():
                self._storage.delete(source)

    def _move_directory(self, source: str, target: str) -> None:
        files = list(self._below(source))
        copied: list[str] = []
        try:
            for name in files:
                copied.append(target + name)
                self._copy(source + name, target + name)
        except SecureDropError:
            for name in copied:
                with suppress(SecureDropError), storage_errors():
                    self._storage.delete(name)
            raise
        for name in files:
            with storage_errors():
                self._storage.delete(source + name)
        self._remove_empty(source)

    def _below(self, key: str, name: str = "") -> Iterator[str]:
        """Every file under ``key``, markers too, as what follows ``key``. An empty directory
        without a marker is given one."""
        directories, files = self._names(key + name)
        if name and not directories and not files:
            self._mark(key + name)
            files = [DIRECTORY_MARKER]
        for file in files:
            yield f"{name}/{file}"
        for directory in directories:
            yield from self._below(key, f"{name}/{directory}")

    def _mark(self, key: str) -> None:
        with storage_errors():
            self._storage.save(f"{key}/{DIRECTORY_MARKER}", ContentFile(b""))

    def _remove_empty(self, key: str) -> None:
        """Where storage has real directories they are left empty; ``delete`` may take them."""
        for name in self._names(key)[0]:
            self._remove_empty(f"{key}/{name}")
        with suppress(SecureDropError), storage_errors():
            self._storage.delete(key)

    def mkdir(self, key: str) -> None:
        """See the protocol. A hidden file holds the directory."""
        refuse_root(key)
        if self._find(key) is not None:
            raise Exists
        self._mark(key)

    def rmdir(self, key: str) -> None:
        """See the protocol."""
        refuse_root(key)
        found = self._find(key)
        if found is None:
            raise not_there("directory")
        if not found.is_dir:
            raise NotADirectory
        directories, files = self._names(key)
        if directories or [name for name in files if name != DIRECTORY_MARKER]:
            raise NotEmpty
        with storage_errors():
            if files:
                self._storage.delete(f"{key}/{DIRECTORY_MARKER}")
        self._remove_empty(key)

    @property
    def disks(self) -> tuple[str, ...]:
        """Where it writes: the spool, and the storage's folder where it says that it has one."""
        location = getattr(self._storage, "location", "")
        known = isinstance(location, str) and location.startswith("/")
        folders = (location,) if known else ()
        return (self._tree.location, *folders)

    # --- its location ----------------------------------------------------------------

    @property
    def place(self) -> str:
        """See :class:`~.protocol.Located`."""
        return str(getattr(self._storage, "location", type(self._storage).__qualname__))

    def mark(self) -> str:
        """See :class:`~.protocol.Located`."""
        with storage_errors():
            if not self._storage.exists(MARK):
                return ""
            with self._storage.open(MARK, "rb") as file:
                return str(file.read(100).decode("ascii", "replace").strip())

    def put_mark(self, mark: str) -> str:
        """See :class:`~.protocol.Located`."""
        with suppress(Exists):
            self._save_as(MARK, io.BytesIO(f"{mark}\n".encode()), len(mark) + 1)
        return self.mark()

    def expect_mark(self, mark: str) -> None:
        """See :class:`~.protocol.Located`. It is looked for once for each file. The spool is
        marked too: it is not made anew on another disk while the process lives."""
        self._expected = mark
        with os_errors():
            self._tree.expect(self._tree.read_mark() or self._tree.put_mark(uuid.uuid4().hex))

    def is_blank(self) -> bool:
        """See :class:`~.protocol.Located`."""
        return self._names("") == ([], [])

    def _refuse_lost(self) -> None:
        if self._expected and self.mark() != self._expected:
            raise StorageLost(f"{self.place} does not carry our mark: is its disk mounted?")

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """List the root, and write to the spool."""
        with storage_errors():
            self._storage.exists(DIRECTORY_MARKER)
        spec = ObjectSpec("check", f"check-{os.getpid()}-{os.urandom(4).hex()}")
        self._spool.discard(self._spool.begin(spec))

    def close(self) -> None:
        """Nothing is held."""
