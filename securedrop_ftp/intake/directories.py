"""Directories: what must be above a name, MKD and RMD, from any door.

A name below a file is refused on every storage, and so is one below a directory that is not there,
unless the partner's names make the directories above them
(:attr:`~securedrop_ftp.access.principal.Principal.create_directories`): a mistyped directory is
told to who typed it, instead of being made.
"""

from __future__ import annotations

from functools import partial

from securedrop_ftp import keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import Exists, NoDirectory, NotFound
from securedrop_ftp.intake import kept_directories, spelling
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.kept_directories import root_of
from securedrop_ftp.storage.confined import ConfinedStorage


def require_above(principal: Principal, storage: ConfinedStorage, key: str) -> None:
    """Look at what is above a name. Blocks.

    Raises:
        NotADirectory: a file.
        NoDirectory: nothing, and this partner's names make no directories.
    """
    missing = storage.missing_above(key)
    if missing and not principal.create_directories:
        raise NoDirectory(keys.path_for(principal.root, missing))


class Directories:
    """Blocks; runs in the storage pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    def make(self, principal: Principal, path: str) -> str:
        """Make a directory. Its path, in the spelling that it has.

        Raises:
            Exists, BadName: a file or a directory has the name; it is none.
            NotADirectory, NoDirectory: see :func:`require_above`.
        """
        if path == "/":
            raise Exists
        storage = self._context.storage(principal)
        path = spelling.of_new(storage, principal.root, path)
        key = keys.key_for(principal.root, path)
        require_above(principal, storage, key)
        storage.mkdir(key)
        if (root := root_of(storage, principal.root)) is not None:
            self._book.run(partial(kept_directories.keep, principal.storage, key, root))
        return path

    def remove(self, principal: Principal, path: str) -> str:
        """Remove an empty directory. Its path, in the spelling that it had. Raises NotFound,
        NotADirectory, NotEmpty, BadName."""
        storage = self._context.storage(principal)
        try:
            self._remove(principal, storage, path)
        except NotFound:
            other = spelling.found(storage, principal.root, path)
            if other == path:
                raise
            self._remove(principal, storage, other)
            return other
        return path

    def _remove(self, principal: Principal, storage: ConfinedStorage, path: str) -> None:
        key = keys.key_for(principal.root, path)
        storage.rmdir(key)
        if root_of(storage, principal.root) is not None:
            self._book.run(partial(kept_directories.forget, principal.storage, key))
