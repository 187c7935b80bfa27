"""Logins, or connections, a minute from one address, counted across workers in shared memory.

A fixed table of addresses, found by their hash and a short probe. Where all places of a probe are
taken by other addresses of this minute, the oldest count wins and the newcomer shares it: the table
never refuses an address that is below its limit because of its size alone, it only forgets sooner.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable
from typing import Final

from securedrop_ftp.server.connections import packed

_ENTRY: Final = struct.Struct("<16sII")  # address, minute, count
_PLACES: Final = 8192
_PROBE: Final = 8


class AddressRates:
    """Made by the supervisor before the fork."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        size = _PLACES * _ENTRY.size
        self._fd = os.memfd_create("securedrop-rates", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._clock = clock

    def allow(self, address: str, limit: int) -> bool:
        """Count one of ``address``; ``False`` past ``limit`` in this minute (0: no limit)."""
        if not limit:
            return True
        ip, minute = packed(address), int(self._clock() // 60)
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            at, count = self._find(ip, minute)
            if count >= limit:
                return False
            _ENTRY.pack_into(self._map, at, ip, minute, count + 1)
            return True
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _find(self, ip: bytes, minute: int) -> tuple[int, int]:
        """(offset, count so far) of the address's place, or of a free one."""
        start = hash(ip) % _PLACES
        free = -1
        for step in range(_PROBE):
            at = (start + step) % _PLACES * _ENTRY.size
            found, when, count = _ENTRY.unpack_from(self._map, at)
            if when != minute:
                free = at if free < 0 else free
            elif found == ip:
                return at, count
        return (free, 0) if free >= 0 else (start * _ENTRY.size, 0)
