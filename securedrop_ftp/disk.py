"""Free space: how much a disk has, what is kept of it, which errors say that there is none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

#: The reserve is never more than this share of a disk, so that a small one is of use too.
_SHARE: Final = 6
#: SQLite says "disk I/O error" where its shared memory has no room to grow.
_NOTHING: Final = 64 * 1024


def free_space(path: Path) -> tuple[int, int]:
    """Bytes that an ordinary user may still write on the disk of ``path``, and its size. A path
    that is not there yet stands for the nearest directory above it that is. Size 0: the file
    system does not say (tmpfs without a limit, ramfs, several network ones). Raises OSError."""
    while True:
        try:
            found = os.statvfs(path)
        except FileNotFoundError:
            if path == path.parent:
                raise
            path = path.parent
        else:
            return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def reserve_of(size: int, reserve: int) -> int:
    """What is kept free of a disk of ``size`` bytes where ``reserve`` is the setting."""
    return min(reserve, size // _SHARE)


def lack(path: Path, more: int, reserve: int) -> str:
    """Why ``more`` bytes should not be written to the disk of ``path``; ``""`` where they may."""
    try:
        free, size = free_space(path)
    except OSError:
        return ""  # whoever writes there will say
    if not size:
        return ""
    kept = reserve_of(size, reserve)
    if free - more >= kept:
        return ""
    return f"{path} has {free} bytes free, of which {kept} are kept; {more} more were to come"


def is_full(exc: BaseException | None) -> bool:
    """Whether a full disk (or a used-up quota) is behind ``exc``, however it was wrapped."""
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "database or disk is full" in str(exc):
            return True
        exc = exc.__cause__
    return False


def is_exhausted(path: Path) -> bool:
    """Whether the disk of ``path`` has next to nothing left."""
    try:
        free, size = free_space(path)
        return bool(size) and free < _NOTHING
    except OSError:
        return False
