"""Directories: what must be above a name, and MKD, from any door.

A name below a file is refused on every storage, and so is one below a directory that is not there,
unless the partner's names make the directories above them
(:attr:`~securedrop_ftp.access.principal.Principal.create_directories`): a mistyped directory is
told to who typed it, instead of being made.
"""

from __future__ import annotations

from functools import partial

from securedrop_ftp import keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import Exists, NameBusy, NoDirectory
from securedrop_ftp.intake import kept_directories, name_changes, spelling
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.kept_directories import root_of
from securedrop_ftp.intake.nesting import refuse_published
from securedrop_ftp.intake.stored_names import Name
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
            NameBusy: it, or one above it, is being renamed or removed, or a file is stored there.
        """
        if path == "/":
            raise Exists
        storage = self._context.storage(principal)
        path = spelling.of_new(storage, principal.root, path)
        key = keys.key_for(principal.root, path)
        require_above(principal, storage, key)
        root = root_of(storage, principal.root)
        if root is None:  # the file system itself has them one after the other
            storage.mkdir(key)
            return path
        name = Name(principal.storage, key, root)
        self._book.run(partial(name_changes.refuse_claimed, name))
        self._book.run(partial(refuse_published, name))
        storage.mkdir(key)
        self._book.run(partial(_keep, name))
        try:
            self._book.run(partial(refuse_published, name))  # of two at least one sees the other
        except NameBusy:
            storage.rmdir(key)
            self._book.run(partial(kept_directories.forget, name.storage, key))
            raise
        return path


def _keep(name: Name) -> None:
    """A job: the directory is there from now on, unless it, or one above it, is being removed or
    renamed. Raises NameBusy."""
    name_changes.refuse_claimed(name)
    if name.root is not None:
        kept_directories.keep(name.storage, name.key, name.root)
