"""How an upload ends: verified, published, committed; or suspended; or aborted.

The order is the write-ahead rule (invariants 1, 2 and 10):

1. sizes and parts are verified against what was received;
2. the ledger says ``publishing`` (with the parts, the size and the digest);
3. storage publishes;
4. the ledger says ``committed``, with the audit row, in one transaction;
5. only then is anybody told.

A publishing call without an answer leaves the row at 2: the client is told that the outcome is
pending, and recovery asks storage for our upload id. A failure of which the outcome is known
ends in one audit row, ``upload.suspended`` or ``upload.aborted``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.db.models import Q

from securedrop_ftp import clock
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
from securedrop_ftp.intake import ledger
from securedrop_ftp.intake.attempt import Attempt, Unconfirmed, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.durable import durable_parts, length_of
from securedrop_ftp.intake.held import forget_parts
from securedrop_ftp.intake.pipeline import Pipeline, as_known
from securedrop_ftp.intake.readback import digest_of
from securedrop_ftp.intake.receipt import Receipt, Sent
from securedrop_ftp.intake.space import disks_of
from securedrop_ftp.intake.steps import step
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Permission, UploadState
from securedrop_ftp.storage.protocol import Part, Published

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
    return (
        attempt.backend.capabilities.resumable
        and not attempt.request.converted
        and attempt.request.principal.may(Permission.RESUME)
        and not isinstance(cause, _NEVER_SUSPEND)
    )


class Ending:
    """The last job of one upload; runs in the pool and may block."""

    def __init__(self, attempt: Attempt, pipeline: Pipeline, context: IntakeContext) -> None:
        self._attempt = attempt
        self._pipeline = pipeline
        self._context = context
        self._book = context.ledger
        self._claim = pipeline.claim
        self.publishing = False
        self.sent: Sent | None = None  # what came, where it was converted

    def run(self, received: int) -> Receipt:
        """Publish, or settle what cannot be published.

        Raises:
            SecureDropError: why there is no receipt; the ledger and the audit row say so too
                (for an unknown outcome, and while the database is away, they will).
        """
        cause = self._pipeline.decide()
        try:
            if cause is not None:
                raise cause
            self.publishing = True
            return self._publish(received)
        except OutcomeUnknown:
            raise  # recovery settles it, or the next attempt
        except LeaseLost:
            self._leave_to_the_winner()
            raise
        except Exception as exc:
            known = as_known(exc)
            if exc is not known:
                logger.error("upload failed", exc_info=exc)
            if is_full(exc) and not isinstance(known, StorageFull):  # the database's disk
                known = StorageFull(reason_of(known))
            if isinstance(known, NotFound):  # of parts; the client's path is not meant
                known = StorageError("storage does not hold its parts any more")
            if not self._settle(known, received):
                known = LeaseLost()
            if known is exc:
                raise
            raise known from exc
        finally:
            if self._pipeline.single is not None:
                self._pipeline.single.buffer.release()

    # --- publishing ------------------------------------------------------------------

    def _publish(self, size: int) -> Receipt:
        pipeline = self._pipeline
        parts = [] if pipeline.partial is None else pipeline.parts
        self._verify(parts, size)
        sha256 = pipeline.digest.hexdigest() if pipeline.digest else ""
        earlier = self._answered_already(size, sha256)
        if earlier is not None:
            return self._answer(earlier)
        single = pipeline.single
        self._context.space.refuse(self._attempt.backend, single.size if single else 0)
        step("publishing.before")
        self._mark_publishing(parts, size, sha256)
        step("publishing.after")
        published = self._call_storage(parts, size, sha256)
        try:
            return self._confirm(published, size, sha256)
        except (LeaseLost, OutcomeUnknown):
            raise
        except Exception as exc:  # it is published: never "nothing was stored"
            raise self._pending(exc) from exc

    def _confirm(self, published: Published, size: int, sha256: str) -> Receipt:
        attempt = self._attempt
        step("commit.after")
        if published.size != size:
            raise VerificationFailed(f"storage has {published.size} bytes of {size} received")
        receipt = Receipt(
            size=size,
            sha256=sha256 or digest_of(attempt.backend, published.key, size),
            path=attempt.path,
            key=attempt.key,
            version_of=attempt.version_of,
            joined_at=attempt.joined_at,
            sent=self.sent,
        )
        self._mark_committed(receipt, self._echo_until() if published.may_land_again else None)
        step("committed.after")
        return receipt

    def _verify(self, parts: list[Part], size: int) -> None:
        single = self._pipeline.single
        have = length_of(parts) + (single.size if single else 0)
        if have != size:
            raise VerificationFailed(f"{size} bytes were received, {have} are in storage")

    def _mark_publishing(self, parts: list[Part], size: int, sha256: str) -> None:
        marked = self._book.run(
            partial(
                ledger.mark_publishing,
                self._claim,
                parts,
                size=size,
                sha256=sha256,
                digest_source=self._attempt.digest_source,
                sealed=self._pipeline.sealed(),
                lease_until=self._book.lease_end(),
                sent=self.sent,
            )
        )
        if not marked:
            raise LeaseLost

    def _call_storage(self, parts: list[Part], size: int, sha256: str) -> Published:
        attempt, pipeline = self._attempt, self._pipeline
        try:
            if pipeline.partial is not None:
                return attempt.backend.commit(
                    pipeline.partial, parts, size=size, sha256=sha256, replace=attempt.replace
                )
            data = pipeline.single.buffer.content if pipeline.single else memoryview(b"")
            return attempt.backend.put_object(
                attempt.spec, data, sha256=sha256, replace=attempt.replace
            )
        except OutcomeUnknown as exc:
            raise self._pending(exc) from exc
        except StorageError:
            raise  # known: nothing was changed
        except Exception as exc:
            logger.error("the publishing call failed unexpectedly", exc_info=exc)
            raise self._pending(exc) from exc

    def _pending(self, cause: Exception) -> OutcomeUnknown:
        """The row stays ``publishing``; whoever comes first may settle it."""
        logger.warning("outcome pending", upload_id=str(self._claim.upload_id), cause=str(cause))
        unknown = OutcomeUnknown(str(cause))
        told = self._attempt.request.door.refused(unknown)
        self._context.unsettled.leave(partial(ledger.expire_lease, self._claim, told))
        return unknown

    def _echo_until(self) -> datetime:
        return clock.now() + timedelta(seconds=self._context.conf.storage_timeout)

    def _mark_committed(self, receipt: Receipt, echo_until: datetime | None) -> None:
        attempt = self._attempt
        event = self._committed_event(receipt)
        principal = attempt.request.principal
        replaces = (
            Q(
                account_id=principal.account_id,
                storage=principal.storage,
                path=attempt.request.path,
            )
            if attempt.supersedes
            else None
        )
        job = partial(
            ledger.mark_committed,
            self._claim,
            event,
            supersedes=replaces,
            echo_until=echo_until,
        )
        try:
            replaced = self._book.run(job)
        except LedgerUnavailable as exc:
            # The object is there and the ledger does not say so yet: it will.
            self._context.unsettled.leave(
                partial(
                    ledger.mark_committed,
                    self._claim,
                    event.but(
                        reply=attempt.request.door.refused(OutcomeUnknown()),
                        event_id=event.event_id,
                    ),
                    unconfirmed=True,
                    supersedes=replaces,
                    echo_until=echo_until,
                )
            )
            raise OutcomeUnknown(reason_of(exc)) from exc
        if replaced is None and not self._settled_as_committed():
            raise LeaseLost
        for row in replaced or ():
            forget_parts(row, attempt.backend)

    def _settled_as_committed(self) -> bool:
        """Somebody settled our row before us (our lease had run out): was it published?"""
        return self._state() == UploadState.COMMITTED

    def _state(self) -> str | None:
        return self._book.run(partial(ledger.state_of, self._claim.upload_id))

    def _details(self) -> dict[str, Any] | None:
        return self.sent.details if self.sent is not None else None

    def _committed_event(self, receipt: Receipt) -> Event:
        reasons = []
        if receipt.version_of:
            reasons.append(f"stored as a version of {receipt.version_of}")
        if receipt.joined_at is not None:
            reasons.append(f"joined at {receipt.joined_at}")
        return self._attempt.actor.event(
            "upload.committed",
            outcome="success",
            size=receipt.size,
            sha256=receipt.sha256,
            reason="; ".join(reasons),
            reply=self._attempt.request.door.stored(receipt),
        ).but(details=self._details())

    # --- a retry whose first attempt was stored after all --------------------------------

    def _answered_already(self, size: int, sha256: str) -> Unconfirmed | None:
        for earlier in self._attempt.unconfirmed:
            if sha256 and (earlier.size, earlier.sha256) == (size, sha256):
                found = self._attempt.backend.find_published(earlier.key, earlier.upload_id)
                if found is not None and found.size == size:
                    return earlier
        return None

    def _answer(self, earlier: Unconfirmed) -> Receipt:
        """The ledger has the answer: the bytes are there, put by an attempt whose client never
        knew."""
        attempt = self._attempt
        path = f"{attempt.path.rpartition('/')[0]}/{earlier.key.rpartition('/')[2]}"
        receipt = Receipt(
            size=earlier.size,
            sha256=earlier.sha256,
            path=path,
            key=earlier.key,
            version_of=attempt.request.path if path != attempt.request.path else "",
            already_stored=True,
            sent=self.sent,
        )
        event = attempt.actor.event(
            "upload.committed",
            outcome="success",
            size=receipt.size,
            sha256=receipt.sha256,
            reason=f"stored already by upload {earlier.upload_id}",
            reply=attempt.request.door.stored(receipt),
        ).but(details=self._details())
        if not self._book.run(
            partial(ledger.answer_from, self._claim, event, earlier.upload_id, earlier.key)
        ):
            raise LeaseLost
        self._abort_parts()
        return receipt

    # --- ending badly ----------------------------------------------------------------

    def _settle(self, cause: SecureDropError, received: int) -> bool:
        """One audit row: suspended where whole parts are kept, else aborted. False: another
        session took the upload over, and has written it."""
        parts = self._pipeline.parts
        actor = self._attempt.actor
        keep = (
            self._pipeline.partial is not None
            and may_suspend(self._attempt, cause)
            and bool(durable_parts(parts, received))
        )
        step("suspend.before" if keep else "abort.before")
        event = actor.event(
            "upload.suspended" if keep else "upload.aborted",
            size=received,
            reason=reason_of(cause),
            reply=self._attempt.request.door.refused(cause),
        )
        if keep:
            job = partial(
                ledger.mark_suspended,
                self._claim,
                event,
                parts,
                received=received,
                states=self._pipeline.states(parts),
                sealed=self._pipeline.sealed(),
            )
        else:
            job = partial(ledger.mark_aborted, self._claim, event)
        if isinstance(cause, StorageFull) and disks_of(self._attempt.backend):
            self._abort_parts()  # first: the ledger may have no room before
        try:
            ours = self._book.run(job)
        except LedgerUnavailable:
            self._context.unsettled.leave(job)
            ours = True
        step("suspend.after" if keep else "abort.after")
        if ours and not keep:
            self._abort_parts()
        return ours

    def _leave_to_the_winner(self) -> None:
        """Another session ended our row, with its audit row. Parts that it did not keep, and
        may not even have known of, go; others are its own now."""
        try:
            if self._state() == UploadState.ABORTED:
                self._abort_parts()
        except LedgerUnavailable as exc:
            logger.warning("parts are left for the sweep", exc_info=exc)

    def _abort_parts(self) -> None:
        """Let storage forget the parts; what stays behind is swept later."""
        if self._pipeline.partial is None:
            return
        try:
            self._attempt.backend.abort(self._pipeline.partial)
        except Exception as exc:
            logger.warning("parts are left for the sweep", exc_info=exc)
