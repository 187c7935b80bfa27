"""What a name means to an account now: the one place that every verb and every door asks.

Under ``reject`` and ``replace`` names mean what storage has, and who stored it only grants rights.
Under ``version`` the name that an account sends may be stored under a number, so a name means, in
this order:

1. the account's own suspended upload, if it began after
2. the account's own last committed upload of the name, where that has its key still;
3. for who may list, what storage has under the name.

Who may not list sees of finished files its own only, and those for :data:`SHOWN` seconds: long
enough for a client that checks what it sent, and not so long that tomorrow's delivery of the same
name and size is taken for one that was sent already. ``docs/reference/names.md`` has the table; a
test holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from securedrop_ftp import clock, keys
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import IsADirectory, NotFound
from securedrop_ftp.intake import spelling, stored_names
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.replacing import may_replace_own
from securedrop_ftp.intake.suspended import Suspended, SuspendedUploads
from securedrop_ftp.models import OverwritePolicy, Permission, Upload
from securedrop_ftp.storage.protocol import Backend, Entry

#: Seconds after its 226 for which an account that may not list, or whose files get numbers, is
#: shown its own finished file.
SHOWN: Final = 600.0
#: How long an account may rename what it stored.
RENAMED: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Meant:
    """What a name means.

    Attributes:
        path: the FTP path that was named, in the spelling that it has
            (:mod:`~securedrop_ftp.intake.spelling`).
        key: where it is in storage.
        entry: as storage has it now; of a suspended upload its key and durable length.
        suspended: it is the account's own suspended upload: there is no file yet.
        own: the account's own upload that stored it, where that is known.
    """

    path: str
    key: str
    entry: Entry
    suspended: Suspended | None = None
    own: Upload | None = None

    @property
    def may_rename_own(self) -> bool:
        """Whether the account stored it so lately that it may rename it."""
        return self.own is not None and _since(self.own) > clock.now() - RENAMED

    @property
    def is_shown(self) -> bool:
        """Whether it is the account's own finished file of the last minutes."""
        return self.own is not None and _is_shown(self.own)


def _since(upload: Upload) -> datetime:
    return upload.finished or upload.started


def _is_shown(upload: Upload) -> bool:
    return _since(upload) > clock.now() - timedelta(seconds=SHOWN)


