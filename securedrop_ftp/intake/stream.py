"""One upload as the data channel sees it: buffers to fill, an end, and a way to give up.

All methods are called from one thread (the event loop's) and none of them blocks. The storage
work runs in the pool (:mod:`~securedrop_ftp.intake.pipeline`), and so does the end
(:mod:`~securedrop_ftp.intake.ending`), which outlives data channel and session: once
:attr:`UploadStream.publishing` is true there is no way back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from securedrop_ftp.exceptions import LeaseLost, SecureDropError, TooLarge
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.buffers import PartBuffer
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.durable import length_of
from securedrop_ftp.intake.ending import Ending, may_suspend
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.pipeline import FullPart, Pipeline, resolve
from securedrop_ftp.intake.receipt import Receipt, Sent


class UploadStream:
    """See the module's docstring.

    Attributes:
        upload_id: of the ledger row.
        received: length of the file so far, bytes; a resumed one begins at its join offset.
        on_ready: called from any thread when :meth:`buffer` is worth asking again, and when
            :attr:`error` was set.
        error: why the upload cannot succeed any more; the caller then cancels with it.
    """

    def __init__(self, attempt: Attempt, context: IntakeContext) -> None:
        self.attempt = attempt
        self.upload_id = str(attempt.upload_id)
        self.received = length_of(attempt.parts)
        self._limit = attempt.limit  # bytes; may be lowered while it runs
        self.on_ready: Callable[[], None] | None = None
        self.error: SecureDropError | None = None
        self._context = context
        self._current: PartBuffer | None = None
        self._number = len(attempt.parts)
        self._rest_of_part = 0  # of a part that goes over the disk in pieces
        self._closed = False  # no further bytes are taken
        self._held = 0  # part buffers in memory
        self._starved = False
        self._lock = threading.Lock()
        self._receipt: Future[Receipt] = Future()
        self._settled: Future[None] = Future()
        self.pipeline = Pipeline(
            attempt,
            self,
            submit=partial(context.submit, attempt.request.principal.partner),
            book=context.ledger,
            final=self._final,
            spool=context.conf.spool,
            space=context.space,
        )
        self._ending = Ending(attempt, self.pipeline, context)

    @property
    def claim(self) -> Claim:
        """The ledger row and the epoch that this upload writes under."""
        return self.pipeline.claim

    @property
    def publishing(self) -> bool:
        """The publishing step has begun: nothing can stop it."""
        return self._ending.publishing

    # --- receiving -------------------------------------------------------------------

    def buffer(self) -> memoryview | None:
        """The writable rest of the current part's buffer, never empty. ``None``: stop reading
        the socket until :attr:`on_ready`."""
        if self._closed or self.error is not None:
            return None
        current = self._current
        if current is None:
            current = self._new_part()
            if current is None:
                return None
        room = current.room()
        if room is None:
            # A first part that is held back for want of a second must not hold the memory.
            if current.filled == 0 and self._number > 1:
                self.pipeline.expect_more()
            return None
        limit = self._limit
        if limit is not None and len(room) > limit - self.received + 1:
            return room[: limit - self.received + 1]  # one byte too many tells
        return room

    def filled(self, count: int) -> None:
        """``count`` bytes were written at the start of the last :meth:`buffer`."""
        current = self._current
        assert current is not None
        assert not self._closed
        if current.filled == 0 and self._number > 1:
            self.pipeline.expect_more()
        current.filled += count
        self.received += count
        limit = self._limit
        if limit is not None and self.received > limit:
            self._set_error(_too_large(limit))
        elif current.full:
            self._hand_over(current)

    def narrow(self, limit: int | None) -> None:
        """The account's limit was changed: a lower one holds for this upload as well."""
        if limit is None or (self._limit is not None and self._limit <= limit):
            return
        self._limit = limit
        if self.received > limit and not self._closed:
            self._set_error(_too_large(limit))
            self._wake()

    def _new_part(self) -> PartBuffer | None:
        sizes = self.attempt.sizes
        size = self._rest_of_part or sizes.at(self.received)
        spooled = self._rest_of_part > 0 or sizes.is_spooled(size)
        in_memory = min(size, sizes.piece) if spooled else size
        if not self._rest_of_part and self._number >= sizes.max_parts:
            self._set_error(TooLarge("more parts than storage takes"))
            return None
        with self._lock:
            starved = self._held >= sizes.buffers(in_memory)
            if starved:
                self._starved = True
            else:
                self._held += 1
        if starved:
            self.pipeline.expect_more()
            return None
        if not self._rest_of_part:
            self._number += 1
            if spooled:
                self._rest_of_part = size
        self._current = PartBuffer(
            self._context.budget, self.attempt.request.principal.partner, in_memory, self._wake
        )
        return self._current

    def _hand_over(self, current: PartBuffer, *, at_end: bool = False) -> None:
        self._current = None
        spooled = self._rest_of_part > 0
        if spooled:
            self._rest_of_part -= current.filled
        self.pipeline.add(
            FullPart(
                self._number,
                self.received - current.filled,
                current,
                piece=spooled,
                whole=at_end or not self._rest_of_part,
            )
        )

    def _drop_current(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current.release()

    # --- the end ---------------------------------------------------------------------

    def finish(self, sent: Sent | None = None) -> Future[Receipt]:
        """The client ended the file cleanly (close_notify seen). The future's exception is a
        :class:`SecureDropError`; by then the ledger and the audit row are written. ``sent``: what
        came, where something else was made of it."""
        if self._closed:
            return self._receipt
        if self.error is not None:
            self.cancel(self.error)
            return self._receipt
        self._closed = True
        self._ending.sent = sent
        current = self._current
        if current is not None and current.filled:
            self._hand_over(current, at_end=True)
        else:
            self._drop_current()
        self.pipeline.end()
        return self._receipt

    def cancel(self, cause: SecureDropError) -> Future[None]:
        """Give up: truncated, ABOR, a lost session, a limit. Before the publishing step the
        upload is suspended (where its backend can hold parts and whole ones exist) or aborted;
        after it this waits like everyone else. May be called at any time, repeatedly."""
        self._closed = True
        self._drop_current()
        cause = self.error or cause
        self.pipeline.stop(cause, discard=not may_suspend(self.attempt, cause))
        return self._settled

    def lose(self) -> None:
        """Another session took the upload over. From any thread."""
        self.pipeline.abandon(LeaseLost())

    # --- told by the pipeline, from any thread -----------------------------------------

    def buffer_freed(self) -> None:
        """A part buffer was given back."""
        with self._lock:
            self._held -= 1
            starved, self._starved = self._starved, False
        if starved:
            self._wake()

    def failed(self, cause: SecureDropError) -> None:
        """Storage failed, or the lease is lost."""
        self._set_error(cause)
        self._wake()

    def _set_error(self, cause: SecureDropError) -> None:
        if self.error is None:
            self.error = cause

    def _wake(self) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()

    def _final(self) -> None:
        """The upload's last job, in the pool."""
        receipt: Receipt | None = None
        failure: BaseException | None = None
        try:
            receipt = self._ending.run(self.received)
        except Exception as exc:
            failure = exc
        finally:
            self._context.live.remove(self)
            resolve(self._receipt, receipt, failure)
            resolve(self._settled, None, None)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"more than {limit} bytes", limit=limit)
