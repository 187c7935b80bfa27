"""What storage has of one upload, and what the ledger knows of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial

from securedrop_ftp.intake import held, moves, tokens
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.durable import contiguous, length_of, pack_states
from securedrop_ftp.intake.ledger import Claim, Ledger
from securedrop_ftp.intake.steps import step
from securedrop_ftp.storage.protocol import Part, Partial


class _Pen(Enum):
    """At most one job of an upload is on its way to the ledger."""

    IDLE = auto()
    WRITING = auto()
    DOWN = auto()  # the ending writes from here on


class Recording:
    """A part counts as durable when the ledger has it. Recording runs on the database writer, one
    job of an upload at a time, each with all parts known by then. Thread-safe.

    Attributes:
        partial: what storage calls the unfinished object; ``None`` until it has begun one.
    """

    def __init__(self, attempt: Attempt, book: Ledger, lost: Callable[[], None]) -> None:
        """``lost`` is called, from the database writer's thread, when the row is not ours."""
        self.partial: Partial | None = attempt.partial
        self._claim = Claim(attempt.upload_id, attempt.epoch)
        self._backend = attempt.backend
        self._book = book
        self._lost = lost
        self._stored: dict[int, Part] = {part.number: part for part in attempt.parts}
        self._midstates: dict[int, bytes] = {}  # of the digest, by offset
        self._recorded = len(attempt.parts)
        self._pen = _Pen.IDLE
        self._sealed = ""
        self._lock = threading.Lock()
        if attempt.parts and attempt.digest is not None and not attempt.carried:
            self.note_midstate(length_of(attempt.parts), attempt.digest.save())

    def note_midstate(self, offset: int, state: bytes | None) -> None:
        """The digest's state when ``offset`` bytes were hashed, where it tells one."""
        if state is not None:
            with self._lock:
                self._midstates[offset] = state

    def note_stored(self, part: Part) -> None:
        """Storage has the part."""
        with self._lock:
            self._stored[part.number] = part

    @property
    def parts(self) -> list[Part]:
        """The parts that storage has, from the first without a gap."""
        with self._lock:
            return contiguous(self._stored.values())

    def midstates(self, parts: Sequence[Part]) -> bytes | None:
        """Those at the last boundaries of ``parts``, for the ledger."""
        with self._lock:
            return self._packed(parts)

    def sealed(self) -> str:
        """The resume token, encrypted."""
        if not self._sealed and self.partial is not None:
            self._sealed = tokens.seal(self.partial.token)
        return self._sealed

    def _packed(self, parts: Sequence[Part]) -> bytes | None:
        ends = {part.offset + part.size for part in parts[-2:]}
        return pack_states({o: s for o, s in self._midstates.items() if o in ends})

    def forget_parts(self) -> None:
        """Let storage forget the parts; what stays behind is swept later. Blocks."""
        held.discard(self.partial, self._backend, self._claim.upload_id)

    # --- the ledger ------------------------------------------------------------------

    def write(self, *, again: bool = False) -> None:
        """Tell the ledger what storage has. While a job is on its way this waits for it: then the
        job's answer writes ``again``, if there is more by then."""
        with self._lock:
            if self._pen is _Pen.DOWN or (self._pen is _Pen.WRITING and not again):
                return
            parts = contiguous(self._stored.values())
            if again and len(parts) <= self._recorded:
                self._pen = _Pen.IDLE
                return
            self._pen = _Pen.WRITING
            states = self._packed(parts)
            for offset in [o for o in self._midstates if parts and o < parts[-1].offset]:
                del self._midstates[offset]
            sealed = self.sealed()
        job = partial(
            moves.record_parts,
            self._claim,
            parts,
            received=length_of(parts),
            states=states,
            sealed=sealed,
        )
        self._book.submit(job, partial(self._written, len(parts)))

    def put_pen_down(self) -> None:
        """Nothing more is recorded: the ending names all parts."""
        with self._lock:
            self._pen = _Pen.DOWN

    def _written(self, count: int, done: bool | None) -> None:
        """On the writer's thread. ``None``: the database failed; the next part tries again, and
        the publishing row names all parts in any case."""
        if done is None:
            with self._lock:
                if self._pen is _Pen.WRITING:
                    self._pen = _Pen.IDLE
            return
        if not done:
            self._lost()
            return
        step("part.recorded")
        with self._lock:
            self._recorded = max(self._recorded, count)
        self.write(again=True)