class Meaning:
    """Blocks; runs in the storage pool."""

    def __init__(self, context: IntakeContext, suspended: SuspendedUploads) -> None:
        self._context = context
        self._suspended = suspended

    def seen(self, principal: Principal, path: str) -> Meant:
        """What SIZE, MDTM and MLST tell of a name; of the account's own upload that has not ended
        yet, what storage has of it by now. Raises NotFound, BadName."""
        meant = self.seen_unless_ending(principal, path)
        if meant.suspended is not None and not meant.suspended.length:
            raise NotFound
        return meant

    def length_before_its_end(self, principal: Principal, path: str) -> int | None:
        """What storage has of the account's own upload of a name that a living writer has, bytes;
        ``None``: there is none. Asks the ledger alone."""
        found = self._suspended_at(principal, path)
        return found.length if found is not None and found.ending else None

    def seen_unless_ending(self, principal: Principal, path: str) -> Meant:
        """:meth:`seen`; where ``suspended.ending`` is true of the answer, who waits until
        :meth:`length_before_its_end` is ``None``, and asks again, gets a better one.

        Raises:
            NotFound, BadName: as :meth:`seen`.
        """
        return self._in_its_spelling(principal, path, self._seen)

    def _in_its_spelling(
        self, principal: Principal, path: str, look: Callable[[Principal, str], Meant]
    ) -> Meant:
        try:
            return look(principal, path)
        except NotFound:
            storage = self._context.storage(principal)
            other = spelling.found(storage, principal.root, path)
            if other == path:
                raise
        return look(principal, other)

    def _seen(self, principal: Principal, path: str) -> Meant:
        key = keys.key_for(principal.root, path)
        backend = self._context.storage(principal)
        entry = _found(backend, key, path)
        if entry is not None and (entry.is_dir or _sees_all(principal)):
            return Meant(path, key, entry)
        suspended = self._suspended_at(principal, path)
        own = None if _sees_all(principal) else self._own(principal, path, key)
        if own is not None and _is_shown(own) and not _is_newer(suspended, own):
            there = entry if own.key == key else _found(backend, own.key)
            if there is not None and not there.is_dir:
                return Meant(path, own.key, there, own=own)
        if suspended is None:
            raise NotFound
        unfinished = Entry(suspended.key, False, suspended.length, suspended.modified)
        return Meant(path, suspended.key, unfinished, suspended)

    def finished(self, principal: Principal, path: str, *, whose: bool = False) -> Meant:
        """The finished file, or the directory, that RETR, HASH, DELE and RNFR mean; ``whose``: and
        whether it is the account's own, which only ``version`` asks for otherwise.

        Raises:
            NotFound: there is none, or the account may not know of it.
        """
        look = partial(self._finished, whose=whose)
        return self._in_its_spelling(principal, path, look)

    def _finished(self, principal: Principal, path: str, *, whose: bool) -> Meant:
        key = keys.key_for(principal.root, path)
        backend = self._context.storage(principal)
        versions = principal.overwrite == OverwritePolicy.VERSION
        own = self._own(principal, path, key) if versions else None
        if own is not None and own.key != key:
            there = _found(backend, own.key)
            if there is not None and not there.is_dir:
                return Meant(path, own.key, there, own=own)
            own = None
        entry = _found(backend, key, path)
        if entry is None:
            raise NotFound
        if whose and not versions and not entry.is_dir:
            own = self._own(principal, path, key)
        if own is None and versions and not entry.is_dir and not principal.may(Permission.LIST):
            raise NotFound
        return Meant(path, key, entry, own=own)

    def _suspended_at(self, principal: Principal, path: str) -> Suspended | None:
        if not principal.may(Permission.RESUME):
            return None
        return self._suspended.at_or_ending(principal, path)

    def _own(self, principal: Principal, path: str, key: str) -> Upload | None:
        own = stored_names.own(principal.account_id, principal.storage, path)
        if own is None or principal.overwrite == OverwritePolicy.VERSION or own.key == key:
            return own
        return None  # it got its number under another policy; the name means storage now


def renamable_keys(principal: Principal, directory: str) -> frozenset[str]:
    """Keys of the files directly in a directory that the account stored so lately that it may
    rename them."""
    folder = keys.key_for(principal.root, directory)
    since = clock.now() - RENAMED
    found = stored_names.own_keys(principal.account_id, principal.storage, folder, since)
    return frozenset(found)


def replaceable_keys(principal: Principal, directory: str) -> frozenset[str]:
    """Keys of the files directly in a directory that the account may replace though it may not
    overwrite others', or append to."""
    if not (may_replace_own(principal) or principal.append):
        return frozenset()
    folder = keys.key_for(principal.root, directory)
    return frozenset(stored_names.own_keys(principal.account_id, principal.storage, folder))


def file_of(meant: Meant) -> Entry:
    """The entry of a file. Raises IsADirectory."""
    if meant.entry.is_dir:
        raise IsADirectory
    return meant.entry


def _sees_all(principal: Principal) -> bool:
    versions = principal.overwrite == OverwritePolicy.VERSION
    return principal.may(Permission.LIST) and not versions


def _is_newer(suspended: Suspended | None, own: Upload) -> bool:
    return suspended is not None and suspended.started > _since(own)


def _found(backend: Backend, key: str, path: str = "") -> Entry | None:
    if path == "/":
        return Entry(key, is_dir=True)  # a partner's root always is there
    try:
        return backend.stat(key)
    except NotFound:
        return None
