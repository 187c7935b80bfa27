"""The partner's world as FTP sees it: paths under ``/`` over a confined storage.

Paths become keys in one place (:mod:`securedrop_ftp.keys`), and each call that may block is handed
to the storage pool; the verb that calls parks until the answer is there. Nothing that storage said
is kept: other sessions, workers and nodes write to it, and a reply tells what is so when it is sent
(RFC 3659 §3, §4 and §7; invariant 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from weakref import WeakMethod

from securedrop_ftp import keys
from securedrop_ftp.exceptions import IsADirectory, NotADirectory, NotFound, SessionGone
from securedrop_ftp.intake import spelling
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Entry


class StorageFS:
    """The working directory and the acts on files of one session.

    ``offload(function, *args)``, a method of who owns this, runs a call in the storage pool and
    parks the verb meanwhile.
    """

    def __init__(self, storage: ConfinedStorage, root: str, offload: Callable[..., Any]) -> None:
        self.storage = storage
        self.root = root
        self.cwd = "/"
        # Strongly held, owner and files would keep each other, and a TLS context with them, until
        # the garbage collector comes by.
        self._owners_offload = WeakMethod(offload)

    def _offload(self, function: Callable[..., Any], *args: Any) -> Any:
        offload = self._owners_offload()
        if offload is None:
            raise SessionGone
        return offload(function, *args)

    def resolve(self, argument: str) -> str:
        """The absolute FTP path of an argument. Raises BadName."""
        return keys.resolve(self.cwd, argument)

    def resolve_file(self, argument: str) -> str:
        """The absolute FTP path of a file. A name that ends in ``/`` or ``/.`` is a directory's
        (POSIX; RFC 3659 §6.2.1 leaves it open), and so is the top.

        Raises:
            BadName, IsADirectory.
        """
        path = self.resolve(argument)
        if path == "/" or argument.rpartition("/")[2] in ("", "."):
            raise IsADirectory
        return path

    def key(self, path: str) -> str:
        """The object key of an absolute FTP path. Raises BadName, OutsidePrefix."""
        return keys.key_for(self.root, path)

    def stat(self, path: str) -> Entry:
        """A file or a directory, as it is now: one request for a file, on object stores two for a
        directory or a missing name. Raises NotFound."""
        if path == "/":
            return Entry(self.key(path), is_dir=True)  # a partner's root always is there
        entry: Entry = self._offload(self.storage.stat, self.key(path))
        return entry

    def root_entry(self, since: datetime | None) -> Entry:
        """The partner's root with its time: storage's, or ``since``."""
        modified = self._offload(self.storage.root_modified) or since
        return Entry(self.key("/"), is_dir=True, modified=modified)

    def stat_file(self, path: str) -> Entry:
        """A file, as it is now. Raises NotFound, IsADirectory."""
        entry = self.stat(path)
        if entry.is_dir:
            raise IsADirectory
        return entry

    def change_directory(self, path: str) -> None:
        """Make ``path`` the working directory. Raises NotFound, NotADirectory."""
        try:
            entry = self.stat(path)
        except NotFound:
            other: str = self._offload(spelling.found, self.storage, self.root, path)
            if other == path:
                raise
            path, entry = other, self.stat(other)
        if not entry.is_dir:
            raise NotADirectory
        self.cwd = path

    def spelled(self, path: str) -> str:
        """The path of a directory or a file in the spelling that it has; the working directory has
        the one that it was found under."""
        if path == self.cwd or not keys.has_spellings(path):
            return path
        spelled: str = self._offload(spelling.of_existing, self.storage, self.root, path)
        return spelled

    def pages(self, path: str) -> Iterator[list[Entry]]:
        """A blocking iterator over a directory's pages: for pool threads."""
        return self.storage.scandir(self.key(path))
