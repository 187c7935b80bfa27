"""Going on with a suspended upload.

``offset`` or ``append`` go on with it, on any worker, and on any node that storage lets see the
parts. Going on raises the row's epoch, restores the digest's midstate at the durable length, and
drops the parts beyond it. An offset that is not the durable length is refused with it
(:class:`~securedrop_ftp.exceptions.BadOffset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction

from securedrop_ftp import clock
from securedrop_ftp.exceptions import (
    AlreadyFinished,
    AnothersFile,
    BadOffset,
    ConvertedFromStart,
    Exists,
    LeaseLost,
    NotFound,
    SecureDropError,
    UploadBusy,
)
from securedrop_ftp.intake import ledger, moves, stored_names, takeover, tokens
from securedrop_ftp.intake.attempt import Attempt, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.digest import restore_digest
from securedrop_ftp.intake.durable import (
    length_of,
    pack_states,
    to_json,
    unpack_states,
)
from securedrop_ftp.intake.held import partial_of
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.names import file_exists
from securedrop_ftp.intake.owners import node_of
from securedrop_ftp.intake.phases import Trigger, row_after, rows_before
from securedrop_ftp.intake.pipeline import as_known
from securedrop_ftp.intake.replacing import is_own
from securedrop_ftp.intake.request import UploadRequest
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.intake.suspended import SuspendedUploads, parts_of
from securedrop_ftp.intake.terms import Terms
from securedrop_ftp.models import Permission, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.parts import holds
from securedrop_ftp.storage.protocol import Backend, Part, Partial


class Refused(Exception):
    """A refusal whose audit row is written already."""

    def __init__(self, cause: SecureDropError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def take_suspended(
    row: Upload,
    parts: Sequence[Part],
    *,
    request: UploadRequest,
    replaces: bool,
    owner: str,
    lease_until: datetime,
) -> bool:
    """A job: the suspended row becomes ours, live, one epoch higher. False: it has moved on.

    Raises:
        UploadBusy: another upload to that key is live.
    """
    joined = length_of(parts)
    states = _states_at(row, joined)
    try:
        with transaction.atomic():
            taken = ledger.held(Claim(row.pk, row.epoch), *rows_before(Trigger.RESUME)).update(
                state=row_after(Trigger.RESUME),
                epoch=row.epoch + 1,
                parts=to_json(parts),
                digest_state=states,
                digest_source="midstate" if states else "readback",
                resumed_at=joined,
                replaces=replaces,
                owner=owner,
                node=node_of(owner),
                lease_until=lease_until,
                session=request.session,
                remote_ip=request.remote_ip or None,
                reason="",
                updated=clock.now(),
            )
    except IntegrityError as exc:
        raise UploadBusy from exc
    if taken:
        emit(
            replace(
                ledger.actor_of(row),
                session=request.session,
                remote_ip=request.remote_ip,
            ).event("upload.resumed", outcome="success", size=joined, reason=f"joined at {joined}")
        )
    return bool(taken)


class Resumption:
    """Blocks; runs in the pool."""

    def __init__(self, context: IntakeContext, suspended: SuspendedUploads) -> None:
        self._context = context
        self._book = context.ledger
        self._suspended = suspended

    def resume(self, request: UploadRequest, terms: Terms, backend: Backend) -> Attempt | None:
        """The attempt that goes on; ``None``: there is nothing to go on with, and the
        client said no offset: it is a new upload.

        Raises:
            BadOffset: it cannot go on from there; the exception names the durable length.
            AlreadyFinished: there is a finished file, and nothing to go on with.
            Refused: it failed after it had begun; its audit rows are written.
        """
        principal = request.principal
        if request.converted:
            if self._suspended.at(principal, request.path) is not None:
                raise ConvertedFromStart
            self._refuse_unless_new(request, backend)
            return None
        row = self._suspended.rows(principal).filter(path=request.path).first()
        if row is None:
            row = self._fenced(request, backend)
        parts = parts_of(row) if row is not None else []
        if row is None or not parts:
            self._refuse_unless_new(request, backend)
            return None
        self._refuse_unless_meant(row, parts, request, backend)
        _refuse_other_offset(request, parts)
        return self._take(row, parts, request, terms, backend)

    def _refuse_unless_new(self, request: UploadRequest, backend: Backend) -> None:
        if file_exists(backend, request.key):
            raise AnothersFile if request.principal.append else AlreadyFinished
        if request.offset:
            raise BadOffset(durable=0)

    def _refuse_unless_meant(
        self, row: Upload, parts: Sequence[Part], request: UploadRequest, backend: Backend
    ) -> None:
        """Who names no offset, and was told no length of the upload, goes on from the end of what
        it saw under the name: a finished file, perhaps, that is there or was there."""
        if request.offset is not None:
            return
        exists = file_exists(backend, row.key)
        if exists and request.principal.may(Permission.LIST):
            raise AlreadyFinished
        if exists or stored_names.holder(Name(row.storage, row.key)) is not None:
            raise BadOffset(durable=length_of(parts))

    def _fenced(self, request: UploadRequest, backend: Backend) -> Upload | None:
        """Our own older session still seems to live: end it, if its durable length fits."""
        live = _live_of(request)
        if live is None:
            return None
        if live.state == UploadState.PUBLISHING:
            if live.lease_until is not None and live.lease_until > clock.now():
                raise UploadBusy
            self._context.recovery.settle(live)
            return None
        _refuse_other_offset(request, parts_of(live))
        kept = self._book.run(
            partial(
                takeover.retire,
                live,
                resumable=backend.capabilities.resumable,
                reason=f"LeaseLost: taken over by session {request.session}",
                reply=request.door.refused(LeaseLost()),
            )
        )
        if kept is None:
            raise UploadBusy
        self._context.fence(live, backend, kept=kept)
        return Upload.objects.select_related("partner").get(pk=live.pk) if kept else None

    def _take(
        self,
        row: Upload,
        parts: list[Part],
        request: UploadRequest,
        terms: Terms,
        backend: Backend,
    ) -> Attempt:
        own = terms.replace_own and is_own(row.account_id, Name(row.storage, row.key))
        if file_exists(backend, row.key) and not (terms.replace or own):
            raise Exists
        held = partial_of(row)
        if held is None:  # its key is gone (SECRET_KEY_FALLBACKS), or nothing was begun
            self._book.run(partial(takeover.discard_suspended, row, "its resume token is lost"))
            raise BadOffset(durable=0)
        job = partial(
            take_suspended,
            row,
            parts,
            request=request,
            replaces=terms.replace,
            owner=self._book.owner,
            lease_until=self._book.lease_end(),
        )
        if not self._book.begin(job, row.pk, row.epoch + 1):
            raise UploadBusy
        attempt = _attempt(row, parts, request, terms, backend)
        return replace(attempt, partial=self._resume_parts(attempt, row, held))

    def _resume_parts(self, attempt: Attempt, row: Upload, held: Partial) -> Partial:
        """Take the parts over in storage too; if that fails, the upload ends as it was.

        Raises:
            Refused: its audit row is written.
        """
        claim = Claim(attempt.upload_id, attempt.epoch)
        try:
            taken = attempt.backend.resume(held, attempt.epoch)
            backend = attempt.backend
            if not holds(backend.list_parts(taken), attempt.parts, backend.capabilities):
                raise NotFound("storage does not hold its parts any more")
            self._book.run(
                partial(
                    moves.record_parts,
                    claim,
                    attempt.parts,
                    received=row.received,
                    states=_states_at(row, length_of(attempt.parts)),
                    sealed=tokens.seal(taken.token),
                )
            )
        except Exception as exc:
            raise self._end_again(attempt, row, as_known(exc)) from exc
        return taken

    def _end_again(self, attempt: Attempt, row: Upload, cause: SecureDropError) -> Refused:
        gone = isinstance(cause, NotFound)
        if gone:
            cause = BadOffset(durable=0)
        event = attempt.actor.event(
            "upload.aborted" if gone else "upload.suspended",
            size=attempt.joined_at,
            reason=reason_of(cause),
            reply=attempt.request.door.refused(cause),
        )
        claim = Claim(attempt.upload_id, attempt.epoch)
        self._context.unsettled.leave(
            partial(moves.mark_aborted, claim, event)
            if gone
            else partial(
                moves.mark_suspended,
                claim,
                event,
                attempt.parts,
                received=row.received,
                states=_states_at(row, length_of(attempt.parts)),
                sealed=row.resume_token,
            )
        )
        return Refused(cause)


def _live_of(request: UploadRequest) -> Upload | None:
    """The account's upload of the path that seems to run."""
    own = Upload.objects.filter(
        account_id=request.principal.account_id,
        storage=request.principal.storage,
        path=request.path,
        state__in=LIVE,
    )
    return own.select_related("partner").first()


def _refuse_other_offset(request: UploadRequest, parts: Sequence[Part]) -> None:
    durable = length_of(parts)
    if request.offset is not None and request.offset != durable:
        raise BadOffset(durable=durable)


def _attempt(
    row: Upload, parts: Sequence[Part], request: UploadRequest, terms: Terms, backend: Backend
) -> Attempt:
    """Of a row that is ours now, from the end of its parts."""
    joined = length_of(parts)
    state = unpack_states(row.digest_state).get(joined)
    return Attempt(
        request=request,
        terms=terms,
        upload_id=row.pk,
        epoch=row.epoch + 1,
        backend=backend,
        path=ledger.stored_path(row),
        key=row.key,
        digest=restore_digest(state) if state is not None else None,
        digest_source="midstate" if state is not None else "readback",
        parts=tuple(parts),
        joined_at=joined,
    )


def _states_at(row: Upload, offset: int) -> bytes | None:
    states = unpack_states(row.digest_state)
    return pack_states({offset: states[offset]}) if offset in states else None
