"""Connections of all workers, counted in shared memory: caps hold across processes.

One slot a connection: its state (a byte), its address (16 bytes), its partner's id after login (4
bytes) and when it was opened (8 bytes); each in an array of its own, so that counting is one pass.
The kernel releases the lock when a worker dies; the supervisor then clears that worker's slots.

Generations of one service share the table while they overlap: each has a *bank* of slots for its
workers, and caps count in all banks.

Strangers give way. A connection that has not logged in holds its slot only while nobody needs it:
where a cap is reached, the one that was opened first is told to leave, whatever worker has it, and
the newcomer takes its place. Connections that have logged in are never told to.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
import time
from array import array
from collections.abc import Callable
from itertools import compress
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.process_lock import ProcessLock
from securedrop_ftp.server.handover import Inheritance

_IP: Final = 16
_ID: Final = 4
_TIME: Final = 8
_FREE, _STRANGER, _PROVED, _LEAVING = range(4)
#: For ``bytes.translate``: what is no stranger's becomes zero.
_STRANGERS_ONLY: Final = bytes(n if n == _STRANGER else 0 for n in range(256))

#: Seconds for which a stranger's connection does not give way to another one of its own address: a
#: client that opens many at once would end its own logins.
SETTLED: Final = 10.0


def strangers_share(total: int) -> int:
    """How many of ``total`` connections may be strangers': the rest is for those who log in."""
    return total - total // 4


