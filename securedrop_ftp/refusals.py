"""Refusals leave a row each, up to a bound; what comes beyond it is counted, and told in one row.

Who is refused can come back thousands of times a second (1 477 rows a second of one partner that
may only drop files, seen). A bucket for each partner, and one for each address without a login,
holds :data:`BURST` rows and is filled at ``refusal_rows_per_minute``, over all workers of a node.
What the trail does not take singly is counted by kind; the count becomes a row
(``refusals.counted``) within :data:`TELL_EVERY` seconds. All strangers together have a bucket too,
and at most :data:`ADDRESSES_TOLD` of them a row of their own.
"""

from __future__ import annotations

import atexit
import hashlib
import mmap
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from securedrop_ftp.conf import get_conf
from securedrop_ftp.db.threads import run_with_connections, timer
from securedrop_ftp.events import Event
from securedrop_ftp.log import get_logger
from securedrop_ftp.process_lock import ProcessLock
from securedrop_ftp.signals import emit

logger = get_logger(__name__)

#: Rows at once; a client that tries everything once is told singly.
BURST: Final = 40
#: How long refusals are counted before the count is a row, seconds.
TELL_EVERY: Final = 10.0
#: Strangers with a row of their own each time; the others share one.
ADDRESSES_TOLD: Final = 8
#: Rows at once, and a second, of all strangers of a node together.
STRANGERS_BURST: Final = 400
STRANGERS_PER_SECOND: Final = 20.0
#: Counted apart; beyond it addresses are counted together.
_REMEMBERED: Final = 1000
_STRANGERS: Final = "strangers"

_ENTRY: Final = struct.Struct("<16sd")  # whose, when its bucket is full again
_PLACES: Final = 8192
#: The name of what the memory holds: another layout has another name.
LAYOUT: Final = f"refusals-1-{_PLACES}"
_PROBE: Final = 8


class Buckets:
    """Token buckets in memory that processes share which are forked after it was made. Where too
    many have one, the fullest is forgotten first: nobody is refused a row for that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        size = _PLACES * _ENTRY.size
        self._fd = os.memfd_create("securedrop-refusals", os.MFD_CLOEXEC)
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._clock = clock
        self._lock = ProcessLock(self._fd)
        os.register_at_fork(after_in_child=self._forget_threads)

    def _forget_threads(self) -> None:
        self._lock.forget()

    @property
    def memory(self) -> int:
        """The descriptor of the memory, for other processes; its layout is :data:`LAYOUT`."""
        return self._fd

    def share(self, memory: int) -> None:
        """Use another process's buckets from now on. Before any thread uses these."""
        if memory == self._fd:
            return
        self._map.close()
        os.close(self._fd)
        self._fd = memory
        self._map = mmap.mmap(memory, _PLACES * _ENTRY.size)
        self._lock = ProcessLock(memory)

    def take(self, who: str, tokens: int, burst: int, per_second: float, *, force: bool) -> bool:
        """Take ``tokens`` from the bucket of ``who``; whether there were so many. With ``force``
        they are taken also where there are not."""
        name = hashlib.blake2s(who.encode(), digest_size=16).digest()
        with self._lock.held():
            now = self._clock()
            at, full = self._find(name)
            full = max(full, now) + tokens / per_second
            if not force and full - now > burst / per_second:
                return False
            _ENTRY.pack_into(self._map, at, name, min(full, now + burst / per_second))
            return True

    def _find(self, name: bytes) -> tuple[int, float]:
        start = int.from_bytes(name[:4], "little") % _PLACES
        places = [(start + step) % _PLACES * _ENTRY.size for step in range(_PROBE)]
        found = [(*_ENTRY.unpack_from(self._map, at), at) for at in places]
        for other, full, at in found:
            if other == name:
                return at, full
        return min(found, key=lambda entry: entry[1])[2], 0.0


@dataclass(slots=True)
class _Count:
    """What was refused of one partner or address since the last row of it."""

    sample: Event
    since: float
    first: datetime
    last: datetime
    kinds: Counter[str] = field(default_factory=Counter)
    sessions: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)

    def add(self, event: Event, kind: str) -> None:
        self.kinds[kind] += 1
        self.first, self.last = min(self.first, event.time), max(self.last, event.time)
        for seen, value in (self.sessions, event.session), (self.addresses, event.remote_ip):
            if len(seen) < _REMEMBERED:
                seen.add(value)

    def merge(self, other: _Count) -> None:
        self.kinds += other.kinds
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.sessions |= other.sessions
        self.addresses |= other.addresses

    def event(self) -> Event:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common(12))
        number = self.kinds.total()
        what = "1 refusal" if number == 1 else f"{number} refusals"
        several = f" of {len(self.addresses)} addresses" if len(self.addresses) > 1 else ""
        return Event(
            "refusals.counted",
            outcome="denied",
            partner=self.sample.partner,
            partner_id=self.sample.partner_id,
            account=self.sample.account if self.sample.partner else "",
            remote_ip="" if several else self.sample.remote_ip,
            session=self.sample.session if len(self.sessions) == 1 else "",
            reason=f"{what}{several} beyond those with a row of their own: "
            f"{kinds}; first {self.first:%Y-%m-%dT%H:%M:%SZ}, last {self.last:%Y-%m-%dT%H:%M:%SZ}",
            extra={"count": number},
        )


