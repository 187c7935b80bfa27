"""Part buffers, pooled, inside one memory budget per worker with a fair share per partner.

A buffer begins at 64 KiB and moves to 512 KiB and then to the whole part as bytes come, so that
a trickling upload holds little. What a partner may hold follows the dynamic-threshold rule of
shared switch buffers (Choudhury and Hahne, 1998): no more than what is still free. One partner
alone gets half of the memory, two get a third each, and there is always room for the next, so
a hundred trickling uploads of one partner cannot starve the others.

What is given back and not kept for the next is given back to the kernel at once (``MADV_DONTNEED``
on memory that is mapped for it), whoever still refers to it: a request of an SDK, or an exception's
traceback, in a reference cycle that the garbage collector has not come to. With buffers that lived
as long as those references, ``limit`` was no bound (936 MiB where 398 were in use, seen).

Whoever gets nothing waits in line; when memory comes free it is reserved for the first that may
have it, and then that one is told. So no wake-up is lost and nobody spins.
"""

from __future__ import annotations

import mmap
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

KIB: Final = 1024

#: Sizes that a buffer passes through on its way to the part's size. The copies of growing cost
#: 0.6 MB per 8 MiB part; doubling all the way would cost 8 MB.
STAGES: Final = (64 * KIB, 512 * KIB, 8192 * KIB)


def stage_after(size: int, part_size: int) -> int:
    """The buffer size that follows ``size`` (0 at first) for a part of ``part_size`` bytes."""
    for stage in STAGES:
        if size < stage < part_size:
            return stage
    return part_size


#: A buffer's memory: pages of its own, that are the kernel's again as soon as we say so.
Memory = mmap.mmap


def take_memory(size: int) -> Memory:
    """Map ``size`` zero bytes."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def drop_memory(memory: Memory) -> None:
    """Give the pages back. What still refers to them sees zeros, and holds addresses only."""
    memory.madvise(mmap.MADV_DONTNEED)
    with suppress(BufferError):  # a view of it is left: the addresses go with that
        memory.close()


class Claim:
    """One stream's wish for a buffer: granted at once, or later with a call to ``on_grant``."""

    __slots__ = ("buffer", "cancelled", "last", "old", "on_grant", "partner", "size")

    def __init__(
        self, partner: str, size: int, *, old: int, last: bool, on_grant: Callable[[], None]
    ) -> None:
        self.partner = partner
        self.size = size
        self.old = old  # size of the buffer that is given back right after
        self.last = last  # a whole part: filling it leads to memory coming free
        self.on_grant = on_grant
        self.buffer: Memory | None = None
        self.cancelled = False


