"""How an upload ends: published (:mod:`~securedrop_ftp.intake.publishing`), suspended or aborted.

A failure of which the outcome is known ends in one audit row, ``upload.suspended`` or
``upload.aborted``. What another session has taken over is that session's to write down.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from securedrop_ftp.disk import is_full
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    Exists,
    LeaseLost,
    LedgerUnavailable,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageError,
    StorageFull,
    TooLarge,
    UploadRejected,
    VerificationFailed,
)
from securedrop_ftp.intake import ledger, moves
from securedrop_ftp.intake.attempt import Attempt, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.durable import durable_parts
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.part_writer import FullPart
from securedrop_ftp.intake.phases import Parts, Phase, Story, Trigger
from securedrop_ftp.intake.pipeline import as_known
from securedrop_ftp.intake.publishing import Publication
from securedrop_ftp.intake.receipt import Receipt, Sent
from securedrop_ftp.intake.recording import Recording
from securedrop_ftp.intake.space import disks_of
from securedrop_ftp.intake.steps import step
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import UploadState
from securedrop_ftp.storage.protocol import Part

logger = get_logger(__name__)

#: Causes after which going on later makes no sense.
_NEVER_SUSPEND: Final = (
    TooLarge,
    UploadRejected,
    LeaseLost,
    VerificationFailed,
    Exists,
    StorageFull,  # parts that are kept would keep the disk full, for everybody
)


def may_suspend(attempt: Attempt, cause: SecureDropError) -> bool:
    """Whether whole parts are kept for the client to go on with."""
    return attempt.terms.keeps_parts and not isinstance(cause, _NEVER_SUSPEND)


def failure_of(exc: Exception) -> SecureDropError:
    """What row and client are told of it where nothing was published."""
    known = as_known(exc)
    if known is not exc:
        logger.error("upload.internal_error", exc_info=exc)
    match known:
        case StorageFull():
            return known
        case _ if is_full(exc):  # the database's disk
            return StorageFull(reason_of(known))
        case NotFound():  # of parts; the client's path is not meant
            return StorageError("storage does not hold its parts any more")
        case OutcomeUnknown():  # of a part
            return StorageError(str(known))
    return known


class Ending:
    """The last job of one upload; runs in the pool and may block.

    Attributes:
        sent: what came, where it was converted; set before the end is asked for.
    """

    def __init__(
        self, attempt: Attempt, story: Story, recording: Recording, context: IntakeContext
    ) -> None:
        self.sent: Sent | None = None
        self._attempt = attempt
        self._story = story
        self._recording = recording
        self._context = context
        self._book = context.ledger
        self._claim = Claim(attempt.upload_id, attempt.epoch)

    def run(self, received: int, single: FullPart | None) -> Receipt:
        """Publish ``received`` bytes (``single``: the only part of a small file), or settle what
        cannot be published.

        Raises:
            SecureDropError: why there is no receipt; the ledger and the audit row say so too
                (for an unknown outcome, and while the database is away, they will).
        """
        self._story.move(Trigger.DECIDE)
        try:
            if self._story.cause is not None:
                raise self._story.cause
            return self._publication(received, single).run()
        except Exception as exc:
            known = self._settled(exc, received)
            if known is exc:
                raise
            raise known from exc
        finally:
            if single is not None:
                single.buffer.release()

    def _publication(self, received: int, single: FullPart | None) -> Publication:
        return Publication(
            self._attempt,
            self._story,
            self._recording,
            self._context,
            size=received,
            single=single,
            sent=self.sent,
        )

    # --- ending badly ----------------------------------------------------------------

    def _settled(self, exc: Exception, received: int) -> SecureDropError:
        """Write down how it failed; what the client is told."""
        if self._story.phase is Phase.PENDING:
            return as_known(exc)  # recovery settles it, or the next attempt
        if isinstance(exc, LeaseLost):
            self._leave_to_the_winner()
            return exc
        cause = failure_of(exc)
        if self._story.phase is not Phase.SETTLING:
            self._story.move(Trigger.UNDO, cause)
        if not self._settle(cause, received):
            self._story.move(Trigger.LOSE)
            return LeaseLost()
        return cause

    def _settle(self, cause: SecureDropError, received: int) -> bool:
        """One audit row: suspended where whole parts are kept, else aborted. False: another
        session took the upload over, and has written it."""
        parts = self._recording.parts
        keep = (
            self._recording.partial is not None
            and may_suspend(self._attempt, cause)
            and bool(durable_parts(parts, received))
        )
        job = self._suspend(cause, received, parts) if keep else self._abort(cause, received)
        step("suspend.before" if keep else "abort.before")
        if isinstance(cause, StorageFull) and disks_of(self._attempt.backend):
            self._recording.forget_parts()  # first: the ledger may have no room before
        try:
            ours = self._book.run(job)
        except LedgerUnavailable:
            self._context.unsettled.leave(job)
            ours = True
        step("suspend.after" if keep else "abort.after")
        if not ours:
            return False
        if self._story.move(Trigger.SUSPEND if keep else Trigger.ABORT).parts is Parts.FORGET:
            self._recording.forget_parts()
        return True

    def _suspend(self, cause: SecureDropError, received: int, parts: list[Part]) -> partial[bool]:
        return partial(
            moves.mark_suspended,
            self._claim,
            self._event("upload.suspended", cause, received),
            parts,
            received=received,
            states=self._recording.midstates(parts),
            sealed=self._recording.sealed(),
        )

    def _abort(self, cause: SecureDropError, received: int) -> partial[bool]:
        event = self._event("upload.aborted", cause, received)
        return partial(moves.mark_aborted, self._claim, event)

    def _event(self, name: str, cause: SecureDropError, received: int) -> Event:
        return self._attempt.actor.event(
            name,
            size=received,
            reason=reason_of(cause),
            reply=self._attempt.request.door.refused(cause),
        )

    def _leave_to_the_winner(self) -> None:
        """Another session ended our row, with its audit row. Parts that it did not keep, and
        may not even have known of, go; others are its own now."""
        self._story.move(Trigger.LOSE)
        try:
            state = self._book.run(partial(ledger.state_of, self._claim.upload_id))
        except LedgerUnavailable as exc:
            logger.warning("upload.parts_left", upload_id=str(self._claim.upload_id), exc_info=exc)
            return
        if state == UploadState.ABORTED:
            self._recording.forget_parts()
