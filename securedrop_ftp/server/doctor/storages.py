"""Each storage in use: put, list, read, delete, through the backend that uploads use."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from securedrop_ftp.exceptions import LedgerUnavailable, SecureDropError, StorageLost
from securedrop_ftp.intake.locations import located_backend, moved_place
from securedrop_ftp.intake.space import disk_problem
from securedrop_ftp.server.doctor.clock import judged
from securedrop_ftp.server.doctor.finding import Finding, Level, ok, problem, warning
from securedrop_ftp.storage.protocol import RESERVED, Backend, Located, ObjectSpec
from securedrop_ftp.storage.registry import backend_for

CHECK: Final = "storage"

#: Object storage tells times in whole seconds.
_RESOLUTION: Final = 2.0

_MEND: Final = (
    "See that the credentials may put, list, get and delete there, and start and abort multipart "
    "uploads (docs/howto/storage.md)."
)


class _Wrong(SecureDropError):
    """Storage gave back something else than it took."""


def location(alias: str) -> Iterator[Finding]:
    """Whether it still is where the ledger's files are. What else may be wrong with it is
    :func:`storage`'s to say."""
    try:
        located_backend(alias)
    except (StorageLost, LedgerUnavailable) as exc:
        yield problem(CHECK, f"“{alias}” cannot be used: {exc}", "See docs/howto/storage.md.")
        return
    except SecureDropError:
        return
    full = disk_problem(alias)
    if full:
        yield problem(CHECK, full, "Make room, or lower SECUREDROP_DISK_RESERVE.")
    before = moved_place(alias)
    if before:
        yield warning(
            CHECK,
            f"“{alias}” led to {before} when the ledger's files were stored.",
            f"If they are where it leads now: doctor --adopt-storage {alias}",
        )


def storage(alias: str) -> Iterator[Finding]:
    """One alias of ``STORAGES``; leaves nothing behind."""
    began = time.monotonic()
    step = ["reaching it"]
    mend = _MEND
    try:
        backend = backend_for(alias)
        if isinstance(backend, Located):
            mend = f"See that {backend.place} is a folder where the service's user may write."
        backend.check()
        clock = _round_trip(backend, step)
    except Exception as exc:
        text = (str(exc) or type(exc).__name__).rstrip(".")
        yield problem(CHECK, f"“{alias}” failed at {step[0]}: {text}.", mend)
        return
    spent = (time.monotonic() - began) * 1000
    yield ok(CHECK, f"“{alias}” ({backend.name}) puts, lists, reads and deletes, {spent:.0f} ms.")
    if clock is not None and clock.level is not Level.OK:
        yield clock


def _round_trip(backend: Backend, step: list[str]) -> Finding | None:
    """Raises where a step fails; returns what the object's time says of storage's clock."""
    directory = f"{RESERVED}doctor/{uuid.uuid4().hex}"
    key, data = f"{directory}/probe", os.urandom(4096)
    digest = hashlib.sha256(data).hexdigest()
    step[0] = "put"
    before = datetime.now(UTC)
    backend.put_object(
        ObjectSpec(key, uuid.uuid4().hex), memoryview(data), sha256=digest, replace=True
    )
    after = datetime.now(UTC)
    try:
        step[0] = "list"
        names = {entry.key for page in backend.scandir(directory) for entry in page}
        if names != {key}:
            raise _Wrong("The object that was just put is not in the list.")
        step[0] = "read"
        entry = backend.stat(key)
        if backend.read(entry, 0, len(data)) != data:
            raise _Wrong("Other bytes came back than were put.")
        step[0] = "multipart"
        backend.abort(backend.begin(ObjectSpec(f"{directory}/parts", uuid.uuid4().hex)))
        step[0] = "delete"
        backend.delete(key)
    finally:
        with suppress(SecureDropError):
            backend.delete(key)
        for name in (directory, f"{RESERVED}doctor"):
            with suppress(SecureDropError):  # object storage has no directories to remove
                backend.rmdir(name)
    if entry.modified is None:
        return None
    ahead = (entry.modified - before).total_seconds()
    doubt = (after - before).total_seconds() + _RESOLUTION
    return judged("the storage", ahead, doubt)
