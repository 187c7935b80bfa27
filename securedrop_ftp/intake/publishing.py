"""How an upload that came whole becomes an object.

The order is the write-ahead rule (invariants 1, 2 and 10):

1. sizes and parts are verified against what was received;
2. the ledger says ``publishing`` (with the parts, the size and the digest);
3. storage publishes;
4. the ledger says ``committed``, with the audit row, in one transaction;
5. only then is anybody told.

A publishing call without an answer leaves the row at 2: the client is told that the outcome is
pending, and recovery asks storage for our upload id.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Q

from securedrop_ftp import clock
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    AppendedFileChanged,
    LeaseLost,
    LedgerUnavailable,
    NotFound,
    OutcomeUnknown,
    StorageError,
    VerificationFailed,
)
from securedrop_ftp.intake import ledger, moves
from securedrop_ftp.intake.attempt import Attempt, Base, Unconfirmed, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.durable import length_of, pack_states
from securedrop_ftp.intake.held import forget_parts
from securedrop_ftp.intake.kept_directories import root_of
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.nesting import refuse_nested
from securedrop_ftp.intake.part_writer import FullPart
from securedrop_ftp.intake.phases import Phase, Story, Trigger
from securedrop_ftp.intake.readback import digest_of
from securedrop_ftp.intake.receipt import Receipt, Sent
from securedrop_ftp.intake.recording import Recording
from securedrop_ftp.intake.steps import step
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.storage.protocol import Part, Published

logger = get_logger(__name__)


class Publication:
    """Of one upload; runs in the pool and may block.

    Args:
        size: bytes that were received.
        single: the only part of a small file; ``None`` where storage has the parts, or the file is
            empty.
        sent: what came, where it was converted.
    """

    def __init__(
        self,
        attempt: Attempt,
        story: Story,
        recording: Recording,
        context: IntakeContext,
        *,
        size: int,
        single: FullPart | None,
        sent: Sent | None,
    ) -> None:
        self._attempt = attempt
        self._story = story
        self._recording = recording
        self._context = context
        self._book = context.ledger
        self._claim = Claim(attempt.upload_id, attempt.epoch)
        self._size = size
        self._single = single
        self._sent = sent
        self._replaces = attempt.terms.replace

    def run(self) -> Receipt:
        """Publish it, or find that an earlier attempt has.

        Raises:
            OutcomeUnknown: the story is ``pending``; the row stays ``publishing``.
            LeaseLost: another session, or recovery, has the row.
            SecureDropError: nothing was published.
        """
        parts = [] if self._recording.partial is None else self._recording.parts
        self._verify(parts)
        self._verify_base()
        digest = self._attempt.digest
        sha256 = digest.hexdigest() if digest is not None else ""
        earlier = self._stored_already(sha256)
        if earlier is not None:
            return self._answer(earlier)
        more = self._single.size if self._single is not None else 0
        self._context.space.refuse(self._attempt.backend, more)
        step("publishing.before")
        self._write_ahead(parts, sha256)
        step("publishing.after")
        refuse_nested(self._name, self._claim.upload_id, self._attempt.backend)
        published = self._call_storage(parts, sha256)
        try:
            return self._confirm(published, sha256)
        except LeaseLost:
            raise
        except Exception as exc:  # it is published: never "nothing was stored"
            if self._story.phase is Phase.PENDING:
                raise
            raise self._pending(exc) from exc

    def _verify(self, parts: list[Part]) -> None:
        have = length_of(parts) + (self._single.size if self._single is not None else 0)
        if have != self._size:
            raise VerificationFailed(f"{self._size} bytes were received, {have} are in storage")

    def _verify_base(self) -> None:
        """What is appended to is still the very object; of our own writers the ledger tells."""
        base = self._attempt.base
        if base is None:
            return
        try:
            now = self._attempt.backend.stat(base.entry.key)
        except NotFound:
            raise AppendedFileChanged from None
        if (now.etag, now.size, now.modified) != (
            base.entry.etag,
            base.entry.size,
            base.entry.modified,
        ):
            raise AppendedFileChanged

    def _write_ahead(self, parts: list[Part], sha256: str) -> None:
        mark = partial(
            moves.mark_publishing,
            self._claim,
            parts,
            name=self._name,
            size=self._size,
            sha256=sha256,
            digest_source=self._attempt.digest_source,
            sealed=self._recording.sealed(),
            lease_until=self._book.lease_end(),
            sent=self._sent,
        )
        job = partial(self._mark_own, mark) if self._attempt.terms.replace_own else mark
        if self._attempt.base is not None:
            job = partial(self._mark_appended, job, self._attempt.base)
        if not self._book.run(job):
            raise LeaseLost
        self._story.move(Trigger.WRITE_AHEAD)

    def _mark_own(self, mark: Callable[[], bool]) -> bool:
        """A job, for who may replace its own alone: it is judged by who has the name now."""
        marked = mark()
        if marked:
            account = self._attempt.request.principal.account_id
            self._replaces = moves.decide_replacing(self._claim, self._name, account)
        return marked

    def _mark_appended(self, mark: Callable[[], bool], base: Base) -> bool:
        """A job, for what is appended to the file that has the name now."""
        marked = mark()
        if marked:
            moves.refuse_changed(self._name, base.upload_id)
        return marked

    # --- storage -----------------------------------------------------------------------

    def _call_storage(self, parts: list[Part], sha256: str) -> Published:
        try:
            if self._recording.partial is None:
                return self._put_whole(sha256)
            return self._attempt.backend.commit(
                self._recording.partial,
                parts,
                size=self._size,
                sha256=sha256,
                replace=self._replaces,
            )
        except OutcomeUnknown as exc:
            raise self._pending(exc) from exc
        except StorageError:
            raise  # known: nothing was changed
        except Exception as exc:
            logger.error("upload.publishing_failed", exc_info=exc)
            raise self._pending(exc) from exc

    def _put_whole(self, sha256: str) -> Published:
        """A file of one part, or an empty one."""
        data = self._single.buffer.content if self._single is not None else memoryview(b"")
        attempt = self._attempt
        return attempt.backend.put_object(attempt.spec, data, sha256=sha256, replace=self._replaces)

    def _pending(self, cause: Exception) -> OutcomeUnknown:
        """The row stays ``publishing``; whoever comes first may settle it."""
        self._story.move(Trigger.LOSE_TOUCH)
        logger.warning("upload.pending", upload_id=str(self._claim.upload_id), cause=str(cause))
        unknown = OutcomeUnknown(str(cause))
        told = self._attempt.request.door.refused(unknown)
        self._context.unsettled.leave(partial(moves.expire_lease, self._claim, told))
        return unknown

    # --- the commit --------------------------------------------------------------------

    def _confirm(self, published: Published, sha256: str) -> Receipt:
        attempt = self._attempt
        step("commit.after")
        if published.size != self._size:
            raise VerificationFailed(f"storage has {published.size} bytes of {self._size} received")
        receipt = Receipt(
            size=self._size,
            sha256=sha256 or digest_of(attempt.backend, published.key, self._size),
            path=attempt.path,
            key=attempt.key,
            version_of=attempt.version_of,
            joined_at=attempt.joined_at if attempt.base is None else None,
            appended_at=attempt.joined_at if attempt.base is not None else None,
            sent=self._sent,
        )
        self._commit(receipt, self._taken_until() if published.may_land_again else None)
        step("committed.after")
        self._story.move(Trigger.COMMIT)
        return receipt

    def _taken_until(self) -> datetime:
        return clock.now() + timedelta(seconds=self._context.conf.storage_timeout)

    def _commit(self, receipt: Receipt, taken_until: datetime | None) -> None:
        event = self._committed_event(receipt, _reasons(receipt))
        superseded = self._superseded()
        job = partial(
            moves.mark_committed,
            self._claim,
            event,
            name=self._name,
            supersedes=superseded,
            taken_until=taken_until,
            states=self._end_state(),
        )
        replaced: list[Upload] | None = []
        try:
            replaced = self._book.run(job)
        except LedgerUnavailable as exc:
            if not self._reached_the_ledger():
                # The object is there and the ledger does not say so yet: it will.
                self._story.move(Trigger.LOSE_TOUCH)
                told = self._attempt.request.door.refused(OutcomeUnknown())
                later = partial(
                    moves.settle_committed,
                    self._claim,
                    event.but(reply=told, event_id=event.event_id),
                    name=self._name,
                    supersedes=superseded,
                    taken_until=taken_until,
                    states=self._end_state(),
                )
                self._context.unsettled.leave(later)
                raise OutcomeUnknown(reason_of(exc)) from exc
        if replaced is None and not self._settled_as_committed():
            raise LeaseLost
        for row in replaced or ():
            forget_parts(row, self._attempt.backend)

    def _end_state(self) -> bytes | None:
        """The digest's, where something may be appended without reading the file for it."""
        attempt = self._attempt
        if not attempt.request.principal.append or not attempt.backend.capabilities.copies_parts:
            return None
        state = attempt.digest.save() if attempt.digest is not None else None
        return pack_states({self._size: state}) if state is not None else None

    @property
    def _name(self) -> Name:
        return self._name_of(self._attempt.key)

    def _name_of(self, key: str) -> Name:
        attempt, principal = self._attempt, self._attempt.request.principal
        return Name(principal.storage, key, root_of(attempt.backend, principal.root))

    def _reached_the_ledger(self) -> bool:
        """Whether our row is committed though the database did not answer: a connection that ends
        between the two loses the answer alone. False also where it still does not answer."""
        try:
            return self._book.run(partial(moves.is_committed, self._claim))
        except LedgerUnavailable:
            return False

    def _superseded(self) -> Q | None:
        """The suspended uploads that this one replaces; ``None``: there are none."""
        request = self._attempt.request
        if not self._attempt.supersedes:
            return None
        return Q(
            account_id=request.principal.account_id,
            storage=request.principal.storage,
            path=request.path,
        )

    def _settled_as_committed(self) -> bool:
        """Somebody settled our row before us (our lease had run out): was it published?"""
        state = self._book.run(partial(ledger.state_of, self._claim.upload_id))
        return state == UploadState.COMMITTED

    def _committed_event(self, receipt: Receipt, reason: str) -> Event:
        details: dict[str, Any] | None = self._sent.details if self._sent is not None else None
        return self._attempt.actor.event(
            "upload.committed",
            outcome="success",
            size=receipt.size,
            sha256=receipt.sha256,
            reason=reason,
            reply=self._attempt.request.door.stored(receipt),
        ).but(details=details)

    # --- a retry whose first attempt was stored after all --------------------------------

    def _stored_already(self, sha256: str) -> Unconfirmed | None:
        for earlier in self._attempt.unconfirmed:
            if sha256 and (earlier.size, earlier.sha256) == (self._size, sha256):
                found = self._attempt.backend.find_published(earlier.key, earlier.upload_id)
                if found is not None and found.size == self._size:
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
            sent=self._sent,
        )
        event = self._committed_event(receipt, f"stored already by upload {earlier.upload_id}")
        answer = partial(
            moves.answer_from,
            self._claim,
            event,
            earlier.upload_id,
            self._name_of(earlier.key),
        )
        try:
            if not self._book.run(answer):
                raise LeaseLost
        except LedgerUnavailable:
            if not self._reached_the_ledger():
                self._context.unsettled.leave(
                    partial(moves.take_back_answer, self._claim, earlier.upload_id)
                )
                raise
        self._story.move(Trigger.ANSWER)
        self._recording.forget_parts()
        return receipt


def _reasons(receipt: Receipt) -> str:
    reasons = []
    if receipt.version_of:
        reasons.append(f"stored as a version of {receipt.version_of}")
    if receipt.joined_at is not None:
        reasons.append(f"joined at {receipt.joined_at}")
    if receipt.appended_at is not None:
        reasons.append(f"appended at {receipt.appended_at}")
    return "; ".join(reasons)
