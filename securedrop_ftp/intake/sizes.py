"""How large the parts of an upload are, and how many may be in memory at once.

Parts begin at ``part_size`` and grow with the object, so that the backend's number of parts
suffices: from 200 parts on each is a two-hundredth of what has come, up to ``max_part_size``.
With 8 MiB, 48 MiB and 10 000 parts that takes 452 GiB unannounced; an object whose size was
announced gets parts that fit from the start, up to 10 000 × 48 MiB = 469 GiB. With the
disk spool switched on parts grow on to 512 MiB; those beyond ``max_part_size`` are received in
pieces.
"""

from __future__ import annotations

from typing import Final

from securedrop_ftp.conf import MIB, Conf
from securedrop_ftp.exceptions import TooLargeForParts
from securedrop_ftp.storage.protocol import Capabilities

#: The largest part that is spooled: 10 000 of them are more than S3 takes in one object.
SPOOLED: Final = 512 * MIB

#: Parts of one size before they grow.
GROW_AFTER: Final = 200


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class PartSizes:
    """The sizes of one upload's parts."""

    def __init__(self, conf: Conf, capabilities: Capabilities, announced: int | None) -> None:
        """Raises TooLargeForParts where ``announced`` bytes can never be taken."""
        self._multiple = capabilities.part_multiple
        self.max_parts = capabilities.max_parts
        self._memory = conf.upload_memory
        self._in_flight = 1 if capabilities.serial_parts else conf.parts_in_flight
        first = _round_up(max(conf.part_size, capabilities.min_part_size), self._multiple)
        self.piece = first
        in_memory = min(conf.max_part_size, conf.upload_memory, capabilities.max_part_size)
        self.in_memory = max(first, in_memory // self._multiple * self._multiple)
        self.ceiling = self.in_memory
        if conf.disk_spool:
            most = min(SPOOLED, capabilities.max_part_size) // self._multiple * self._multiple
            self.ceiling = max(self.ceiling, most)
        largest = capabilities.max_object_size
        capacity = self.ceiling * self.max_parts
        self.capacity = capacity if largest is None else min(capacity, largest)
        if announced is not None and announced > self.capacity:
            raise TooLargeForParts(
                f"{announced} bytes were announced; at most {self.capacity} can be taken.",
                limit=self.capacity,
            )
        if announced is not None:
            first = max(first, self._rounded(-(-announced // self.max_parts)))
        self.first = first

    def _rounded(self, size: int) -> int:
        step = MIB if size > MIB else 1
        return min(_round_up(_round_up(size, step), self._multiple), self.ceiling)

    def at(self, offset: int) -> int:
        """The size of the part that begins at ``offset``, bytes."""
        return max(self.first, self._rounded(offset // GROW_AFTER))

    def is_spooled(self, size: int) -> bool:
        """Whether a part of that size goes over the disk, in pieces of :attr:`piece` bytes."""
        return size > self.in_memory

    def buffers(self, size: int) -> int:
        """How many parts of ``size`` bytes one upload may hold in memory, the one being
        received included."""
        return max(1, min(self._in_flight + 1, self._memory // size))

    @property
    def in_flight(self) -> int:
        """Parts that may be put at once."""
        return self._in_flight
