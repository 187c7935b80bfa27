"""The parts of one upload on their way through the pool: hash in order, put in parallel, record.

Event-driven: no pool thread ever waits for another pool job. Each event (a part is full, a hash
or a put is done, the end or a failure) asks :meth:`Pipeline._next` what may start now; a pool
thread that finished a job goes on with the first of them itself and hands the others over.

A part counts as durable when the ledger has it. Recording runs on the database writer, at most
one job of an upload at a time, each with all parts known by then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from securedrop_ftp.exceptions import LeaseLost, SecureDropError, StorageError
from securedrop_ftp.intake import ledger, tokens
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.buffers import PartBuffer
from securedrop_ftp.intake.durable import contiguous, length_of, pack_states
from securedrop_ftp.intake.ledger import Claim, Ledger
from securedrop_ftp.intake.space import Space
from securedrop_ftp.intake.spool import SpooledPart
from securedrop_ftp.intake.steps import step
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.protocol import Part, Partial

logger = get_logger(__name__)

Job = Callable[[], None]

#: Parts of one upload that may wait on disk; beyond, no more is read from the client.
MAX_SPOOLED = 2


def as_known(exc: Exception) -> SecureDropError:
    """Any exception as one of ours; a stranger becomes a local error."""
    if isinstance(exc, SecureDropError):
        return exc
    known = StorageError(f"{type(exc).__name__}: {exc}")
    known.__cause__ = exc
    return known


@dataclass(slots=True)
class FullPart:
    """A part whose bytes have all come; or a ``piece`` of one that goes over the disk, the last
    one if ``whole``."""

    number: int
    offset: int
    buffer: PartBuffer | SpooledPart
    piece: bool = False
    whole: bool = True

    @property
    def size(self) -> int:
        """Bytes."""
        return self.buffer.filled


class Owner(Protocol):
    """What a pipeline tells the stream that it belongs to. Called without locks held, from any
    thread."""

    def buffer_freed(self) -> None:
        """A part buffer was given back."""

    def failed(self, cause: SecureDropError) -> None:
        """A part could not be stored, or the lease is lost. Nothing more will be put."""


class Pipeline:
    """See the module's docstring. ``submit`` takes jobs for the storage pool."""

    def __init__(
        self,
        attempt: Attempt,
        owner: Owner,
        *,
        submit: Callable[[Job], None],
        book: Ledger,
        final: Callable[[], None],
        spool: Path,
        space: Space,
    ) -> None:
        self.attempt = attempt
        self.claim = Claim(attempt.upload_id, attempt.epoch)
        self.digest = attempt.digest
        self.partial: Partial | None = attempt.partial
        self.cause: SecureDropError | None = None
        self._owner = owner
        self._submit = submit
        self._book = book
        self._spool_directory = spool
        self._space = space
        self._spool: SpooledPart | None = None  # the part whose pieces come now
        self._spooled = 0  # parts that wait on disk
        self._final = final  # the last job: publish, or settle a failure
        self._lock = threading.Lock()
        self._to_hash: deque[FullPart] = deque()
        self._to_put: deque[FullPart] = deque()
        self._stored: dict[int, Part] = {part.number: part for part in attempt.parts}
        self._states: dict[int, bytes] = {}
        self._recorded = len(attempt.parts)
        self._recording = False
        self._active = 0  # jobs in the pool
        self._putting = 0
        self._hashing = False
        self._beginning = False
        self._more = attempt.partial is not None  # not a file of one part
        self._ended = False
        self._discard = False  # failed: parts that wait are dropped, not stored
        self._last = False  # the final job was given out
        self._decided = False  # ... and has begun
        self._sealed = ""
        self.single: FullPart | None = None  # the only part of a small file, for put_object
        if attempt.parts and self.digest is not None:
            state = self.digest.save()
            if state is not None:
                self._states[length_of(attempt.parts)] = state

    # --- events from the loop --------------------------------------------------------

    def add(self, part: FullPart) -> None:
        """A part is full."""
        with self._lock:
            self._to_hash.append(part)
            jobs = self._next()
        self._start(jobs)

    def expect_more(self) -> None:
        """The file is longer than one part (or the first part's memory is wanted back)."""
        if self._more:
            return
        with self._lock:
            self._more = True
            jobs = self._next()
        self._start(jobs)

    def end(self) -> None:
        """No further part will come: publish when all are stored."""
        with self._lock:
            self._ended = True
            jobs = self._next()
        self._start(jobs)

    def stop(self, cause: SecureDropError, *, discard: bool) -> bool:
        """End badly. Parts that are full are still stored, so that the upload may go on later,
        unless ``discard``. False: it ended before."""
        with self._lock:
            if self._decided:
                return False
            dropped = self._fail(cause, discard=discard)
            self._ended = True
            jobs = self._next()
        self._release(dropped)
        self._start(jobs)
        return True

    def abandon(self, cause: SecureDropError) -> None:
        """Store nothing more; the stream's owner is told and ends it."""
        with self._lock:
            if self._decided:
                return
            dropped = self._fail(cause, discard=True)
            jobs = self._next()
        self._release(dropped)
        self._start(jobs)
        self._owner.failed(cause)

    def decide(self) -> SecureDropError | None:
        """The final job has begun: ``None`` if it may publish, else why not. From here on
        nothing can stop it."""
        with self._lock:
            self._decided = True
            return self.cause

    # --- state -----------------------------------------------------------------------

    @property
    def parts(self) -> list[Part]:
        """The parts that storage has, from the first without a gap."""
        with self._lock:
            return contiguous(self._stored.values())

    def states(self, parts: Sequence[Part]) -> bytes | None:
        """The midstates at the last boundaries of ``parts``, for the ledger."""
        with self._lock:
            return self._pack(parts)

    def sealed(self) -> str:
        """The resume token, encrypted."""
        if not self._sealed and self.partial is not None:
            self._sealed = tokens.seal(self.partial.token)
        return self._sealed

    def _pack(self, parts: Sequence[Part]) -> bytes | None:
        ends = {part.offset + part.size for part in parts[-2:]}
        return pack_states({o: s for o, s in self._states.items() if o in ends})

    # --- what may start now (the lock is held) ----------------------------------------

    def _next(self) -> list[Job]:
        jobs: list[Job] = []
        if self._last:
            return jobs
        if self._ended and not self._to_hash and not self._hashing:
            self._close_spool()
        if self._to_put and self._more and not self._discard:
            if self.partial is None and not self._beginning:
                self._beginning = True
                jobs.append(self._begin)
            while self.partial and self._to_put and self._putting < self.attempt.sizes.in_flight:
                self._putting += 1
                jobs.append(partial(self._put, self._to_put.popleft()))
        if self._to_hash and not self._hashing and self._spooled < MAX_SPOOLED:
            self._hashing = True
            jobs.append(partial(self._hash, self._to_hash.popleft()))
        self._active += len(jobs)
        if self._ended and not self._active and not self._to_hash:
            if self._to_put and not self._more:
                self.single = self._to_put.popleft()
            if not self._to_put:
                self._last = True
                self._active += 1
                jobs.append(self._final)
        return jobs

    def _fail(self, cause: SecureDropError, *, discard: bool) -> list[FullPart]:
        if self.cause is None:
            self.cause = cause
        if not discard and self._more:
            return []
        self._discard = True
        dropped = [*self._to_hash, *self._to_put]
        self._to_hash.clear()
        self._to_put.clear()
        return dropped

    def _close_spool(self) -> None:
        """The end came in the midst of a part on disk: it is the last one, or of no use."""
        part, self._spool = self._spool, None
        if part is None:
            return
        if self.cause is None and not self._discard:
            self._spooled += 1
            self._to_put.append(FullPart(part.number, part.offset, part))
        else:
            part.release()

    def _start(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._submit(partial(self._run, job))

    # --- in the pool -----------------------------------------------------------------

    def _run(self, job: Job) -> None:
        """Run a job, then go on with what it made possible."""
        while True:
            failure: SecureDropError | None = None
            try:
                job()
            except Exception as exc:
                failure = as_known(exc)
                if failure is exc:  # its text is in the audit row, and may be no fault at all:
                    # the upload of an older session is gone when its successor has the name
                    logger.info("storage job failed", reason=f"{type(exc).__name__}: {exc}")
                else:
                    logger.error("storage job failed", exc_info=exc)
            dropped: list[FullPart] = []
            with self._lock:
                self._active -= 1
                if failure is not None:
                    dropped = self._fail(failure, discard=True)
                jobs = self._next()
            self._release(dropped)
            if failure is not None:
                self._owner.failed(failure)
            if not jobs:
                return
            job, *others = jobs
            self._start(others)

    def _hash(self, part: FullPart) -> None:
        state: bytes | None = None
        full: FullPart | None = None
        try:
            if self.digest is not None:
                self.digest.update(part.buffer.content)
                state = self.digest.save() if part.whole else None
            full = self._collect(part) if part.piece else part
        finally:
            with self._lock:
                self._hashing = False
                if state is not None:
                    self._states[part.offset + part.size] = state
                keep = full is not None and not self._discard
                if keep and full is not None:
                    self._to_put.append(full)
                    self._spooled += full is not part
            if part.piece or not keep:
                self._release([part])
            if not keep and full is not None and full is not part:
                full.buffer.release()

    def _collect(self, piece: FullPart) -> FullPart | None:
        """Write a piece to the part on disk; the part, when it is whole."""
        if self._spool is None:
            self._spool = SpooledPart(self._spool_directory, piece.number, piece.offset)
        self._space.refuse_spool(piece.size)
        self._spool.write(piece.buffer.content)
        if not piece.whole:
            return None
        part, self._spool = self._spool, None
        return FullPart(part.number, part.offset, part)

    def _begin(self) -> None:
        step("begin.before")
        begun = self.attempt.backend.begin(self.attempt.spec)
        step("begin.after")
        with self._lock:
            self.partial = begun
        # Written at once: what storage now holds must be known to whoever cleans up after us.
        self._record()

    def _put(self, part: FullPart) -> None:
        try:
            step("part.before")
            assert self.partial is not None
            backend = self.attempt.backend
            with self._space.taking(backend, part.size):
                stored = backend.put_part(
                    self.partial, part.number, part.offset, part.buffer.content
                )
            step("part.after")
            with self._lock:
                self._stored[stored.number] = stored
        finally:
            with self._lock:
                self._putting -= 1
            self._release([part])
        self._record()

    def _release(self, parts: Sequence[FullPart]) -> None:
        for part in parts:
            part.buffer.release()
            if isinstance(part.buffer, SpooledPart):
                with self._lock:
                    self._spooled -= 1
            else:
                self._owner.buffer_freed()

    # --- the ledger ------------------------------------------------------------------

    def _record(self, *, again: bool = False) -> None:
        with self._lock:
            if self._last or (self._recording and not again):
                return
            parts = contiguous(self._stored.values())
            if again and len(parts) <= self._recorded:
                self._recording = False
                return
            self._recording = True
            states = self._pack(parts)
            for offset in [o for o in self._states if parts and o < parts[-1].offset]:
                del self._states[offset]
            sealed = self.sealed()
        self._book.submit(
            partial(
                ledger.record_parts,
                self.claim,
                parts,
                received=length_of(parts),
                states=states,
                sealed=sealed,
            ),
            partial(self._recorded_parts, len(parts)),
        )

    def _recorded_parts(self, count: int, done: bool | None) -> None:
        """On the writer's thread. ``None``: the database failed; the next part tries again, and
        the publishing row names all parts in any case."""
        if done is None:
            with self._lock:
                self._recording = False
            return
        if not done:
            self.abandon(LeaseLost())
            return
        step("part.recorded")
        with self._lock:
            self._recorded = max(self._recorded, count)
        self._record(again=True)


def resolve(future: Future[Any], result: Any, error: BaseException | None) -> None:
    """Set a future that several may set; the first counts."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
