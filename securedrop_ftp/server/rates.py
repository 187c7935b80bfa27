"""Logins, or connections, a minute from one address, counted across workers in shared memory.

What has not proved to be good counts. A place is taken before the check and given back when the
check has succeeded, so that good logins are bounded by the caps on sessions alone. Where all that
is left is taken by logins whose check goes on still, the next one is asked to wait.

A fixed table of addresses, found by their hash and a short probe. Where all places of a probe are
taken by other addresses of this minute, the oldest count wins and the newcomer shares it: the table
never refuses an address that is below its limit because of its size alone, it only forgets sooner.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Final

from securedrop_ftp.ftps.runtime import Refused
from securedrop_ftp.process_lock import ProcessLock
from securedrop_ftp.server.connections import packed
from securedrop_ftp.server.handover import Inheritance

_ENTRY: Final = struct.Struct("<16sIII")  # address, minute, counted, of these still open
_PLACES: Final = 8192
_PROBE: Final = 8
#: Behind the table: what places depend on, so that nobody can choose addresses that share one.
_KEY: Final = 16


@dataclass(frozen=True, slots=True)
class Place:
    """One that was counted, in its minute."""

    address: str
    minute: int


def _is_full(count: int, limit: int) -> bool:
    return count >= limit


class AddressRates:
    """Made by the supervisor before the fork. What was counted holds on in the next generation,
    which finds it in its ``inheritance`` under ``name``."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        name: str = "rates",
        inheritance: Inheritance | None = None,
    ) -> None:
        size = _PLACES * _ENTRY.size + _KEY
        self._fd = (inheritance or Inheritance()).memory(f"{name}-1", size)
        self._map = mmap.mmap(self._fd, size)
        self._clock = clock
        self._lock = ProcessLock(self._fd)
        with self._lock.held():
            if not any(self._map[-_KEY:]):
                self._map[-_KEY:] = os.urandom(_KEY)
        self._key = self._map[-_KEY:]

    def allow(self, address: str, limit: int) -> bool:
        """Count one of ``address``; ``False`` past ``limit`` in this minute (0: no limit)."""
        return isinstance(self._count(address, limit, still_open=False), Place)

    def take(self, address: str, limit: int) -> Place | Refused:
        """Count one whose check begins now (``limit`` 0: no limit). :meth:`failed` or
        :meth:`give_back` when it has ended."""
        return self._count(address, limit, still_open=True)

    def _count(self, address: str, limit: int, *, still_open: bool) -> Place | Refused:
        ip, minute = packed(address), int(self._clock() // 60)
        if not limit:
            return Place(address, minute)
        with self._lock.held():
            at, count, checks = self._find(ip, minute)
            if _is_full(count, limit):
                return Refused.WAIT if count - checks < limit else Refused.NOW
            _ENTRY.pack_into(self._map, at, ip, minute, count + 1, checks + still_open)
        return Place(address, minute)

    def failed(self, place: Place) -> None:
        """Its check has ended badly: it stays counted."""
        self._end(place, 0)

    def give_back(self, place: Place) -> None:
        """Its check has ended well: it counts no more."""
        self._end(place, 1)

    def _end(self, place: Place, counted: int) -> None:
        ip = packed(place.address)
        with self._lock.held():
            at, count, checks = self._find(ip, place.minute)
            if count and int(self._clock() // 60) == place.minute:
                _ENTRY.pack_into(
                    self._map, at, ip, place.minute, count - counted, max(checks - 1, 0)
                )

    def forgive(self, address: str) -> None:
        """One of ``address`` that :meth:`allow` has counted turned out to be good."""
        self._end(Place(address, int(self._clock() // 60)), 1)

    def _find(self, ip: bytes, minute: int) -> tuple[int, int, int]:
        """(offset, count so far, checks that are open) of the address's place, or of a free one."""
        start = int.from_bytes(blake2s(ip, digest_size=4, key=self._key).digest()) % _PLACES
        free = -1
        for step in range(_PROBE):
            at = (start + step) % _PLACES * _ENTRY.size
            found, when, count, checks = _ENTRY.unpack_from(self._map, at)
            if when != minute:
                free = at if free < 0 else free
            elif found == ip:
                return at, count, checks
        return (free, 0, 0) if free >= 0 else (start * _ENTRY.size, 0, 0)
