"""One upload as the data channel sees it: buffers to fill, an end, and a way to give up.

All methods are called from one thread (the event loop's) and none of them blocks. The storage
work runs in the pool (:mod:`~securedrop_ftp.intake.pipeline`), and so does the end
(:mod:`~securedrop_ftp.intake.ending`), which outlives data channel and session. What the upload
may still do follows from its phase (:mod:`~securedrop_ftp.intake.phases`): once its ending has
begun there is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from securedrop_ftp.exceptions import LeaseLost, SecureDropError, TooLarge, forget_frames
from securedrop_ftp.intake.attempt import Attempt
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.ending import Ending, may_suspend
from securedrop_ftp.intake.filling import Filling
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.part_writer import DirectWriter, PartWriter
from securedrop_ftp.intake.phases import OPEN, Phase, Story, Trigger
from securedrop_ftp.intake.pipeline import Pipeline
from securedrop_ftp.intake.receipt import Receipt, Sent
from securedrop_ftp.intake.recording import Recording
from securedrop_ftp.intake.spool import SpoolingWriter


class UploadStream:
    """See the module's docstring.

    Attributes:
        upload_id: of the ledger row.
        claim: the row and the epoch that this upload writes under.
        on_ready: called from any thread when :meth:`buffer` is worth asking again, and when
            :attr:`error` was set.
    """

    def __init__(self, attempt: Attempt, context: IntakeContext) -> None:
        self.attempt = attempt
        self.upload_id = str(attempt.upload_id)
        self.claim = Claim(attempt.upload_id, attempt.epoch)
        self.on_ready: Callable[[], None] | None = None
        self._story = Story()
        self._limit = attempt.terms.limit  # bytes; may be lowered while it runs
        self._live = context.live
        self._receipt: Future[Receipt] = Future()
        self._settled: Future[None] = Future()
        self._told = told = _Told(self)
        recording = Recording(attempt, context.ledger, told.lose)
        self.pipeline = Pipeline(
            attempt,
            self._story,
            told,
            submit=partial(context.submit, attempt.request.principal.partner),
            recording=recording,
            writer=_writer(attempt, context),
            final=self._final,
        )
        self._filling = Filling(attempt, context.budget, self.pipeline, told.failed)
        self._ending = Ending(attempt, self._story, recording, context)

    @property
    def received(self) -> int:
        """Length of the file so far, bytes; a resumed one begins at its join offset."""
        return self._filling.received

    @property
    def error(self) -> SecureDropError | None:
        """Why the upload cannot succeed any more; the caller then cancels with it."""
        return self._story.cause

    # --- receiving -------------------------------------------------------------------

    def buffer(self) -> memoryview | None:
        """The writable rest of the current part's buffer, never empty. ``None``: stop reading
        the socket until :attr:`on_ready`."""
        if self._story.phase is not Phase.RECEIVING:
            return None
        try:
            room = self._filling.room()
        except TooLarge as exc:
            self.pipeline.move(Trigger.FAIL, exc)
            return None
        limit = self._limit
        if room is not None and limit is not None and len(room) > limit - self.received + 1:
            return room[: limit - self.received + 1]  # one byte too many tells
        return room

    def filled(self, count: int) -> None:
        """``count`` bytes were written at the start of the last :meth:`buffer`."""
        self._filling.filled(count)
        limit = self._limit
        if limit is not None and self.received > limit:
            self.pipeline.move(Trigger.FAIL, _too_large(limit))
        else:
            self._filling.hand_over_if_full()

    def narrow(self, limit: int | None) -> None:
        """The account's limit was changed: a lower one holds for this upload as well."""
        if limit is None or (self._limit is not None and self._limit <= limit):
            return
        self._limit = limit
        if self.received > limit and self._story.phase in OPEN:
            self.pipeline.abandon(_too_large(limit))

    # --- the end ---------------------------------------------------------------------

    def finish(self, sent: Sent | None = None) -> Future[Receipt]:
        """The client ended the file cleanly (close_notify seen). The future's exception is a
        :class:`SecureDropError`; by then the ledger and the audit row are written. ``sent``: what
        came, where something else was made of it."""
        if self._story.phase in OPEN:
            self._ending.sent = sent
            self._filling.hand_over_rest()
            self.pipeline.move(Trigger.FINISH)
        return self._receipt

    def cancel(self, cause: SecureDropError) -> Future[None]:
        """Give up: truncated, ABOR, a lost session, a limit. Before the ending decides, the
        upload is suspended (where its backend can hold parts and whole ones exist) or aborted;
        after it this waits like everyone else. May be called at any time, repeatedly."""
        self._filling.drop()
        keep = may_suspend(self.attempt, self.error or cause)
        self.pipeline.move(Trigger.BREAK_OFF if keep else Trigger.GIVE_UP, cause)
        return self._settled

    def lose(self) -> None:
        """Another session took the upload over. From any thread."""
        self.pipeline.abandon(LeaseLost())

    # --- told by the pipeline, from any thread -----------------------------------------

    def buffer_freed(self) -> None:
        """A part buffer was given back."""
        self._filling.buffer_freed()

    def failed(self) -> None:
        """Storage failed, or the lease is lost."""
        self._wake()

    def _wake(self) -> None:
        ready = self.on_ready
        if ready is not None:
            ready()

    def _final(self) -> None:
        """The upload's last job, in the pool."""
        receipt: Receipt | None = None
        failure: BaseException | None = None
        try:
            receipt = self._ending.run(self.received, self.pipeline.single)
        except Exception as exc:
            failure = forget_frames(exc)
        finally:
            self._live.remove(self)
            self._told.forget()
            _resolve(self._receipt, receipt, failure)
            _resolve(self._settled, None, None)


class _Told:
    """What the parts of an upload tell it, until it has ended: after that they hold nothing of it,
    so that all of them are freed at once."""

    def __init__(self, stream: UploadStream) -> None:
        self._stream: UploadStream | None = stream

    def forget(self) -> None:
        """The upload has ended."""
        self._stream = None

    def buffer_freed(self) -> None:
        """A part buffer was given back."""
        if (stream := self._stream) is not None:
            stream.buffer_freed()

    def failed(self) -> None:
        """Storage failed, or the lease is lost; or there is room again."""
        if (stream := self._stream) is not None:
            stream.failed()

    def lose(self) -> None:
        """Another session took the upload over."""
        if (stream := self._stream) is not None:
            stream.lose()


def _writer(attempt: Attempt, context: IntakeContext) -> PartWriter:
    direct = DirectWriter(attempt.backend, context.space)
    if not context.conf.disk_spool:
        return direct
    return SpoolingWriter(direct, context.conf.spool, context.space)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"more than {limit} bytes", limit=limit)


def _resolve(future: Future[Any], result: Any, error: BaseException | None) -> None:
    """Set a future that several may set; the first counts."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
