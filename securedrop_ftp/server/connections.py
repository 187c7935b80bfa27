"""Connections of all workers, counted in shared memory: caps hold across processes.

One slot a connection: whether it is taken (a byte), its address (16 bytes) and its
partner's id after login (4 bytes); each in an array of its own, so that counting is one pass. The
lock is a POSIX record lock, which the kernel releases when a worker dies; the supervisor then
clears that worker's slots.
"""

from __future__ import annotations

import fcntl
import ipaddress
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from securedrop_ftp.access import network

_IP: Final = 16
_ID: Final = 4
_FREE, _TAKEN = b"\0", b"\1"


def packed(address: str) -> bytes:
    """16 bytes, never all zeros, of what caps and rates count by: an IPv4 address in its mapped
    form, or the /64 of an IPv6 one, as guesses are counted (one customer has 2**64 addresses)."""
    ip = network.normalise(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + ip.packed
    return ip.packed[:8] + network.IPV6_SOURCE_PREFIX.to_bytes(8, "big")


class ConnectionTable:
    """Made by the supervisor before the fork; each worker uses its own index."""

    def __init__(self, workers: int, slots: int) -> None:
        self._workers, self._slots = workers, slots
        self._total = workers * slots
        size = self._total * (1 + _IP + _ID)
        self._fd = os.memfd_create("securedrop-connections", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        # Where the addresses and the partner ids begin; the flags come first.
        self._ips, self._ids = self._total, self._total * (1 + _IP)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def open(self, worker: int, address: str, *, per_ip: int, total: int) -> int | str:
        """A slot for a new connection, or ``"address"`` or ``"total"``: the cap that refuses."""
        ip = packed(address)
        with self._locked():
            if self._map[: self._total].count(_TAKEN) >= total:
                return "total"
            if self._held(self._ips, ip) >= per_ip:
                return "address"
            first = worker * self._slots
            slot = self._map.find(_FREE, first, first + self._slots)
            if slot < 0:
                return "total"
            self._map[slot : slot + 1] = _TAKEN
            self._map[self._ips + slot * _IP : self._ips + (slot + 1) * _IP] = ip
            return slot

    def assign(self, slot: int, partner_id: int, limit: int) -> bool:
        """Count the connection for a partner; ``False`` if that would pass ``limit``."""
        value = partner_id.to_bytes(_ID, "little")
        with self._locked():
            if self._held(self._ids, value) >= limit:
                return False
            at = self._ids + slot * _ID
            self._map[at : at + _ID] = value
            return True

    def is_beyond(self, slot: int, partner_id: int, limit: int) -> bool:
        """Whether ``limit`` connections of the partner have slots before this one's: after the
        limit was lowered, those beyond it end, and every worker sees the same ones."""
        value = partner_id.to_bytes(_ID, "little")
        with self._locked():
            return _count(self._map[self._ids : self._ids + slot * _ID], value) >= limit

    def release(self, slot: int) -> None:
        """The connection ended."""
        with self._locked():
            self._clear(slot, 1)

    def clear_worker(self, worker: int) -> None:
        """The worker died: its connections did too."""
        with self._locked():
            self._clear(worker * self._slots, self._slots)

    def count(self, worker: int | None = None) -> int:
        """Open connections of a worker, or of all."""
        first, slots = (0, self._total) if worker is None else (worker * self._slots, self._slots)
        return self._map[first : first + slots].count(_TAKEN)

    def is_busier(self, worker: int) -> bool:
        """Whether another worker has fewer connections than this one. A look, without the lock."""
        if self._workers == 1:
            return False
        mine = self.count(worker)
        return any(self.count(other) < mine for other in range(self._workers) if other != worker)

    def _held(self, start: int, item: bytes) -> int:
        """How many connections have ``item`` in the array at ``start``. Slots are given out from
        the front: behind a worker's last taken one there is nothing to look at (all of them cost
        the loop 0.3 ms for a login, and more with more slots)."""
        size, held = len(item), 0
        for first in range(0, self._total, self._slots):
            last = self._map.rfind(_TAKEN, first, first + self._slots)
            if last >= 0:
                held += _count(self._map[start + first * size : start + (last + 1) * size], item)
        return held

    def _clear(self, slot: int, slots: int) -> None:
        for start, size in ((0, 1), (self._ips, _IP), (self._ids, _ID)):
            at = start + slot * size
            self._map[at : at + slots * size] = bytes(slots * size)


def _count(data: bytes, item: bytes) -> int:
    """How often ``item`` (not all zeros) stands in an array of items of its size."""
    size, found = len(item), 0
    at = data.find(item)
    while at >= 0:
        aligned = at % size == 0
        found += aligned
        at = data.find(item, at + (size if aligned else 1))
    return found