class Refusals:
    """One process's counts, over buckets that the workers of a node share. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.buckets = Buckets(clock)
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self._timer: threading.Timer | None = None
        #: Set where somebody calls :meth:`due`; otherwise a timer writes the rows.
        self.told_by_owner = False

    def admit(self, who: str, event: Event, *, rows: int = 1, kind: str = "") -> bool:
        """Whether ``event`` may leave its row, or ``rows`` of them; otherwise it is counted as one
        of ``kind`` (the event's name). ``who``: :func:`of_partner` or :func:`of_address`."""
        per_minute = get_conf().refusal_rows_per_minute
        if not per_minute:
            return True
        strange = not event.partner
        if self.buckets.take(who, rows, BURST, per_minute / 60, force=False) and (
            not strange
            or self.buckets.take(
                _STRANGERS, rows, STRANGERS_BURST, STRANGERS_PER_SECOND, force=False
            )
        ):
            return True
        self.count(who, event, kind or event.name)
        return False

    def paced(self, who: str, burst: int, per_second: float) -> bool:
        """Whether one more row may come now of a kind that is bounded in time and not in number."""
        if not get_conf().refusal_rows_per_minute:
            return True
        return self.buckets.take(f"{who} paced", 1, burst, per_second, force=False)

    def spend(self, who: str) -> None:
        """Take the token of a row that was written whatever the bound: it leaves less for
        others."""
        per_minute = get_conf().refusal_rows_per_minute
        if per_minute:
            self.buckets.take(who, 1, BURST, per_minute / 60, force=True)

    def count(self, who: str, event: Event, kind: str) -> None:
        """Count one more of ``kind``, which gets no row of its own."""
        with self._lock:
            if who not in self._counts and len(self._counts) >= _REMEMBERED:
                who = _STRANGERS
            count = self._counts.get(who)
            if count is None:
                count = _Count(event, self._clock(), event.time, event.time)
                self._counts[who] = count
            count.add(event, kind)
            if self._timer is None and not self.told_by_owner:
                self._timer = timer(TELL_EVERY, self._tell)
                self._timer.start()

    def due(self, *, everything: bool = False) -> list[Event]:
        """The rows to write now, each once."""
        with self._lock:
            latest = self._clock() - (0.0 if everything else TELL_EVERY)
            ready = {who: c for who, c in self._counts.items() if c.since <= latest}
            for who in ready:
                del self._counts[who]
        partners = [count for count in ready.values() if count.sample.partner]
        strangers = [count for count in ready.values() if not count.sample.partner]
        strangers.sort(key=lambda count: -count.kinds.total())
        told, rest = strangers[:ADDRESSES_TOLD], strangers[ADDRESSES_TOLD:]
        for count in rest[1:]:
            rest[0].merge(count)
        return [count.event() for count in (*partners, *told, *rest[:1])]

    def _tell(self) -> None:
        """On a thread of its own, where nobody calls :meth:`due`."""
        with self._lock:
            self._timer = None
        for event in self.due(everything=True):
            try:
                emit(event)
            except Exception as exc:
                logger.error("refusals.not_recorded", counted=event.reason, error=str(exc))

    def start_over(self) -> None:
        """In a child: what its parent has counted is the parent's to tell, and its timer, and
        whoever calls :meth:`due`, are not here."""
        self._lock = threading.Lock()
        self._counts, self._timer, self.told_by_owner = {}, None, False

    def close(self) -> None:
        """Write the rows of what was counted; called at the process's end."""
        with self._lock:
            running, self._timer = self._timer, None
        if running is not None:
            running.cancel()
            run_with_connections(self._tell)


def of_partner(partner: str) -> str:
    """Whose bucket a refusal of a logged-in session is taken from."""
    return f"partner {partner}"


def of_address(source: str) -> str:
    """Whose bucket a stranger's is taken from: an IPv4 address, or the /64 of an IPv6 one."""
    return f"address {source}"


#: This process's; its buckets are its children's too.
refusals = Refusals()
atexit.register(refusals.close)
os.register_at_fork(after_in_child=refusals.start_over)