def packed(address: str) -> bytes:
    """16 bytes, never all zeros, of what caps and rates count by: an IPv4 address in its mapped
    form, or the /64 of an IPv6 one, as guesses are counted (one customer has 2**64 addresses)."""
    ip = network.normalise(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + ip.packed
    return ip.packed[:8] + network.IPV6_SOURCE_PREFIX.to_bytes(8, "big")


class ConnectionTable:
    """Made by the supervisor before the fork; each worker uses its own index.

    A ``connection_id`` names one connection for good: a late word of one that is gone changes
    nothing of the next in its slot.

    Args:
        workers, slots: worker processes of a generation, and slots of each.
        banks: generations that may have a bank.
        bank: this one's. What stands in it from an earlier generation is forgotten.
        inheritance: where the memory comes from, and is left for the next generation.
    """

    def __init__(
        self,
        workers: int,
        slots: int,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        banks: int = 1,
        bank: int = 0,
        inheritance: Inheritance | None = None,
    ) -> None:
        self._workers, self._slots = workers, slots
        self._clock = clock
        self._bank = workers * slots  # slots of one
        self._total = banks * self._bank
        self._first = bank * self._bank  # of this generation's slots
        size = self._total * (1 + _IP + _ID + _TIME) + banks
        layout = f"connections-1-{banks}x{workers}x{slots}"
        self._fd = (inheritance or Inheritance()).memory(layout, size)
        self._map = mmap.mmap(self._fd, size)
        # Where the other arrays begin; the states come first.
        self._ips, self._ids = self._total, self._total * (1 + _IP)
        self._opened = self._total * (1 + _IP + _ID)
        # Behind them a byte for each bank: whether a generation has it.
        self._taken = self._opened + self._total * _TIME
        self._lock = ProcessLock(self._fd)
        # Through these a worker hears that one of its connections is to leave.
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        self._bells = [os.eventfd(0, flags) for _ in range(workers)]
        self.clear_bank(bank)
        self._map[self._taken + bank] = 1

    # --- a connection's life ---------------------------------------------------------

    def open(self, worker: int, address: str, *, per_ip: int, total: int) -> int | str:
        """The id of a new connection, or ``"address"`` or ``"total"``: the cap that refuses."""
        ip = packed(address)
        with self._lock.held():
            if self._held(self._ips, ip) >= per_ip and not self._make_room_at(ip):
                return "address"
            strangers = self._count(_STRANGER)
            full = strangers + self._count(_PROVED) >= total
            if (full or strangers >= strangers_share(total)) and not self._make_room():
                return "total"
            first = self._first_of(worker)
            slot = self._map.find(bytes((_FREE,)), first, first + self._slots)
            if slot < 0:
                return "total"
            now = self._clock()
            self._map[slot] = _STRANGER
            self._map[self._ips + slot * _IP : self._ips + (slot + 1) * _IP] = ip
            at = self._opened + slot * _TIME
            self._map[at : at + _TIME] = now.to_bytes(_TIME, "little")
            return now * self._total + slot

    def assign(self, connection_id: int, partner_id: int, limit: int) -> str:
        """Count the connection for a partner. ``""``, or why not: ``"sessions"`` where that would
        pass ``limit``, ``"gone"`` where the connection has ended or is to leave. From any thread.
        """
        value = partner_id.to_bytes(_ID, "little")
        with self._lock.held():
            slot = self._slot(connection_id)
            if slot < 0 or self._map[slot] == _LEAVING:
                return "gone"
            if self._held(self._ids, value) >= limit:
                return "sessions"
            at = self._ids + slot * _ID
            self._map[at : at + _ID] = value
            self._prove(slot)
            return ""

    def is_beyond(self, connection_id: int, partner_id: int, limit: int) -> bool:
        """Whether ``limit`` connections of the partner have slots before this one's: after the
        limit was lowered, those beyond it end, and every worker sees the same ones."""
        value = partner_id.to_bytes(_ID, "little")
        with self._lock.held():
            slot = self._slot(connection_id)
            return _count(self._map[self._ids : self._ids + max(slot, 0) * _ID], value) >= limit

    def release(self, connection_id: int) -> None:
        """Give the slot of a connection back that has ended."""
        with self._lock.held():
            slot = self._slot(connection_id)
            if slot >= 0:
                self._clear(slot, 1)

    def clear_worker(self, worker: int) -> None:
        """The worker died: its connections did too."""
        with self._lock.held():
            self._clear(self._first_of(worker), self._slots)

    def clear_bank(self, bank: int) -> None:
        """The generation that had it has ended."""
        with self._lock.held():
            self._clear(bank * self._bank, self._bank)
            self._map[self._taken + bank] = 0

    # --- giving way ------------------------------------------------------------------

    def bell(self, worker: int) -> int:
        """A descriptor that is readable when :meth:`leaving` has news for a worker. Another
        generation cannot ring it: look once a second all the same."""
        return self._bells[worker]

    def leaving(self, worker: int) -> list[int]:
        """The ids of a worker's connections that are to leave; silences its bell."""
        try:
            os.eventfd_read(self._bells[worker])
        except BlockingIOError:
            pass
        found: list[int] = []
        first = self._first_of(worker)
        if self._map.find(bytes((_LEAVING,)), first, first + self._slots) < 0:
            return found
        with self._lock.held():
            slot = self._map.find(bytes((_LEAVING,)), first, first + self._slots)
            while slot >= 0:
                found.append(self._time(slot) * self._total + slot)
                slot = self._map.find(bytes((_LEAVING,)), slot + 1, first + self._slots)
        return found

    def _prove(self, slot: int) -> None:
        """Who has logged in never makes room for strangers."""
        self._map[slot] = _PROVED

    def _make_room(self) -> bool:
        """Tell the stranger that came first to leave; whether there was one."""
        oldest: tuple[int, int] | None = None
        for first in self._firsts():
            count = self._used(first)
            states = self._map[first : first + count].translate(_STRANGERS_ONLY)
            at = self._opened + first * _TIME
            times = array("Q", self._map[at : at + count * _TIME])
            opened = min(compress(times, states), default=None)
            if opened is not None and (oldest is None or opened < oldest[0]):
                slot = next(n for n in range(count) if states[n] and times[n] == opened)
                oldest = opened, first + slot
        if oldest is not None:
            self._tell(oldest[1])
        return oldest is not None

    def _make_room_at(self, ip: bytes) -> bool:
        """The same among the connections of one address, where one has been silent for long."""
        latest = self._clock() - int(SETTLED * 1e9)
        slots = [
            (self._time(slot), slot)
            for first in self._firsts()
            for slot in range(first, first + self._used(first))
            if self._map[slot] == _STRANGER
            and self._map[self._ips + slot * _IP : self._ips + (slot + 1) * _IP] == ip
        ]
        opened, slot = min(slots, default=(latest + 1, -1))
        if opened > latest:
            return False
        self._tell(slot)
        return True

    def _tell(self, slot: int) -> None:
        # It counts no more, neither for its address nor in all; its worker frees the slot.
        self._map[slot] = _LEAVING
        self._map[self._ips + slot * _IP : self._ips + (slot + 1) * _IP] = bytes(_IP)
        worker = (slot - self._first) // self._slots
        if 0 <= worker < self._workers:
            os.eventfd_write(self._bells[worker], 1)

    # --- counting --------------------------------------------------------------------

    def count(self, worker: int | None = None) -> int:
        """Open connections of a worker, or of all generations."""
        first, slots = (0, self._total) if worker is None else (self._first_of(worker), self._slots)
        return slots - self._map[first : first + slots].count(_FREE)

    def is_busier(self, worker: int) -> bool:
        """Whether another worker has fewer connections than this one. A look, without the lock."""
        if self._workers == 1:
            return False
        mine = self.count(worker)
        return any(self.count(other) < mine for other in range(self._workers) if other != worker)

    def number_of(self, worker: int) -> int:
        """A number that no worker of another generation has at the same time."""
        return self._first_of(worker) // self._slots

    def numbers_of_bank(self, bank: int) -> range:
        """What :meth:`number_of` gives to the workers of the generation that has it."""
        return range(bank * self._workers, (bank + 1) * self._workers)

    def _first_of(self, worker: int) -> int:
        """The first slot of a worker of this generation."""
        return self._first + worker * self._slots

    def _count(self, state: int) -> int:
        bank = self._bank
        return sum(self._map[first : first + bank].count(state) for first in self._banks())

    def _banks(self) -> list[int]:
        """The first slots of the banks that generations have: mostly one, so that a login costs
        what it does without the others (0.55 ms more with 16 workers, seen)."""
        taken = self._map[self._taken : self._taken + self._total // self._bank]
        return [n * self._bank for n, is_taken in enumerate(taken) if is_taken]

    def _firsts(self) -> list[int]:
        """The first slots of all workers of these."""
        return [
            first for bank in self._banks() for first in range(bank, bank + self._bank, self._slots)
        ]

    def _used(self, first: int) -> int:
        """How many slots of the worker whose first slot is ``first`` are worth a look. They are
        given out from the front: behind the last taken one there is nothing."""
        held = self._map[first : first + self._slots].rstrip(b"\0")
        return len(held)

    def _held(self, start: int, item: bytes) -> int:
        """How many connections have ``item`` in the array at ``start`` (looking at all of it cost
        the loop 0.3 ms for a login, and more with more slots)."""
        size, held = len(item), 0
        for first in self._firsts():
            used = self._used(first)
            held += _count(self._map[start + first * size : start + (first + used) * size], item)
        return held

    def _time(self, slot: int) -> int:
        at = self._opened + slot * _TIME
        return int.from_bytes(self._map[at : at + _TIME], "little")

    def _slot(self, connection_id: int) -> int:
        """The slot of a connection, -1 where it is another connection's by now."""
        opened, slot = divmod(connection_id, self._total)
        return slot if self._map[slot] != _FREE and self._time(slot) == opened else -1

    def _clear(self, slot: int, slots: int) -> None:
        for start, size in ((0, 1), (self._ips, _IP), (self._ids, _ID), (self._opened, _TIME)):
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
