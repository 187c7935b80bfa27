"""Suspended uploads: what their owner sees of them, and going on with one.

An interrupted upload keeps its whole parts for ``resume_window`` seconds. Its owner (the account,
on the same storage and path) sees it with its durable length and a time of now, where no finished
file has that name; clients compare both (lftp ``mirror -c`` resumes only what is newer than its
source). It goes on with it on any worker, and on any node that storage lets see the parts.

Going on raises the row's epoch, restores the digest's midstate at the durable length, and drops
the parts beyond it. An offset that is not the durable length is refused with it
(:class:`~securedrop_ftp.exceptions.BadOffset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, F, QuerySet

from securedrop_ftp import clock
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import (
    AlreadyFinished,
    BadOffset,
    ConvertedFromStart,
    Exists,
    LeaseLost,
    NotFound,
    SecureDropError,
    UploadBusy,
    UploadRejected,
)
from securedrop_ftp.intake import ledger, tokens
from securedrop_ftp.intake.admission import file_exists, refuse_too_large, smaller
from securedrop_ftp.intake.attempt import Attempt, UploadRequest, reason_of
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.digest import restore_digest
from securedrop_ftp.intake.durable import (
    durable_parts,
    from_json,
    length_of,
    pack_states,
    to_json,
    unpack_states,
)
from securedrop_ftp.intake.held import forget_parts, partial_of
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.owners import gone, node_of
from securedrop_ftp.intake.phases import Trigger, row_after, rows_before
from securedrop_ftp.intake.pipeline import as_known
from securedrop_ftp.intake.sizes import PartSizes
from securedrop_ftp.models import OverwritePolicy, Permission, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.signals import emit
from securedrop_ftp.storage.parts import holds
from securedrop_ftp.storage.protocol import Backend, Part, Partial


class Refused(Exception):
    """A refusal whose audit row is written already."""

    def __init__(self, cause: SecureDropError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Suspended:
    """An interrupted upload as its owner sees it. ``length`` is the durable one, bytes."""

    upload_id: str
    path: str
    key: str
    length: int
    modified: datetime


def parts_of(row: Upload) -> list[Part]:
    """The parts below the row's durable length; none of what was converted on its way: where in the
    client's file they end is not known."""
    if row.converted:
        return []
    return durable_parts(from_json(row.parts), row.received)


