"""How a worker's memory is managed: what was taken is given back, what stays is not looked at.

Two things here are large: the memory of a password hash (19 MiB) and the ranges of downloads (up to
8 MiB, 4 from a directory). Left to itself glibc raises its threshold for mapped memory with the
first hash, and keeps what each thread ever took in an arena of that thread (seen: 12 threads that
hashed, two at once, 240 MiB for good; 196 MiB of ranges where 32 were in use). Mapping every range
anew instead gives all back, and costs half of a download's CPU in page faults (seen: 0.93 s/GB, not
0.60).

So hashes are mapped and unmapped, and all threads share one arena, where the range that one has
given back is the next one's, whoever asks.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

#: mallopt(3) and glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MIB: Final = 1024 * 1024

#: Above a range (8 MiB), below a hash (19 MiB).
MAPPED_FROM: Final = 16 * _MIB
#: Free memory at the arena's end that is kept: both ranges of five downloads from a directory.
#: What is above it goes back when they end, and is faulted in anew by the next ones.
KEPT: Final = 40 * _MIB


def bound_allocator() -> None:
    """Once in each worker, before it has threads; without glibc nothing happens."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
    mallopt(_M_TRIM_THRESHOLD, KEPT)


def spare_what_was_loaded() -> None:
    """Django's and our modules stay: a full collection need not walk their objects again and
    again. (With the collector off altogether a login took 25 % less CPU, a small file 15 %.) What
    dies in a cycle waits for one all the same, so they are not rarer than every 100 000 objects."""
    gc.freeze()
    gc.set_threshold(5_000, 5, 4)
