"""A backend seen from inside one prefix: the second wall behind :mod:`securedrop_ftp.keys`.

Every key that goes into a backend and every key that comes out of it is checked against the root
(invariant 4). The root itself always exists, is a directory, and cannot be written, renamed or
removed; a file must lie strictly inside it, and nothing under :data:`~.protocol.RESERVED` is
reachable, whatever the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from securedrop_ftp.db import release_connection
from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IntoItself,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
    OutsidePrefix,
    StorageRefused,
    UnsupportedByBackend,
)
from securedrop_ftp.keys import RESERVED_ROOT, check_key, check_prefix
from securedrop_ftp.storage.listing import in_pages
from securedrop_ftp.storage.protocol import (
    Backend,
    Capabilities,
    CopiesParts,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
    nothing_to_do,
)


class Kept(Protocol):
    """The directories that are there though nothing in storage says so."""

    def has(self, key: str) -> bool:
        """Whether this one is kept."""

    def within(self, key: str) -> list[str]:
        """Keys of those that are directly in one."""


class _NoneKept:
    def has(self, key: str) -> bool:
        del key
        return False

    def within(self, key: str) -> list[str]:
        del key
        return []


class ConfinedStorage:
    """Same methods as :class:`~securedrop_ftp.storage.protocol.Backend`.

    Args:
        backend: the backend of the partner's storage alias.
        root: the account's prefix; ends with ``/``.
        kept: the directories that the ledger keeps for a storage that has none of its own. To look
            at; whoever changes a name here writes them.
    """

    def __init__(self, backend: Backend, root: str, kept: Kept | None = None) -> None:
        check_prefix(root)
        if root.split("/", 1)[0] == RESERVED_ROOT:
            raise OutsidePrefix("That prefix is the service's own.")
        self._confined = backend
        self._root = root
        self._kept: Kept = kept or _NoneKept()

    @property
    def root(self) -> str:
        """The prefix, with its trailing ``/``."""
        return self._root

    @property
    def _backend(self) -> Backend:
        """Storage may take seconds: no shared database connection is kept meanwhile."""
        release_connection()
        return self._confined

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._confined.name

    @property
    def capabilities(self) -> Capabilities:
        """What the backend inside can do."""
        return self._confined.capabilities

    @property
    def disks(self) -> tuple[str, ...]:
        """The backend's, where it writes on this machine."""
        return tuple(getattr(self._confined, "disks", ()))

    # --- checks ----------------------------------------------------------------------

    def _inside(self, key: str) -> str:
        """``key``, strictly inside the root."""
        check_key(key, self._root)
        if not key.startswith(self._root):
            raise OutsidePrefix("That is the prefix itself, not a file in it.")
        return key

    def _is_root(self, key: str) -> bool:
        check_key(key, self._root)
        return key == self._root[:-1]

    def _spec(self, spec: ObjectSpec) -> ObjectSpec:
        self._inside(spec.key)
        return spec

    def _partial(self, partial: Partial) -> Partial:
        self._inside(partial.spec.key)
        return partial

    def _published(self, published: Published) -> Published:
        self._inside(published.key)
        return published

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        return self._partial(self._backend.begin(self._spec(spec)))

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        return self._backend.put_part(self._partial(partial), number, offset, data)

    def copy_parts(self, partial: Partial, entry: Entry, parts: Sequence[Part]) -> list[Part]:
        """Raises UnsupportedByBackend where the backend inside copies none."""
        self._inside(entry.key)
        backend = self._backend
        if not isinstance(backend, CopiesParts):
            raise UnsupportedByBackend
        return backend.copy_parts(self._partial(partial), entry, parts)

    def resume(self, partial: Partial, epoch: int) -> Partial:
        return self._partial(self._backend.resume(self._partial(partial), epoch))

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        return self._published(
            self._backend.commit(
                self._partial(partial), parts, size=size, sha256=sha256, replace=replace
            )
        )

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        return self._published(
            self._backend.put_object(self._spec(spec), data, sha256=sha256, replace=replace)
        )

    def abort(self, partial: Partial) -> None:
        self._backend.abort(self._partial(partial))

    def find_published(self, key: str, upload_id: str) -> Published | None:
        found = self._backend.find_published(self._inside(key), upload_id)
        return found and self._published(found)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        return self._backend.list_parts(self._partial(partial))

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Refused: a sweep sees the whole location."""
        del keep, older_than
        raise StorageRefused("A sweep is not for one partner.")

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        if self._is_root(key):
            return Entry(key=key, is_dir=True)
        try:
            entry = self._backend.stat(key)
        except NotFound:
            if not self._kept.has(self._inside(key)):
                raise
            return Entry(key, is_dir=True)
        self._inside(entry.key)
        return entry

    def root_modified(self) -> datetime | None:
        """When the prefix last changed; ``None`` where storage does not know, or has no such
        directory yet."""
        try:
            found = self._backend.stat(self._root[:-1])
        except (NotFound, NotADirectory):
            return None
        return found.modified if found.is_dir else None

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        """Names that we do not take (other tools put them there) are left out: no verb could
        address them."""
        is_root = self._is_root(key)
        return self._pages(key, is_root)

    def _pages(self, key: str, is_root: bool) -> Iterator[list[Entry]]:
        more = dict.fromkeys(self._kept.within(key))
        try:
            for page in self._backend.scandir(key):
                entries = [entry for entry in page if self._listable(entry, key)]
                for entry in entries:
                    more.pop(entry.key, None)
                yield entries
        except NotFound:
            if not (is_root or more or self._kept.has(key)):
                raise
        except NotADirectory:
            # Another's object has the prefix's name without its "/".
            if not is_root:
                raise
        kept = (Entry(name, is_dir=True) for name in more)
        yield from in_pages(entry for entry in kept if self._listable(entry, key))

    def _listable(self, entry: Entry, directory: str) -> bool:
        try:
            self._inside(entry.key)
        except OutsidePrefix:
            raise
        except BadName:
            return False
        if entry.key.rpartition("/")[0] != directory:
            raise OutsidePrefix("Storage listed a name that is not in that directory.")
        return True

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        self._inside(entry.key)
        return self._backend.read(entry, offset, length)

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        if self._is_root(key):
            raise IsADirectory
        self._backend.delete(key)

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        """Raises NotADirectory as :meth:`mkdir` does."""
        self._inside(source)
        if _directory(self._inside(target)) != _directory(source):
            self.missing_above(target)
        if self._only_kept(source):
            self._refuse_target_of_kept(source, target)
            return
        if self._kept.has(target):
            raise IsADirectory if replace else Exists
        self._backend.rename(source, target, replace=replace, copied=copied)

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        return self._backend.settle_rename(
            self._inside(source),
            self._inside(target),
            copied=copied,
            target_etag=target_etag,
            undo=undo,
        )

    def mkdir(self, key: str) -> None:
        """NotADirectory where one of its directories is a file: object stores would make one
        name both, and who moves the file away leaves a directory in its place."""
        if self._is_root(key):
            raise Exists
        self.missing_above(key)
        if self._kept.has(key):
            raise Exists
        self._backend.mkdir(key)

    def _only_kept(self, key: str) -> bool:
        """Whether the ledger has this directory, and storage nothing in it."""
        if not self._kept.has(key):
            return False
        try:
            self._backend.stat(key)
        except NotFound:
            return True
        return False

    def _refuse_target_of_kept(self, source: str, target: str) -> None:
        if target == source:
            return
        if target.startswith(f"{source}/"):
            raise IntoItself
        with suppress(NotFound):
            self.stat(target)
            raise Exists

    def missing_above(self, key: str) -> str:
        """The key of the uppermost directory above a name that is not there; ``""``: all are. Where
        the ledger keeps the directory, storage is not asked.

        Raises:
            NotADirectory: one is a file.
        """
        self._inside(key)
        missing = ""
        while (key := _directory(key)) != self._root[:-1]:
            if self._kept.has(key):
                return missing
            try:
                if self._backend.stat(key).is_dir:
                    return missing
            except NotFound:
                missing = key
                continue
            raise NotADirectory
        return missing

    def rmdir(self, key: str) -> None:
        """Of one that the ledger keeps nothing needs to be in storage."""
        if self._kept.within(self._inside(key)):
            raise NotEmpty
        try:
            self._backend.rmdir(key)
        except NotFound:
            if not self._kept.has(key):
                raise

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        self._backend.check()

    def close(self) -> None:
        """Nothing: the backend is shared."""


def _directory(key: str) -> str:
    return key.rpartition("/")[0]
