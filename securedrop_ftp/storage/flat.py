"""Directories over storages that have none: keys with ``/`` in them, and markers.

A directory exists where a key lies under it or where it has a marker, an object of no bytes; a
listing needs none. Rename copies on the server, then deletes: there is no moment in which neither
name exists, and until every copy is made nothing is deleted.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from typing import Any, ClassVar, Final

from securedrop_ftp.conf import Conf
from securedrop_ftp.db.threads import Threads
from securedrop_ftp.exceptions import (
    NotADirectory,
    NotEmpty,
    NotFound,
    SecureDropError,
    StorageUnavailable,
    TooManyToMove,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import not_there, refuse_root
from securedrop_ftp.storage.listing import PAGE, in_pages
from securedrop_ftp.storage.protocol import RESERVED, Entry
from securedrop_ftp.storage.remote_tree import RemoteTree

PARALLEL: Final = 8
#: Objects of a directory that a rename copies. More take minutes, and hold their names in memory.
MOVED_AT_MOST: Final = 10_000

#: Directories' keys and files of one page of a listing.
Page = tuple[list[str], list[Entry]]


class FlatStore(RemoteTree):
    """The half of a backend that looks and changes, from a few primitives."""

    conf: Conf
    #: Last component of a directory's marker; ``""``: the marker is the key with a ``/``.
    marker_name: ClassVar[str] = ""
    #: Whether :data:`MOVED_AT_MOST` and the deadline of a command hold for a directory's rename.
    renames_are_bounded = True

    # --- primitives ------------------------------------------------------------------

    @abstractmethod
    def _head(self, key: str) -> Entry:
        """The object of exactly this key; raises NotFound."""

    @abstractmethod
    def _list(self, prefix: str, *, deep: bool = False, limit: int = PAGE) -> Iterator[Page]:
        """What begins with ``prefix``, a request a page of at most ``limit`` names: what lies
        between two ``/`` as one directory, or ``deep``, every object."""

    @abstractmethod
    def _remove(self, key: str) -> None:
        """Delete the object; no error where it is gone already."""

    @abstractmethod
    def _copy(self, entry: Entry, target: str) -> None:
        """Copy an object on the server, metadata included."""

    def _remove_all(self, keys: list[str]) -> None:
        """Delete many objects; no error for those that are gone."""
        in_parallel(self._remove, keys)

    @abstractmethod
    def _put_marker(self, key: str) -> None:
        """Put an object of no bytes."""

    # --- looking ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        """One request for a file, two for a directory."""
        if not key:
            return Entry("", is_dir=True)
        try:
            return self._head(key)
        except NotFound:
            if self._first(key):
                return Entry(key, is_dir=True)
            raise

    def _every(self, prefix: str) -> Iterator[Entry]:
        """Every object whose key begins with ``prefix``."""
        for _, files in self._list(prefix, deep=True):
            yield from files

    def _first(self, key: str, limit: int = 1) -> list[str]:
        """Some keys under a directory."""
        _, files = next(self._list(f"{key}/", deep=True, limit=limit), ([], []))
        return [entry.key for entry in files]

    def _marker(self, key: str) -> str:
        return f"{key}/{self.marker_name}"

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        base = f"{key}/" if key else ""
        exists = not key
        for directories, files in self._list(base):
            exists = exists or bool(directories or files)
            yield from in_pages(self._shown(base, directories, files))
        if not exists:
            self._refuse_file(key)
            raise not_there("directory")

    def _shown(self, base: str, directories: list[str], files: list[Entry]) -> Iterator[Entry]:
        for key in directories:
            if key.startswith(base) and key != base and f"{key}/" != RESERVED:
                entry = Entry(key, is_dir=True)
                if entry.name:  # "a//b", another tool's, has a directory without a name
                    yield entry
        for entry in files:
            if entry.name not in ("", self.marker_name):
                yield entry

    def _refuse_file(self, key: str) -> None:
        with suppress(NotFound):
            self._head(key)
            raise NotADirectory

    # --- changing --------------------------------------------------------------------

    def _copy_file(self, found: Entry, target: str, *, taken: bool) -> None:
        del taken  # a copy replaces
        self._copy(found, target)
        if self._head(target).size != found.size:
            raise VerificationFailed("The copy is not as long as its source.")

    def _copy_directory(self, source: str, target: str) -> Sequence[str]:
        """Everything under ``source/``, its marker included, a page at a time."""
        end = time.monotonic() + self.conf.operation_timeout if self.renames_are_bounded else inf
        entries = self._bounded(self._every(f"{source}/"))
        sizes: dict[str, int] = {}

        def copy(entry: Entry) -> None:
            if time.monotonic() > end:
                raise StorageUnavailable("Renaming the directory took too long.")
            self._copy(entry, target + entry.key[len(source) :])

        try:
            while page := list(islice(entries, PAGE)):
                sizes |= {entry.key[len(source) :]: entry.size for entry in page}
                in_parallel(copy, page)
            if sizes != self._sizes(target):
                raise VerificationFailed("The copies are not what was copied.")
        except SecureDropError:
            with suppress(SecureDropError):
                self._remove_directory(target, list(sizes))
            raise
        return list(sizes)

    def _bounded(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The same, where they are not too many. Raises TooManyToMove."""
        if not self.renames_are_bounded:
            return entries
        first = list(islice(entries, MOVED_AT_MOST + 1))
        if len(first) > MOVED_AT_MOST:
            raise TooManyToMove
        return iter(first)

    def _remove_directory(self, source: str, names: Sequence[str]) -> None:
        self._remove_all([source + name for name in names])

    def _same_file(self, found: Entry, target: str, target_etag: str) -> bool:
        """A file that was there before is told by its ETag: the copy has another one, or is the
        same as what it replaced."""
        try:
            there = self._head(target)
        except NotFound:
            return False
        replaced = there.etag != target_etag or there.etag == found.etag
        return replaced and there.size == found.size

    def _copied_names(self, source: str, target: str) -> Sequence[str]:
        there = self._sizes(target)
        return [name for name, size in self._sizes(source).items() if there.get(name) == size]

    def _sizes(self, key: str) -> dict[str, int]:
        """Size of every object below a directory, by what follows its key."""
        return {entry.key[len(key) :]: entry.size for entry in self._every(f"{key}/")}

    def _make_directory(self, key: str) -> None:
        self._put_marker(self._marker(key))

    def rmdir(self, key: str) -> None:
        refuse_root(key)
        names = self._first(key, 2)
        if not names:
            self._refuse_file(key)
            raise not_there("directory")
        if names != [self._marker(key)]:
            raise NotEmpty
        self._remove(self._marker(key))


def in_parallel(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """The results in order. After the first failure nothing more is begun, and it is raised when
    what runs has ended."""
    with Threads(PARALLEL, thread_name_prefix="storage-copy") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
