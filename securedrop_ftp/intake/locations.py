"""Whether a storage is still where the ledger's files are.

A folder whose disk is not mounted looks like an empty folder: files would go to the root disk, and
vanish under the mount when it is back. So a location is marked (``.securedrop/location``) and the
mark is remembered in the database. A location without the mark is marked anew only where nothing
can be lost: the ledger knows no file that was stored there, or the files that it knows are there,
or the location was used before there were marks and is not empty. Otherwise nothing is read from
it or written to it, until the right one is back or ``doctor --adopt-storage`` says that this is it.

Buckets and containers do not vanish so; where an alias leads to another one than before, that is
said in the log and by ``doctor``.
"""

from __future__ import annotations

import os
import threading
import uuid
from contextlib import suppress
from typing import Final

from django.db import DatabaseError, InterfaceError

from securedrop_ftp.db import write_transaction
from securedrop_ftp.events import By, Event
from securedrop_ftp.exceptions import (
    BadName,
    LedgerUnavailable,
    SecureDropError,
    StorageLost,
    StorageRefused,
    UnsupportedByBackend,
)
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import StorageLocation, Upload, UploadState
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.protocol import Backend, Located
from securedrop_ftp.storage.registry import backend_for

logger = get_logger(__name__)

#: The newest files of the ledger that are looked for in a location without a mark.
SAMPLE: Final = 50

_located: dict[str, Backend] = {}
_marks: dict[str, str] = {}  # what each of them was told to expect
_lock = threading.Lock()


def located_backend(alias: str) -> Backend:
    """The backend of ``STORAGES[alias]``, once its location is known to be the right one; from
    then on the backend itself sees when that vanishes. Blocks at its first use in a process.

    Raises:
        StorageLost: the location is not the one of the ledger's files.
        LedgerUnavailable: the database did not say.
    """
    backend = backend_for(alias)
    if _located.get(alias) is not backend:
        with _lock:
            if _located.get(alias) is not backend:
                try:
                    _locate(alias, backend)
                except (DatabaseError, InterfaceError) as exc:
                    raise LedgerUnavailable("the database does not say where files are") from exc
                _located[alias] = backend
    return backend


def seen_backend(alias: str) -> Backend | None:
    """What :func:`located_backend` would give without a look at storage or database; ``None``:
    it would have to look. Does not block."""
    found = _located.get(alias)
    return found if found is not None and found is backend_for(alias) else None


def heed_adoptions() -> None:
    """Serve from the locations that an operator has adopted since they were first used here, at
    whichever node (``doctor --adopt-storage``). Blocks; for a worker, now and then."""
    for alias, backend in list(_located.items()):
        if not isinstance(backend, Located):
            continue
        with suppress(SecureDropError, DatabaseError, InterfaceError):
            found = backend.mark()
            if not found or found == _marks.get(alias):
                continue
            row = StorageLocation.objects.filter(alias=alias).first()
            if row is not None and row.mark == found:
                _expect(alias, backend, found)
                logger.info("storage.adopted_here", storage=alias, location=backend.place)


def storage_problem(alias: str) -> str:
    """What stands against using that storage now, as a sentence for the operator; ``""``:
    nothing. Looks at the location and at the database, and writes no file but the mark."""
    try:
        backend = located_backend(alias)
        if isinstance(backend, Located):
            row, found = StorageLocation.objects.filter(alias=alias).first(), backend.mark()
            if row is not None and found != row.mark:
                raise _lost(alias, backend, found)
    except (DatabaseError, InterfaceError) as exc:
        return f"Storage “{alias}”: the database does not say where its files are: {exc}"
    except SecureDropError as exc:
        return f"Storage “{alias}” cannot be used: {exc}"
    return ""


def moved_place(alias: str) -> str:
    """For an alias that leads to another bucket or container than when it was first used, while
    the ledger knows files there: where it led; else ``""``."""
    row = StorageLocation.objects.filter(alias=alias).first()
    place = _place(backend_for(alias))
    if row is None or row.mark or not place or row.place == place or not _knows_files(alias):
        return ""
    return row.place


def adopt(alias: str, by: By) -> str:
    """An operator says that the location is the right one as it is: it is marked, and remembered.
    Returns its place.

    Raises:
        SecureDropError: it cannot be reached or written.
    """
    backend = backend_for(alias)
    mark = ""
    if isinstance(backend, Located):
        mark = backend.mark() or backend.put_mark(uuid.uuid4().hex)
        _expect(alias, backend, mark)
    place = _place(backend)
    with write_transaction():
        _remember(alias, mark, place)
        emit(Event("storage.adopted", path=place, reason=f"“{alias}” adopted by {by}"))
    return place


# --- one location --------------------------------------------------------------------


def _locate(alias: str, backend: Backend) -> None:
    row = StorageLocation.objects.filter(alias=alias).first()
    if not isinstance(backend, Located):
        _note_place(alias, backend, row)
        return
    known, found = row.mark if row else "", backend.mark()
    if not found and _may_be_marked(alias, backend, known):
        try:
            found = backend.put_mark(known or uuid.uuid4().hex)
        except (StorageRefused, UnsupportedByBackend, BadName) as exc:
            logger.warning("storage.not_marked", location=backend.place, reason=str(exc))
            return  # only read from, perhaps; what cannot be marked cannot be watched
        logger.info("storage.marked", storage=alias, location=backend.place)
    if not found or (known and found != known and _knows_files(alias)):
        raise _lost(alias, backend, found)
    _expect(alias, backend, found)
    if known != found:
        with write_transaction():
            _remember(alias, found, backend.place)


def _expect(alias: str, backend: Located, mark: str) -> None:
    backend.expect_mark(mark)
    _marks[alias] = mark


def _may_be_marked(alias: str, backend: Located, known: str) -> bool:
    if not _knows_files(alias):
        return True
    if not known and not backend.is_blank():
        return True  # of a service from before there were marks
    return _holds_known_files(alias)


def _knows_files(alias: str) -> bool:
    return Upload.objects.filter(storage=alias, state=UploadState.COMMITTED).exists()


def _holds_known_files(alias: str) -> bool:
    """Restored from a backup, say, without what is ours."""
    backend = backend_for(alias)
    rows = Upload.objects.filter(storage=alias, state=UploadState.COMMITTED).order_by("-started")
    for key, size in rows.values_list("key", "size")[:SAMPLE]:
        with suppress(SecureDropError):
            found = backend.stat(key)
            if not found.is_dir and found.size == size:
                return True
    return False


def _lost(alias: str, backend: Located, found: str) -> StorageLost:
    what = "is another location than the one" if found else "does not look like the folder"
    return StorageLost(
        f"{backend.place} {what} that the ledger's files were stored in. Is its disk mounted? If "
        f"this is the right place all the same, run: doctor --adopt-storage {alias}"
    )


def _place(backend: Backend) -> str:
    return str(getattr(backend, "place", ""))


def _note_place(alias: str, backend: Backend, row: StorageLocation | None) -> None:
    place = _place(backend)
    if place and row is None:
        with write_transaction():
            _remember(alias, "", place)
    elif place and moved_place(alias):
        logger.warning("storage.moved", storage=alias, place=place, before=row and row.place)


def _remember(alias: str, mark: str, place: str) -> None:
    StorageLocation.objects.update_or_create(
        alias=alias, defaults={"mark": mark, "place": place[:1024]}
    )


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _located.clear()
    _marks.clear()


os.register_at_fork(after_in_child=_after_fork)