def take_suspended(
    row: Upload, parts: Sequence[Part], *, request: UploadRequest, owner: str, lease_until: datetime
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


# Asked with every listing, and with SIZE of a name that is not there; hardly ever is there one. An
# account may have a million uploads, of which SQLite would look at each: ``+ 0`` keeps it from the
# account's index, and of these states there are few.
_UNFINISHED = Select(
    lambda: (
        Upload.objects.annotate(whose=F("account_id") + 0)
        .filter(
            whose=Given("account"),
            state__in=(UploadState.SUSPENDED, UploadState.RECEIVING),
            updated__gt=Given("since", DateTimeField()),
        )
        .order_by()
        .values_list("pk")[:1]
    )
)


def _oldest_kept(principal: Principal) -> datetime:
    return clock.now() - timedelta(seconds=principal.resume_window)


def _has_unfinished(principal: Principal) -> bool:
    """Whether any upload of the account could be gone on with."""
    since = _oldest_kept(principal)
    return bool(_UNFINISHED.rows(account=principal.account_id, since=since))


class Resumption:
    """Blocks; runs in the pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    # --- what the owner sees -----------------------------------------------------------

    def _own(self, principal: Principal, state: str = UploadState.SUSPENDED) -> QuerySet[Upload]:
        rows = Upload.objects.filter(
            account_id=principal.account_id,
            storage=principal.storage,
            state=state,
            updated__gt=_oldest_kept(principal),
        )
        capabilities = self._context.storage(principal).capabilities
        if capabilities.node_bound:
            rows = rows.filter(node=self._book.node)
        return rows.select_related("partner").order_by("-updated")

    def suspended_for(self, principal: Principal, path: str) -> Suspended | None:
        """See :meth:`Intake.suspended_for`."""
        if not _has_unfinished(principal):
            return None
        row = self._own(principal).filter(path=path).first()
        if row is not None:
            return self._seen(row)
        return next(iter(self._left_by_the_dead(principal, path=path)), None)

    def _left_by_the_dead(self, principal: Principal, **where: str) -> list[Suspended]:
        """Uploads whose writer died and that nobody has settled yet: their length is known, and
        who looks changes nothing. Going on with one takes it over (:meth:`_fenced`)."""
        if not self._context.storage(principal).capabilities.resumable:
            return []
        live = list(self._own(principal, UploadState.RECEIVING).filter(**where))
        dead = gone({row.owner for row in live}) if live else set()
        left = [self._seen(row) for row in live if row.owner in dead and row.resume_token]
        return [suspended for suspended in left if suspended is not None]

    def suspended_under(self, principal: Principal, directory: str) -> list[Suspended]:
        """See :meth:`Intake.suspended_under`; the newest of each path."""
        if not _has_unfinished(principal):
            return []
        start = directory.rstrip("/") + "/"
        rows = self._own(principal).filter(path__startswith=start)
        found: dict[str, Suspended] = {}
        for row in rows:
            if "/" not in row.path[len(start) :] and row.path.startswith(start):
                seen = self._seen(row)
                if seen is not None:
                    found.setdefault(row.path, seen)
        for seen in self._left_by_the_dead(principal, path__startswith=start):
            if "/" not in seen.path[len(start) :] and seen.path.startswith(start):
                found.setdefault(seen.path, seen)
        return list(found.values())

    @staticmethod
    def _seen(row: Upload) -> Suspended | None:
        length = length_of(parts_of(row))
        if not length:
            return None
        return Suspended(str(row.pk), row.path, row.key, length, clock.now())

    def discard(self, principal: Principal, path: str) -> bool:
        """See :meth:`Intake.discard_suspended`."""
        backend = self._context.storage(principal)
        found = False
        for row in self._own(principal).filter(path=path):
            job = partial(ledger.discard_suspended, row, "discarded by its owner")
            if self._book.run(job):
                found = True
                forget_parts(row, backend)
        return found

    # --- going on ---------------------------------------------------------------------

    def resume(self, request: UploadRequest, backend: Backend) -> Attempt | None:
        """The attempt that goes on; ``None``: there is nothing to go on with, and the
        client said no offset: it is a new upload.

        Raises:
            BadOffset: it cannot go on from there; the exception names the durable length.
            Refused: it failed after it had begun; its audit rows are written.
        """
        principal = request.principal
        if not principal.may(Permission.UPLOAD) or not principal.may(Permission.RESUME):
            raise UploadRejected("no permission to resume")
        if request.converted:
            if self.suspended_for(principal, request.path) is not None:
                raise ConvertedFromStart
            self._refuse_unless_new(request, backend)
            return None
        row = self._own(principal).filter(path=request.path).first()
        if row is None:
            row = self._fenced(request, backend)
        parts = parts_of(row) if row is not None else []
        if row is None or not parts:
            self._refuse_unless_new(request, backend)
            return None
        joined = length_of(parts)
        if request.offset is not None and request.offset != joined:
            raise bad_offset(joined)
        return self._take(row, parts, request, backend)

    def _refuse_unless_new(self, request: UploadRequest, backend: Backend) -> None:
        if request.offset and not (request.append and file_exists(backend, request.key)):
            raise bad_offset(0)
        if file_exists(backend, request.key):
            raise AlreadyFinished

    def _fenced(self, request: UploadRequest, backend: Backend) -> Upload | None:
        """Our own older session still seems to live: end it, if its durable length fits."""
        principal = request.principal
        live = (
            Upload.objects.filter(
                account_id=principal.account_id,
                storage=principal.storage,
                path=request.path,
                state__in=LIVE,
            )
            .select_related("partner")
            .first()
        )
        if live is None:
            return None
        if live.state == UploadState.PUBLISHING:
            if live.lease_until is not None and live.lease_until > clock.now():
                raise UploadBusy
            self._context.recovery.settle(live)
            return None
        if request.offset is not None and request.offset != length_of(parts_of(live)):
            raise bad_offset(length_of(parts_of(live)))
        kept = self._book.run(
            partial(
                ledger.retire,
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
        self, row: Upload, parts: list[Part], request: UploadRequest, backend: Backend
    ) -> Attempt:
        principal = request.principal
        sizes = PartSizes(self._context.conf, backend.capabilities, request.announced)
        limit = smaller(principal.max_file_size, backend.capabilities.max_object_size)
        refuse_too_large(request.announced, limit)
        may_replace = principal.overwrite == OverwritePolicy.REPLACE and principal.may(
            Permission.OVERWRITE
        )
        if file_exists(backend, row.key) and not may_replace:
            raise Exists
        held = partial_of(row)
        if held is None:  # its key is gone (SECRET_KEY_FALLBACKS), or nothing was begun
            self._book.run(partial(ledger.discard_suspended, row, "its resume token is lost"))
            raise bad_offset(0)
        job = partial(
            take_suspended,
            row,
            parts,
            request=request,
            owner=self._book.owner,
            lease_until=self._book.lease_end(),
        )
        if not self._book.begin(job, row.pk, row.epoch + 1):
            raise UploadBusy
        state = unpack_states(row.digest_state).get(length_of(parts))
        attempt = Attempt(
            request=request,
            upload_id=row.pk,
            epoch=row.epoch + 1,
            backend=backend,
            path=ledger.stored_path(row),
            key=row.key,
            policy=principal.overwrite,
            replace=may_replace,
            sizes=sizes,
            limit=limit,
            digest=restore_digest(state) if state is not None else None,
            digest_source="midstate" if state is not None else "readback",
            parts=tuple(parts),
            joined_at=length_of(parts),
        )
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
                    ledger.record_parts,
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
            cause = bad_offset(0)
        event = attempt.actor.event(
            "upload.aborted" if gone else "upload.suspended",
            size=attempt.joined_at,
            reason=reason_of(cause),
            reply=attempt.request.door.refused(cause),
        )
        claim = Claim(attempt.upload_id, attempt.epoch)
        self._context.unsettled.leave(
            partial(ledger.mark_aborted, claim, event)
            if gone
            else partial(
                ledger.mark_suspended,
                claim,
                event,
                attempt.parts,
                received=row.received,
                states=_states_at(row, length_of(attempt.parts)),
                sealed=row.resume_token,
            )
        )
        return Refused(cause)


def _states_at(row: Upload, offset: int) -> bytes | None:
    states = unpack_states(row.digest_state)
    return pack_states({offset: states[offset]}) if offset in states else None


def bad_offset(durable: int) -> BadOffset:
    """The refusal that names the length to go on from."""
    text = (
        f"Restart at {durable}: that is what is stored of this upload."
        if durable
        else "There is nothing to go on with; send the file whole."
    )
    return BadOffset(text, durable=durable)
