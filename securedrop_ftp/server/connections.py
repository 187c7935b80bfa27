"""Connections of all workers, counted in shared memory: caps hold across processes.

One slot a connection: its address (16 bytes, IPv4 mapped) and its partner's id after login. The
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

_IP: Final = 16
_ID: Final = 4
_FREE: Final = bytes(_IP)


def packed(address: str) -> bytes:
    """16 bytes of an address; IPv4 as its mapped form."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + ip.packed
    return ip.packed


class ConnectionTable:
    """Made by the supervisor before the fork; each worker uses its own index."""

    def __init__(self, workers: int, slots: int) -> None:
        self._workers, self._slots = workers, slots
        self._total = workers * slots
        size = self._total * (_IP + _ID)
        self._fd = os.memfd_create("securedrop-connections", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._ids = self._total * _IP  # where the partner ids begin

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
            addresses = self._map[: self._ids]
            if self._total - _count(addresses, _FREE, _IP) >= total:
                return "total"
            if _count(addresses, ip, _IP) >= per_ip:
                return "address"
            start = worker * self._slots * _IP
            own = addresses[start : start + self._slots * _IP]
            slot = _find(own, _FREE, _IP)
            if slot is None:
                return "total"
            slot += worker * self._slots
            self._map[slot * _IP : (slot + 1) * _IP] = ip
            return slot

    def assign(self, slot: int, partner_id: int, limit: int) -> bool:
        """Count the connection for a partner; ``False`` if that would pass ``limit``."""
        value = partner_id.to_bytes(_ID, "little")
        with self._locked():
            if _count(self._map[self._ids :], value, _ID) >= limit:
                return False
            at = self._ids + slot * _ID
            self._map[at : at + _ID] = value
            return True

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
        return slots - _count(self._map[first * _IP : (first + slots) * _IP], _FREE, _IP)

    def _clear(self, slot: int, slots: int) -> None:
        self._map[slot * _IP : (slot + slots) * _IP] = bytes(slots * _IP)
        at = self._ids + slot * _ID
        self._map[at : at + slots * _ID] = bytes(slots * _ID)


def _positions(data: bytes, item: bytes, size: int) -> Iterator[int]:
    at = data.find(item)
    while at >= 0:
        if at % size:
            at = data.find(item, at + 1)
            continue
        yield at // size
        at = data.find(item, at + size)


def _count(data: bytes, item: bytes, size: int) -> int:
    if not any(item):
        # Runs of zeros are everywhere, so that searching them byte by byte would be slow.
        return sum(data[i : i + size] == item for i in range(0, len(data), size))
    return sum(1 for _ in _positions(data, item, size))


def _find(data: bytes, item: bytes, size: int) -> int | None:
    return next((i // size for i in range(0, len(data), size) if data[i : i + size] == item), None)
