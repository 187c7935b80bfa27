"""The parts of one upload on their way through the pool: hash in order, put in parallel, record.

Event-driven: no pool thread ever waits for another pool job. Each event (a part is full, a hash
or a put is done, the end or a failure) asks :meth:`Pipeline._next` what may start now; a pool
thread that finished a job goes on with the first of them itself and hands the others over.

Whether parts go to storage, and whether more may come, follows from the upload's phase
(:mod:`~securedrop_ftp.intake.phases`); here is only what waits and what runs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from functools import partial
from typing import Protocol

from securedrop_ftp.exceptions import SecureDropError, StorageError
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.part_writer import FullPart, PartWriter
from securedrop_ftp.intake.phases import OPEN, STORING, Parts, Story, Trigger
from securedrop_ftp.intake.recording import Recording
from securedrop_ftp.intake.spool import MAX_SPOOLED
from securedrop_ftp.intake.steps import step
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

Job = Callable[[], None]


def as_known(exc: Exception) -> SecureDropError:
    """One of our exceptions as it is; any other wrapped in StorageError."""
    if isinstance(exc, SecureDropError):
        return exc
    known = StorageError(f"{type(exc).__name__}: {exc}")
    known.__cause__ = exc
    return known


class _Multipart(Enum):
    """Whether storage was asked to begin an object of several parts."""

    NOT_YET = auto()  # the file may have one part: that is held back
    WANTED = auto()
    ASKED = auto()
    BEGUN = auto()


class Owner(Protocol):
    """What a pipeline tells the stream that it belongs to. Called without locks held, from any
    thread."""

    def buffer_freed(self) -> None:
        """A part buffer was given back."""

    def failed(self) -> None:
        """A part could not be stored, or the lease is lost; the story has the cause."""


class Pipeline:
    """See the module's docstring.

    Args:
        submit: takes jobs for the storage pool; never blocks.
        final: the upload's last job, when no other runs any more.

    Attributes:
        single: the only part of a small file, which no backend was asked to begin.
    """

    def __init__(
        self,
        attempt: Attempt,
        story: Story,
        owner: Owner,
        *,
        submit: Callable[[Job], None],
        recording: Recording,
        writer: PartWriter,
        final: Job,
    ) -> None:
        self.single: FullPart | None = None
        self._attempt = attempt
        self._digest = attempt.digest
        self._known = len(attempt.carried)  # bytes of the next part that the digest has
        self._story = story
        self._owner = owner
        self._submit = submit
        self._recording = recording
        self._writer = writer
        self._final: Job | None = final  # until it is given out
        self._lock = threading.Lock()
        self._to_hash: deque[FullPart] = deque()
        self._to_put: deque[FullPart] = deque()
        self._active = 0  # jobs in the pool
        self._putting = 0
        self._hashing = False
        self._multipart = _Multipart.NOT_YET if attempt.partial is None else _Multipart.BEGUN

    # --- what happens ------------------------------------------------------------------

    def add(self, part: FullPart) -> None:
        """A part is full."""
        with self._lock:
            wanted = self._story.phase in STORING
            if wanted:
                self._to_hash.append(part)
            jobs = self._next()
        if not wanted:
            self._release([part])
        self._start(jobs)

    def expect_more(self) -> None:
        """The file is longer than one part (or the first part's memory is wanted back)."""
        if self._multipart is not _Multipart.NOT_YET:
            return
        with self._lock:
            if self._multipart is _Multipart.NOT_YET:
                self._multipart = _Multipart.WANTED
            jobs = self._next()
        self._start(jobs)

    def move(self, trigger: Trigger, cause: SecureDropError | None = None) -> bool:
        """What the door or a part does to the upload. False: it comes too late."""
        with self._lock:
            moved, dropped = self._moved(trigger, cause)
            jobs = self._next()
        self._release(dropped)
        self._start(jobs)
        return moved

    def abandon(self, cause: SecureDropError) -> None:
        """Store nothing more; the stream's owner is told and ends it."""
        if self.move(Trigger.FAIL, cause):
            self._owner.failed()

    # --- what may start now (the lock is held) ----------------------------------------

    def _moved(
        self, trigger: Trigger, cause: SecureDropError | None
    ) -> tuple[bool, list[FullPart]]:
        """Move the story; the parts that are dropped with it."""
        if trigger is Trigger.BREAK_OFF and self._multipart is _Multipart.NOT_YET:
            trigger = Trigger.GIVE_UP  # storage has nothing to go on with
        move = self._story.offer(trigger, cause)
        if move is None or move.parts is not Parts.DROP:
            return move is not None, []
        dropped = [*self._to_hash, *self._to_put]
        self._to_hash.clear()
        self._to_put.clear()
        return True, dropped

    def _next(self) -> list[Job]:
        if self._final is None:
            return []
        jobs = [*self._puts(), *self._hashes()]
        self._active += len(jobs)
        return jobs or self._last()

    def _puts(self) -> Iterator[Job]:
        if self._story.phase not in STORING or not self._to_put:
            return
        if self._multipart is _Multipart.WANTED:
            self._multipart = _Multipart.ASKED
            yield self._begin
        while self._multipart is _Multipart.BEGUN and self._to_put and self._has_slot():
            self._putting += 1
            yield partial(self._put, self._to_put.popleft())

    def _has_slot(self) -> bool:
        slots = self._attempt.terms.sizes.in_flight
        if self._to_put[0].is_piece:  # whoever completes its part keeps the slot for the whole put
            slots = min(slots, MAX_SPOOLED)
        return self._putting < slots

    def _hashes(self) -> Iterator[Job]:
        if self._to_hash and not self._hashing:
            self._hashing = True
            yield partial(self._hash, self._to_hash.popleft())

    def _last(self) -> list[Job]:
        """The final job, if nothing runs and nothing will come."""
        if self._active or self._to_hash or self._story.phase in OPEN:
            return []
        if self._to_put and self._multipart is _Multipart.NOT_YET:
            self.single = self._to_put.popleft()
        final, self._final = self._final, None
        if final is None:
            return []
        self._recording.put_pen_down()
        self._active += 1
        return [partial(self._end, final)]

    def _start(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._submit(partial(self._run, job))

    # --- in the pool -----------------------------------------------------------------

    def _run(self, job: Job) -> None:
        """Run a job, then go on with what it made possible."""
        while True:
            failure = _failure_of(job)
            dropped: list[FullPart] = []
            told = False
            with self._lock:
                self._active -= 1
                if failure is not None:
                    told, dropped = self._moved(Trigger.FAIL, failure)
                jobs = self._next()
            self._release(dropped)
            if told:
                self._owner.failed()
            if not jobs:
                return
            job, *others = jobs
            self._start(others)

    def _hash(self, part: FullPart) -> None:
        hashed = False
        try:
            if self._digest is not None:
                self._digest.update(part.buffer.content[self._known :])
                self._known = 0
                if part.ends_part:
                    self._recording.note_midstate(part.offset + part.size, self._digest.save())
            hashed = True
        finally:
            with self._lock:
                self._hashing = False
                keep = hashed and self._story.phase in STORING
                if keep:
                    self._to_put.append(part)
            if not keep:
                self._release([part])

    def _end(self, final: Job) -> None:
        try:
            self._writer.close()
        finally:
            final()  # whatever happens: somebody waits for its outcome

    def _begin(self) -> None:
        step("begin.before")
        begun = self._attempt.backend.begin(self._attempt.spec)
        step("begin.after")
        self._recording.partial = begun
        with self._lock:
            self._multipart = _Multipart.BEGUN
        self._recording.write()  # at once: whoever cleans up after us must know of it

    def _put(self, part: FullPart) -> None:
        try:
            assert self._recording.partial is not None
            stored = self._writer.put(self._recording.partial, part)
            if stored is not None:
                self._recording.note_stored(stored)
        finally:
            with self._lock:
                self._putting -= 1
            self._release([part])
        if stored is not None:
            self._recording.write()

    def _release(self, parts: Sequence[FullPart]) -> None:
        for part in parts:
            part.buffer.release()
            self._owner.buffer_freed()


def _failure_of(job: Job) -> SecureDropError | None:
    """Run a job; why it failed."""
    try:
        job()
    except Exception as exc:
        known = as_known(exc)
        if known is exc:  # its text is in the audit row, and may be no fault at all: the upload
            # of an older session is gone when its successor has the name
            logger.info("upload.part_refused", reason=f"{type(exc).__name__}: {exc}")
        else:
            logger.error("upload.part_failed", exc_info=exc)
        return known
    return None
