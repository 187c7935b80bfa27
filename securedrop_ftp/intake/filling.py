"""The part of an upload that is being received: its buffer, its bounds, and when to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

from securedrop_ftp.exceptions import TooLarge
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.buffers import MemoryBudget, PartBuffer
from securedrop_ftp.intake.durable import length_of
from securedrop_ftp.intake.part_writer import FullPart
from securedrop_ftp.intake.pipeline import Pipeline


class _Carried:
    """The end of the file that is appended to, where nothing more came, as a part's content."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    @property
    def filled(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    @property
    def content(self) -> memoryview:
        """All of them, uncopied."""
        return memoryview(self._data)

    def release(self) -> None:
        """Nothing of the budget is held."""


class Filling:
    """Called from the thread that receives, except :meth:`buffer_freed`. Nothing here blocks.

    Attributes:
        received: length of the file so far, bytes; a resumed one begins at its join offset.
    """

    def __init__(
        self,
        attempt: Attempt,
        budget: MemoryBudget,
        pipeline: Pipeline,
        wake: Callable[[], None],
    ) -> None:
        """``wake`` is called, from any thread, when :meth:`room` is worth asking again."""
        self._carried = attempt.carried
        self._carried_to = 0  # how much of it a buffer has; it is cleared when one has it all
        self.received = length_of(attempt.parts) + len(self._carried)
        self._sizes = attempt.terms.sizes
        self._partner = attempt.request.principal.partner
        self._budget = budget
        self._pipeline = pipeline
        self._wake = wake
        self._current: PartBuffer | None = None
        self._number = len(attempt.parts)  # of the part that comes, or came last
        self._begins = self.received  # the offset of that part
        self._rest = 0  # bytes to come of a part that is received in pieces
        self._held = 0  # part buffers in memory
        self._starved = False
        self._lock = threading.Lock()

    def room(self) -> memoryview | None:
        """The writable rest of the part's buffer, never empty; ``None`` while there is no memory.

        Raises:
            TooLarge: storage takes no further part.
        """
        current = self._current
        if current is None:
            current = self._current = self._new_buffer()
            if current is None:
                return None
        room = current.room()
        while room is not None and self._carried:
            self._carry(current, room)
            room = current.room()
        if room is None and current.filled == 0:
            # A first part that is held back for want of a second must not hold the memory.
            self._expect_more()
        return room

    def _carry(self, current: PartBuffer, room: memoryview) -> None:
        """The end of the file that is appended to, before what comes."""
        start = self._carried_to
        stop = min(start + len(room), len(self._carried))
        with memoryview(self._carried) as carried:
            room[: stop - start] = carried[start:stop]
        current.filled += stop - start
        self._carried_to = stop
        if stop == len(self._carried):
            self._carried.clear()

    def filled(self, count: int) -> None:
        """``count`` bytes were written at the start of the last :meth:`room`."""
        current = self._current
        assert current is not None
        if current.filled == 0:
            self._expect_more()
        current.filled += count
        self.received += count

    def hand_over_if_full(self) -> None:
        """A full buffer goes to the pipeline."""
        current = self._current
        if current is not None and current.full:
            self._hand_over(current, at_end=False)

    def hand_over_rest(self) -> None:
        """The file is whole: so is the part that was coming."""
        current = self._current
        if self._carried:  # nothing came, not even a buffer for it
            self._number += current is None
            self.drop()
            self._hand_over_carried()
            return
        if current is not None and current.filled:
            self._hand_over(current, at_end=True)
            return
        self.drop()
        if self._rest:  # the end came between two pieces
            with self._lock:
                self._held += 1
            nothing = PartBuffer(self._budget, self._partner, 0, self._wake)
            self._hand_over(nothing, at_end=True)

    def _hand_over_carried(self) -> None:
        with self._lock:
            self._held += 1
        offset = self.received - len(self._carried)
        self._pipeline.add(FullPart(self._number, offset, _Carried(self._carried), begins=offset))

    def drop(self) -> None:
        """What has come of a part that is not full is of no use."""
        current, self._current = self._current, None
        if current is not None:
            current.release()

    def buffer_freed(self) -> None:
        """A part buffer was given back. From any thread."""
        with self._lock:
            self._held -= 1
            starved, self._starved = self._starved, False
        if starved:
            self._wake()

    def _expect_more(self) -> None:
        """Bytes come, or are wanted, behind a buffer that was handed over."""
        if self.received:
            self._pipeline.expect_more()

    def _new_buffer(self) -> PartBuffer | None:
        sizes = self._sizes
        begins = self.received - len(self._carried)  # nothing else has come where there is any
        size = self._rest or sizes.at(begins)
        spooled = self._rest > 0 or sizes.is_spooled(size)
        in_memory = min(size, sizes.piece) if spooled else size
        if not self._rest and self._number >= sizes.max_parts:
            raise TooLarge("more parts than storage takes")
        if not self._take_one(sizes.buffers(in_memory)):
            self._pipeline.expect_more()
            return None
        if not self._rest:
            self._number += 1
            self._begins = begins
            self._rest = size if spooled else 0
        return PartBuffer(self._budget, self._partner, in_memory, self._wake)

    def _take_one(self, most: int) -> bool:
        with self._lock:
            self._starved = self._held >= most
            if not self._starved:
                self._held += 1
            return not self._starved

    def _hand_over(self, current: PartBuffer, *, at_end: bool) -> None:
        self._current = None
        self._rest = max(0, self._rest - current.filled)
        self._pipeline.add(
            FullPart(
                number=self._number,
                offset=self.received - current.filled,
                buffer=current,
                begins=self._begins,
                ends_part=at_end or not self._rest,
            )
        )
