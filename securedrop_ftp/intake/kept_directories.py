"""The directories of storages that have none of their own: rows of the ledger.

On an object store a directory would vanish with its last file, which the operator's software takes
away, and the partner's next CWD would fail. Here a directory that was made, given or delivered into
is there until RMD. Where storage keeps directories itself
(:attr:`~securedrop_ftp.storage.protocol.Capabilities.keeps_directories`) there are no rows.

Functions that change something are jobs (:mod:`~securedrop_ftp.intake.ledger`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Concat, Substr

from securedrop_ftp.models import Directory, NameChange, NameChangeKind
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend

# Asked for each file that is stored in a directory.
_KNOWN = Select(
    lambda: (
        Directory.objects.filter(storage=Given("storage"), key=Given("key"))
        .order_by()
        .values_list("pk")
    )
)
_IN = Select(
    lambda: (
        Directory.objects.filter(storage=Given("storage"), parent=Given("parent"))
        .order_by()
        .values_list("key")
    )
)


class KeptDirectories:
    """Those of one storage alias, to look at. Blocks."""

    def __init__(self, storage: str) -> None:
        self._storage = storage

    def has(self, key: str) -> bool:
        """Whether there is a row of this directory."""
        return bool(_KNOWN.rows(storage=self._storage, key=key))

    def within(self, key: str) -> list[str]:
        """Keys of the directories directly in one."""
        return [found for (found,) in _IN.rows(storage=self._storage, parent=key)]


def confined(backend: Backend, root: str, storage: str) -> ConfinedStorage:
    """The storage with this alias, confined to ``root``, with the directories that it has by rows
    alone."""
    kept = None if backend.capabilities.keeps_directories else KeptDirectories(storage)
    return ConfinedStorage(backend, root, kept)


def root_of(backend: Backend, root: str) -> str | None:
    """Below which root directories are kept by rows; ``None``: the storage keeps its own."""
    return None if backend.capabilities.keeps_directories else root


def keep(storage: str, key: str, root: str) -> None:
    """The directory ``key`` below ``root`` is there from now on, and those above it; one question
    where it was there."""
    if not key.startswith(root) or _KNOWN.rows(storage=storage, key=key):
        return
    rows = [Directory(storage=storage, key=k, parent=_parent(k)) for k in _up_to(key, root)]
    Directory.objects.bulk_create(rows, ignore_conflicts=True)


def keep_above(storage: str, key: str, root: str) -> None:
    """:func:`keep` the directory in which a name is."""
    keep(storage, _parent(key), root)


def forget(storage: str, key: str) -> None:
    """An empty directory was removed."""
    Directory.objects.filter(storage=storage, key=key).delete()


def follow(change: NameChange, root: str) -> None:
    """A rename or a deletion is done: the directories in which the names are stay, and what was
    below a renamed directory is below its new name."""
    keep_above(change.storage, change.source, root)
    if change.kind != NameChangeKind.RENAME:
        if change.directory:
            forget(change.storage, change.source)
        return
    keep_above(change.storage, change.target, root)
    if change.directory:
        _move(change)
        keep(change.storage, change.target, root)


def _move(change: NameChange) -> None:
    source, target = change.source, change.target
    rows = Directory.objects.filter(storage=change.storage).order_by()
    rows.filter(key=target).delete()
    _below(rows, target).delete()
    rows.filter(key=source).update(key=target, parent=_parent(target))
    _below(rows, source).update(
        key=_moved("key", source, target), parent=_moved("parent", source, target)
    )


def _moved(field: str, source: str, target: str) -> Any:
    return Concat(Value(target), Substr(field, len(source) + 1))


def _below(rows: QuerySet[Directory], key: str) -> QuerySet[Directory]:
    """Exactly so: SQLite's LIKE takes upper and lower case for the same."""
    return rows.alias(head=Substr("key", 1, len(key) + 1)).filter(head=f"{key}/")


def _up_to(key: str, root: str) -> Iterator[str]:
    while key.startswith(root):
        yield key
        key = _parent(key)


def _parent(key: str) -> str:
    return key.rpartition("/")[0]
