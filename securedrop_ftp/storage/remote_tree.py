"""Deleting, renaming and making directories, with the refusals that are the same everywhere.

A backend that asks a service about its tree (an object store, SFTP, WebDAV) inherits
:class:`RemoteTree`, and only moves, removes and makes what may be: no rule of the protocol stands
in it again. A local file system decides such things atomically itself and does not need it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress

from securedrop_ftp.exceptions import Exists, IntoItself, IsADirectory, NotFound
from securedrop_ftp.storage.errors import refuse_root
from securedrop_ftp.storage.protocol import Entry, nothing_to_do


class RemoteTree(ABC):
    """The half of a backend that removes and moves, from a few primitives."""

    # --- primitives ------------------------------------------------------------------

    @abstractmethod
    def stat(self, key: str) -> Entry:
        """What is at a key; each tree asks in its own way."""

    @abstractmethod
    def _remove(self, key: str) -> None:
        """Delete the file ``key``, which was found to be there."""

    @abstractmethod
    def _copy_file(self, found: Entry, target: str, *, taken: bool) -> None:
        """Copy the file ``found`` to ``target``; ``taken``: over the file that is there. If it
        fails, nothing is left at a target that was free."""

    @abstractmethod
    def _copy_directory(self, source: str, target: str) -> Sequence[str]:
        """Copy a directory, with all that is in it, to a name that is not taken. Returns what
        was copied, as what follows ``source``. If it fails, copies that were made are removed."""

    @abstractmethod
    def _remove_directory(self, source: str, names: Sequence[str]) -> None:
        """Remove what was copied, and what is left of the directory then."""

    @abstractmethod
    def _same_file(self, found: Entry, target: str, target_etag: str) -> bool:
        """Whether ``target`` is a copy of the file ``found``; see
        :meth:`.protocol.Backend.settle_rename`."""

    @abstractmethod
    def _copied_names(self, source: str, target: str) -> Sequence[str]:
        """What is below both, as long here as there; as what follows ``source``."""

    @abstractmethod
    def _make_directory(self, key: str) -> None:
        """Make a directory, and those above it, at a name that is not taken."""

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        refuse_root(key)
        if self.stat(key).is_dir:
            raise IsADirectory
        self._remove(key)

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        refuse_root(source)
        refuse_root(target)
        found = self.stat(source)
        if source == target:
            return
        if target.startswith(f"{source}/"):
            raise IntoItself("A directory cannot move into itself.")
        taken = self._taken(target, by_directory=found.is_dir, replace=replace)
        if found.is_dir:
            names = self._copy_directory(source, target)
            copied()
            self._remove_directory(source, names)
        else:
            self._copy_file(found, target, taken=taken)
            copied()
            self._remove(source)

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        try:
            found = self.stat(source)
        except NotFound:
            return True  # removing it is the last step
        if found.is_dir:
            if copied or undo:
                names = self._copied_names(source, target)
                self._remove_directory(source if copied else target, names)
            return copied
        if copied or self._same_file(found, target, target_etag):
            self._remove(source)
            return True
        return False

    def mkdir(self, key: str) -> None:
        """Missing parents are made."""
        refuse_root(key)
        with suppress(NotFound):
            self.stat(key)
            raise Exists
        self._make_directory(key)

    def _taken(self, target: str, *, by_directory: bool, replace: bool) -> bool:
        """Whether a file that may be replaced has the name ``target``.

        Raises:
            Exists, IsADirectory: something that may not be replaced has it.
        """
        try:
            there = self.stat(target)
        except NotFound:
            return False
        if by_directory or not (there.is_dir or replace):
            raise Exists
        if there.is_dir:
            raise IsADirectory
        return True
