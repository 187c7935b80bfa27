"""A reserve beside SQLite's database: a file that is deleted when the disk is full.

A database that cannot write cannot write down either that an upload was given up, so nothing would
be removed, and nobody could log in, until a person made room. What the file gives back is enough
for some thousand rows. It is written again when there is room. PostgreSQL's disk is not looked at.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from django.db import connection

from securedrop_ftp.conf import MIB, get_conf
from securedrop_ftp.disk import free_space, is_exhausted, is_full, reserve_of
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: Twice what SQLite's log grows to before it is written back (1000 pages).
SIZE: Final = 8 * MIB
_SHARE: Final = 8  # never more of a disk than one part of so many
#: With less left than this it is let go before anything fails.
_LOW: Final = 1 * MIB

#: Of two threads at once the second would truncate what the first has just put in place, and with
#: the disk filling up meanwhile there would be an empty ballast.
_tending: Final = threading.Lock()


def _path() -> Path | None:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or "memory" in name:
        return None
    return Path(f"{name}.ballast")


def tend() -> None:
    """Delete the file where the disk is almost full, write it where there is room. Call it every
    few seconds; it never fails, and does nothing while another thread is at it."""
    path = _path()
    if path is None or not _tending.acquire(blocking=False):
        return
    try:
        free, size = free_space(path)
        held = path.exists()
        weight = min(SIZE, size // _SHARE)
        if held and free < min(_LOW, weight // 4):
            drop()
        elif not held and free - weight >= reserve_of(size, get_conf().disk_reserve):
            _load(path, weight)
    except OSError as exc:
        logger.warning("ballast.failed", reason=str(exc))
    finally:
        _tending.release()


def drop() -> bool:
    """Delete the file; whether there was one."""
    path = _path()
    if path is None:
        return False
    try:
        path.unlink()
    except OSError:
        return False
    logger.error("disk.full", ballast=str(path))
    return True


def drop_for(exc: BaseException) -> bool:
    """Delete the file if ``exc`` says that the disk is full; whether another try may go better."""
    path = _path()
    return path is not None and (is_full(exc) or is_exhausted(path)) and drop()


def _load(path: Path, weight: int) -> None:
    """Random bytes, so that no file system packs them into nothing."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for _ in range(0, weight, MIB):
                os.write(fd, os.urandom(MIB))
        finally:
            os.close(fd)
        unfinished.rename(path)
    finally:
        with suppress(OSError):
            unfinished.unlink()
