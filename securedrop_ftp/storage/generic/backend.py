"""Any other Django storage, through nothing but Django's Storage API.

An upload is spooled on this machine's disk until it is whole; then one ``storage.save`` publishes
it. (Never ``storage.open(…, "wb")``: what it has written becomes visible when it is closed, whole
or not.) How atomic that one ``save`` is depends on the storage; a backend of its own is better
where that matters. The API knows no sizes in listings, no rename and no directories, so listing
costs two calls for each file, a rename copies through this machine, and a directory that was made
is held by a hidden file.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import IO, Any, Final

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.exceptions import (
    Exists,
    NotADirectory,
    NotEmpty,
    NotFound,
    StorageLost,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import not_there, os_errors, refuse_root
from securedrop_ftp.storage.filesystem.part_files import InPartFiles, PartFiles
from securedrop_ftp.storage.filesystem.records import Records
from securedrop_ftp.storage.filesystem.tree import MARK, Tree
from securedrop_ftp.storage.generic.api import StorageApi
from securedrop_ftp.storage.generic.saving import (
    DIRECTORY_MARKER,
    below,
    copy_directory,
    mark_directory,
    remove_empty,
    save,
)
from securedrop_ftp.storage.listing import in_pages
from securedrop_ftp.storage.parts import check_parts
from securedrop_ftp.storage.protocol import (
    RESERVED,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)
from securedrop_ftp.storage.remote_tree import RemoteTree

_SPOOL: Final = "generic/uploads"
_RECORDS: Final = "generic/published"


class GenericBackend(InPartFiles, RemoteTree):
    """See the module's docstring.

    Args:
        storage: any Django storage with ``listdir`` and ``size``.
        conf: where the spool is; the settings in force if not given.
    """

    name = "generic"
    capabilities = Capabilities(resumable=True, node_bound=True)

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        self._storage = storage
        self._api = StorageApi(storage)
        self._tree = Tree(str((conf or get_conf()).spool), 0o700)
        self._uploads = PartFiles(self._tree, _SPOOL)
        #: The API has no metadata, so whose a file is stands in a record beside the spool.
        self._records = Records(self._tree, _RECORDS)
        self._expected = ""

    # --- writing ---------------------------------------------------------------------

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        check_parts(parts, size)
        with os_errors(), self._uploads.exclusive(partial) as (directory, name, fd):
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
        return self._publish(spec, io.BytesIO(data), data.nbytes, sha256, replace)

    def _publish(
        self, spec: ObjectSpec, content: IO[bytes], size: int, sha256: str, replace: bool
    ) -> Published:
        refuse_root(spec.key)
        self._refuse_lost()
        taken = self._taken(spec.key, by_directory=False, replace=replace)
        record = json.dumps({"key": spec.key, "size": size, "sha256": sha256}).encode()
        with os_errors():
            self._records.write(spec.upload_id, record)
        save(self._api, spec.key, content, size, taken=taken)
        found = self._api.size(spec.key)
        if found != size:
            raise VerificationFailed(f"Storage holds {found} bytes; {size} were received.")
        return Published(spec.key, size)

    def find_published(self, key: str, upload_id: str) -> Published | None:
        """What is there is read back and compared with the recorded digest."""
        self._refuse_lost()
        try:
            with os_errors():
                record = json.loads(self._records.read(upload_id))
        except ValueError:  # none, or torn by a crash
            return None
        found = self._api.find(key)
        if found is None or record["key"] != key or record["size"] != found.size:
            return None
        same = self._api.sha256(key) == record["sha256"]
        return Published(key, found.size) if same else None

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Old records go too."""
        self._records.sweep(keep, older_than)
        return self._uploads.sweep(keep, older_than=older_than)

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        found = self._api.find(key)
        if found is None:
            raise not_there()
        return found

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        """Sizes and times are one call each for every file: the API lists names only."""
        self._require_directory(key)
        yield from in_pages(self._entries(f"{key}/" if key else "", *self._api.names(key)))

    def _require_directory(self, key: str) -> None:
        found = self._api.find(key)
        if found is None:
            raise not_there("directory")
        if not found.is_dir:
            raise NotADirectory

    def _entries(self, base: str, directories: list[str], files: list[str]) -> Iterator[Entry]:
        for name in directories:
            if f"{base}{name}/" != RESERVED:
                yield Entry(base + name, is_dir=True)
        for name in files:
            if name != DIRECTORY_MARKER:
                with suppress(NotFound):  # deleted meanwhile
                    yield self._api.file(base + name)

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """Of the file as it is now: the API has no versions to hold on to."""
        if offset >= entry.size:
            return b""
        return self._api.read(entry.key, offset, min(length, entry.size - offset))

    # --- changing --------------------------------------------------------------------

    def _remove(self, key: str) -> None:
        self._api.delete(key)

    def _copy_file(self, found: Entry, target: str, *, taken: bool) -> None:
        with self._api.opened(found.key) as content:
            save(self._api, target, content, found.size, taken=taken)

    def _copy_directory(self, source: str, target: str) -> Sequence[str]:
        return copy_directory(self._api, source, target)

    def _remove_directory(self, source: str, names: Sequence[str]) -> None:
        for name in names:
            self._api.delete(source + name)
        remove_empty(self._api, source)

    def _same_file(self, found: Entry, target: str, target_etag: str) -> bool:
        """Files have no ETags here: both are read."""
        there = self._api.find(target)
        if there is None or there.is_dir or there.size != found.size:
            return False
        return self._api.sha256(found.key) == self._api.sha256(target)

    def _copied_names(self, source: str, target: str) -> Sequence[str]:
        there = set(below(self._api, target))
        return [
            name
            for name in below(self._api, source)
            if name in there and self._api.size(source + name) == self._api.size(target + name)
        ]

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        """A ``save`` that ended on its way may have left half a file at a name that was free."""
        done = super().settle_rename(
            source, target, copied=copied, target_etag=target_etag, undo=undo
        )
        if undo and not done and not target_etag:
            there = self._api.find(target)
            if there is not None and there.is_dir:
                self._remove_directory(target, list(below(self._api, target)))
            elif there is not None:
                self._api.delete(target)
        return done

    def _make_directory(self, key: str) -> None:
        mark_directory(self._api, key)

    def rmdir(self, key: str) -> None:
        refuse_root(key)
        self._require_directory(key)
        directories, files = self._api.names(key)
        if directories or [name for name in files if name != DIRECTORY_MARKER]:
            raise NotEmpty
        if files:
            self._api.delete(f"{key}/{DIRECTORY_MARKER}")
        remove_empty(self._api, key)

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
        return str(getattr(self._storage, "location", type(self._storage).__qualname__))

    def mark(self) -> str:
        if not self._api.exists(MARK):
            return ""
        return self._api.read(MARK, 0, 100).decode("ascii", "replace").strip()

    def put_mark(self, mark: str) -> str:
        with suppress(Exists):
            self._api.save(MARK, io.BytesIO(f"{mark}\n".encode()), len(mark) + 1)
        return self.mark()

    def expect_mark(self, mark: str) -> None:
        """It is looked for once for each file. The spool is marked too: it is not made anew on
        another disk while the process lives."""
        self._expected = mark
        with os_errors():
            self._tree.expect(self._tree.read_mark() or self._tree.put_mark(uuid.uuid4().hex))

    def is_blank(self) -> bool:
        return self._api.names("") == ([], [])

    def _refuse_lost(self) -> None:
        if self._expected and self.mark() != self._expected:
            raise StorageLost(f"{self.place} does not carry our mark: is its disk mounted?")

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """List the root, and write to the spool."""
        self._api.exists(DIRECTORY_MARKER)
        spec = ObjectSpec("check", f"check-{os.getpid()}-{os.urandom(4).hex()}")
        self.abort(self.begin(spec))

    def close(self) -> None:
        """Nothing is held, so nothing is released."""