class MemoryBudget:
    """``limit`` bytes for all uploads of one worker. Thread-safe; nothing here blocks."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._held: dict[str, int] = defaultdict(int)
        self._whole: dict[str, int] = defaultdict(int)  # whole-part buffers per partner
        self._free: dict[int, list[Memory]] = defaultdict(list)
        self._pooled = 0
        self._waiting: deque[Claim] = deque()
        self._lock = threading.Lock()

    def held(self, partner: str) -> int:
        """Bytes that ``partner`` holds now."""
        with self._lock:
            return self._held.get(partner, 0)

    def claim(self, claim: Claim) -> Memory | None:
        """The buffer, or ``None``: ``claim.on_grant`` is called (from any thread) when
        ``claim.buffer`` is there."""
        with self._lock:
            if self._allowed(claim):
                return self._grant(claim)
            self._waiting.append(claim)
            return None

    def withdraw(self, claim: Claim) -> None:
        """Forget a waiting claim; what was granted meanwhile goes back."""
        with self._lock:
            claim.cancelled = True
            buffer, claim.buffer = claim.buffer, None
        if buffer is not None:
            self.give_back(claim.partner, buffer, last=claim.last)

    def give_back(self, partner: str, buffer: Memory, *, last: bool) -> None:
        """Return a buffer; those who wait and now may have memory are told."""
        granted: list[Claim] = []
        with self._lock:
            size = len(buffer)
            self.used -= size
            self._drop(self._held, partner, size)
            if last:
                self._drop(self._whole, partner, 1)
            if self._pooled + size <= self.limit // 4:
                self._free[size].append(buffer)
                self._pooled += size
            else:
                drop_memory(buffer)
            if self._waiting:
                granted = self._serve()
        for claim in granted:
            claim.on_grant()

    def _serve(self) -> list[Claim]:
        granted: list[Claim] = []
        for _ in range(len(self._waiting)):
            claim = self._waiting.popleft()
            if claim.cancelled:
                continue
            if self._allowed(claim):
                claim.buffer = self._grant(claim)
                granted.append(claim)
            else:
                self._waiting.append(claim)
        return granted

    def _allowed(self, claim: Claim) -> bool:
        more = claim.size - claim.old
        free = self.limit - self.used - more
        if claim.last and not self._whole:
            return True  # else buffers that wait to grow could lock each other out for ever
        if free < 0:
            return False
        if self._held.get(claim.partner, 0) + more <= free:
            return True
        if claim.last:
            return claim.partner not in self._whole
        return claim.partner not in self._held

    def _grant(self, claim: Claim) -> Memory:
        self.used += claim.size
        self._held[claim.partner] += claim.size
        if claim.last:
            self._whole[claim.partner] += 1
        free = self._free.get(claim.size)
        if free:
            self._pooled -= claim.size
            return free.pop()
        self._trim(claim.size)
        return take_memory(claim.size)

    def _trim(self, more: int) -> None:
        """Let go of pooled buffers that would take the worker over its limit."""
        for size, buffers in self._free.items():
            while buffers and self.used + self._pooled > self.limit and size != more:
                drop_memory(buffers.pop())
                self._pooled -= size

    @staticmethod
    def _drop(counts: dict[str, int], partner: str, amount: int) -> None:
        counts[partner] -= amount
        if counts[partner] <= 0:
            del counts[partner]


class PartBuffer:
    """The part that is being received: a buffer, how far it is filled, and how it grows."""

    __slots__ = ("_budget", "_claim", "_data", "_partner", "_ready", "_view", "filled", "part_size")

    def __init__(
        self, budget: MemoryBudget, partner: str, part_size: int, ready: Callable[[], None]
    ) -> None:
        self._budget = budget
        self._partner = partner
        self._ready = ready
        self._data: Memory | None = None
        self._view: memoryview = memoryview(b"")
        self._claim: Claim | None = None
        self.part_size = part_size
        self.filled = 0

    @property
    def full(self) -> bool:
        """The part has all its bytes."""
        return self.filled == self.part_size

    @property
    def content(self) -> memoryview:
        """The bytes received, uncopied."""
        return self._view[: self.filled]

    def room(self) -> memoryview | None:
        """The writable rest; ``None`` while memory is not to be had (``ready`` is called)."""
        if self.filled < len(self._view):
            return self._view[self.filled :]
        return self._view[self.filled :] if self._grow() else None

    def _grow(self) -> bool:
        claim = self._claim
        if claim is None:
            size = stage_after(len(self._view), self.part_size)
            claim = Claim(
                self._partner,
                size,
                old=len(self._view),
                last=size == self.part_size,
                on_grant=self._ready,
            )
            data = self._budget.claim(claim)
            if data is None:
                self._claim = claim
                return False
        else:
            data = claim.buffer
            if data is None:
                return False
        self._claim = None
        claim.buffer = None
        old = self._data
        view = memoryview(data)
        view[: self.filled] = self._view[: self.filled]
        self._data, self._view = data, view
        if old is not None:
            self._budget.give_back(self._partner, old, last=False)
        return True

    def release(self) -> None:
        """Give the memory back. Doing it again is not an error."""
        claim, self._claim = self._claim, None
        if claim is not None:
            self._budget.withdraw(claim)
        data, self._data = self._data, None
        self._view = memoryview(b"")
        if data is not None:
            self._budget.give_back(self._partner, data, last=len(data) == self.part_size)
