"""What of an unfinished upload is durable, and from where it may go on.

The durable length is the highest part boundary *strictly below* the bytes known to have come, so
that no client takes a suspended upload for a finished one (curl and lftp send nothing and exit 0
where the length they see is the local one). While an upload runs, the bytes known are those in
recorded parts; so after a crash the durable length lies one part below the last recorded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from securedrop_ftp.intake.digest import STATE_SIZE
from securedrop_ftp.storage.protocol import Part

_RECORD: Final = struct.Struct(f">Q{STATE_SIZE}s")


def contiguous(parts: Iterable[Part]) -> list[Part]:
    """The parts from the first on, in order, without a gap."""
    run: list[Part] = []
    offset = 0
    for number, part in enumerate(sorted(parts, key=lambda p: p.number), start=1):
        if part.number != number or part.offset != offset:
            break
        run.append(part)
        offset += part.size
    return run


def length_of(parts: Sequence[Part]) -> int:
    """Bytes in contiguous ``parts``."""
    return parts[-1].offset + parts[-1].size if parts else 0


def durable_parts(parts: Iterable[Part], received: int) -> list[Part]:
    """The contiguous parts that end strictly below ``received``."""
    return [part for part in contiguous(parts) if part.offset + part.size < received]


def to_json(parts: Iterable[Part]) -> list[list[Any]]:
    """For the ledger's column."""
    return [[p.number, p.offset, p.size, p.token] for p in parts]


def from_json(rows: Iterable[Sequence[Any]]) -> list[Part]:
    """From the ledger's column."""
    return [Part(int(r[0]), int(r[1]), int(r[2]), str(r[3])) for r in rows]


def pack_states(states: Mapping[int, bytes]) -> bytes | None:
    """Midstates by offset, the last two: the durable length is one of these boundaries."""
    last = sorted(states)[-2:]
    return b"".join(_RECORD.pack(offset, states[offset]) for offset in last) or None


def unpack_states(packed: bytes | memoryview | None) -> dict[int, bytes]:
    """The midstates that :func:`pack_states` packed, by offset."""
    return dict(_RECORD.iter_unpack(bytes(packed))) if packed else {}
