"""How glibc's allocator serves a worker, so that what was taken is given back.

Two things here are large: the memory of a password hash (19 MiB) and the ranges of downloads (up to
8 MiB). Left to itself glibc raises its threshold for mapped memory with the first hash, and keeps
what each thread ever took in an arena of that thread (seen: 12 threads that hashed, two at once,
240 MiB for good; 196 MiB of ranges where 32 were in use). Mapping every range anew instead gives
all back, and costs half of a download's CPU in page faults (seen: 0.93 s/GB, not 0.60).

So hashes are mapped and unmapped, and all threads share one arena, where the range that one has
given back is the next one's, whoever asks.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: mallopt(3) and glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MIB: Final = 1024 * 1024

#: Above a range (8 MiB), below a hash (19 MiB).
MAPPED_FROM: Final = 16 * _MIB
#: Free memory at the arena's end that is kept: a few ranges.
KEPT: Final = 24 * _MIB


def bound_allocator() -> None:
    """Once in each worker, before it has threads; without glibc nothing happens."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
    mallopt(_M_TRIM_THRESHOLD, KEPT)
