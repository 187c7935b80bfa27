"""Whether an upload may begin, under which name, and the ledger row that says so.

Overwrite policies: ``reject`` refuses a name that is taken; ``replace`` leaves the old file where
it is until the new one is verified, and refuses accounts that may not overwrite; ``version``
takes ``name (1).ext`` and so on. At most one live row of a key exists (a database constraint):

- the same account's older live session is fenced: it most likely is a dead connection that
  nobody has noticed yet, and its client is back. Under ``version`` both go on, under two names;
- another account's live upload is :class:`~securedrop_ftp.exceptions.UploadBusy`;
- a row whose lease has run out is settled first, whoever had it; busy while it may still land;
- busy as well where a put was tried again and its first, unanswered try may still land.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from django.db.models import DateTimeField, Q

from securedrop_ftp import clock
from securedrop_ftp.exceptions import (
    Exists,
    IsADirectory,
    LeaseLost,
    NotFound,
    TooLarge,
    UploadBusy,
    UploadRejected,
)
from securedrop_ftp.intake import ledger
from securedrop_ftp.intake.attempt import Attempt, Unconfirmed, UploadRequest
from securedrop_ftp.intake.context import IntakeContext
from securedrop_ftp.intake.digest import new_digest
from securedrop_ftp.intake.door import Door
from securedrop_ftp.intake.receipt import numbered
from securedrop_ftp.intake.sizes import PartSizes
from securedrop_ftp.intake.steps import step
from securedrop_ftp.models import OverwritePolicy, Permission, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Select, insert
from securedrop_ftp.storage.protocol import Backend

#: Rounds of settling, fencing and renaming before a client is asked to try again.
_ROUNDS: Final = 20


# What every file runs (docs/adr/0008). Each alternative names an index's columns: a condition
# beside them all would make SQLite walk every upload of the storage instead.
_OF_KEY: Final = {"storage": Given("storage"), "key": Given("key")}
_OWN: Final = {
    "account_id": Given("account_id"),
    "path": Given("path"),
    "storage": Given("storage"),
}
_NEIGHBOURS = Select(
    lambda: (
        Upload.objects.filter(
            Q(**_OF_KEY, state__in=LIVE)
            | Q(
                **_OF_KEY,
                state=UploadState.COMMITTED,
                lease_until__gt=Given("now", DateTimeField()),
            )
            | Q(**_OWN, state__in=(UploadState.PUBLISHING, UploadState.SUSPENDED))
            | Q(**_OWN, state=UploadState.COMMITTED, unconfirmed=True)
        )
        .order_by()
        .values_list(
            "pk", "state", "key", "account_id", "lease_until", "finished", "size", "sha256"
        )
    )
)
_ENDED_SINCE = Select(
    lambda: (
        Upload.objects.filter(
            **_OF_KEY,
            state=UploadState.COMMITTED,
            finished__gt=Given("since", DateTimeField()),
        )
        .order_by()
        .values_list("pk")[:1]
    )
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What :func:`open_row` did or found."""

    opened: bool = False
    taken: bool = False  # a live upload has the key: take another name
    unsettled: Upload | None = None  # must be settled before
    fenced: tuple[tuple[Upload, bool], ...] = ()  # rows that we ended; whether parts are kept
    unconfirmed: tuple[Unconfirmed, ...] = ()
    suspended: bool = False  # the account has a suspended upload of the path
    recent: bool = False  # another upload of the key ended lately: look whether it is there


def open_row(
    row: Upload, *, exists: bool, replace: bool, resumable: bool, window: int, door: Door
) -> Opening:
    """A job: insert ``row`` unless policy or another writer stands against it. ``window``:
    seconds for which an unconfirmed attempt answers a retry. ``door``: words what the
    client is told whose upload this one ends.

    Raises:
        Exists: the name is taken and policy keeps it.
        UploadBusy: another session writes it.
    """
    versions = row.policy == OverwritePolicy.VERSION
    now = clock.now()
    fenced: list[tuple[Upload, bool]] = []
    unconfirmed: list[Unconfirmed] = []
    suspended = False
    for pk, state, key, account_id, lease_until, finished, size, sha256 in _neighbours(row, now):
        if state == UploadState.COMMITTED and key == row.key and lease_until and lease_until > now:
            if not versions:
                raise UploadBusy(
                    "what was sent before may still land",
                    seconds=(lease_until - now).total_seconds(),
                )
            return Opening(taken=True)
        if state == UploadState.COMMITTED:
            if finished > now - timedelta(seconds=window):
                unconfirmed.append(Unconfirmed(str(pk), key, size, sha256))
        elif state == UploadState.SUSPENDED:
            suspended = True
        elif lease_until is None or lease_until <= now:
            other = _unless_it_went_on(pk, state, lease_until)
            return Opening(taken=other is None, unsettled=other)
        elif key != row.key:
            continue  # being published under another number
        elif versions:
            return Opening(taken=True)
        elif account_id != row.account_id or state == UploadState.PUBLISHING:
            raise UploadBusy
        else:
            other = _unless_it_went_on(pk, state, lease_until)
            if other is None:
                return Opening(taken=True)
            kept = _fence(other, row, resumable=resumable, door=door)
            if kept is None:
                return Opening(taken=True)
            fenced.append((other, kept))
            suspended = suspended or kept
    if exists and not replace and not versions and not unconfirmed:
        raise Exists
    if not insert(row):
        # Another worker was quicker: look again.
        return Opening(taken=True, fenced=tuple(fenced))
    return Opening(
        opened=True,
        fenced=tuple(fenced),
        unconfirmed=tuple(unconfirmed),
        suspended=suspended,
        recent=versions and _ended_lately(row, now),
    )


def _ended_lately(row: Upload, now: datetime) -> bool:
    """Whether the key may have come to be between our look at storage and our hold of it. Ten
    minutes cover a slow look and the clocks of several nodes."""
    since = now - timedelta(minutes=10)
    return bool(_ENDED_SINCE.rows(storage=row.storage, key=row.key, since=since))


def _neighbours(row: Upload, now: datetime) -> Iterable[tuple[Any, ...]]:
    """What stands against ``row`` or belongs to it: uploads of its key that live or may still
    have an echo, and its account's pending, unconfirmed and suspended ones of the path. A few
    columns: this runs for each file."""
    return _NEIGHBOURS.rows(
        storage=row.storage, key=row.key, account_id=row.account_id, path=row.path, now=now
    )


def _unless_it_went_on(pk: UUID, state: str, lease_until: datetime | None) -> Upload | None:
    """The row whole; ``None`` if it is not as it was just seen. On PostgreSQL each statement sees
    what was committed before it, so an upload that was being received may be published by now."""
    row = _whole(pk)
    return row if (row.state, row.lease_until) == (state, lease_until) else None


def _whole(pk: UUID) -> Upload:
    return Upload.objects.select_related("partner").get(pk=pk)


def _fence(other: Upload, row: Upload, *, resumable: bool, door: Door) -> bool | None:
    """The account's older session is ended: see :func:`.ledger.retire`."""
    return ledger.retire(
        other,
        resumable=resumable,
        reason=f"LeaseLost: taken over by session {row.session}",
        reply=door.refused(LeaseLost()),
    )


class Admission:
    """Turns a request into an :class:`Attempt`. Blocks; runs in the pool."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._book = context.ledger

    def admit(self, request: UploadRequest, backend: Backend) -> Attempt:
        """A new upload.

        Raises:
            SecureDropError: refused; nothing was written.
        """
        principal = request.principal
        if not principal.may(Permission.UPLOAD):
            raise UploadRejected("no permission to upload")
        sizes = PartSizes(self._context.conf, backend.capabilities, request.least)
        limit = smaller(principal.max_file_size, backend.capabilities.max_object_size)
        refuse_too_large(request.least, limit)
        policy = principal.overwrite
        replace = policy == OverwritePolicy.REPLACE and principal.may(Permission.OVERWRITE)
        exists = file_exists(backend, request.key)
        for number, key in self._candidates(request, backend, exists=exists):
            row = self._row(request, backend, key, sizes)
            step("admitted.before")
            opening = self._open(
                row,
                backend,
                exists=exists and number == 0,
                replace=replace,
                window=principal.resume_window,
                door=request.door,
            )
            if not opening.opened:
                continue
            if opening.recent and name_taken(backend, key):
                self._book.run(partial(ledger.forget, ledger.Claim(row.pk, row.epoch)))
                continue
            step("admitted.after")
            return Attempt(
                request=request,
                upload_id=row.pk,
                epoch=row.epoch,
                backend=backend,
                path=ledger.stored_path(row),
                key=key,
                policy=policy,
                replace=replace,
                sizes=sizes,
                limit=limit,
                digest=new_digest(),
                unconfirmed=opening.unconfirmed,
                supersedes=opening.suspended,
            )
        raise UploadBusy

    def _candidates(
        self, request: UploadRequest, backend: Backend, *, exists: bool
    ) -> itertools.chain[tuple[int, str]]:
        """(number, key) to try, number 0 being the name itself; under ``version`` a name that
        is taken is passed over."""
        if request.principal.overwrite != OverwritePolicy.VERSION:
            return itertools.chain(itertools.repeat((0, request.key), _ROUNDS))

        def numbers() -> itertools.chain[tuple[int, str]]:
            first = first_free_number(
                lambda n: (n == 0 and exists) or self._is_taken(request, backend, n)
            )
            # Each is tried twice: the first time may settle what a crash left.
            names = ((n, _nth(request.key, n)) for n in range(first, first + _ROUNDS) for _ in "ab")
            return itertools.chain(names)

        return numbers()

    def _is_taken(self, request: UploadRequest, backend: Backend, number: int) -> bool:
        key = _nth(request.key, number)
        reserved = Upload.objects.filter(
            storage=request.principal.storage, key=key, state=UploadState.SUSPENDED
        ).exclude(account_id=request.principal.account_id)
        return (number > 0 and name_taken(backend, key)) or reserved.exists()

    def _open(
        self,
        row: Upload,
        backend: Backend,
        *,
        exists: bool,
        replace: bool,
        window: int,
        door: Door,
    ) -> Opening:
        job = partial(
            open_row,
            row,
            exists=exists,
            replace=replace,
            resumable=backend.capabilities.resumable,
            window=window,
            door=door,
        )
        opening = self._book.begin(job, row.pk, row.epoch)
        for old, kept in opening.fenced:
            self._context.fence(old, backend, kept=kept)
        if opening.unsettled is not None:
            self._settle(opening.unsettled, row)
        return opening

    def _settle(self, old: Upload, row: Upload) -> None:
        try:
            self._context.recovery.settle(old)
        except UploadBusy:
            # Another's that may still land; under ``version`` there are other names. Our own
            # account's waits: the same file would be stored twice.
            if row.policy != OverwritePolicy.VERSION or old.account_id == row.account_id:
                raise

    def _row(self, request: UploadRequest, backend: Backend, key: str, sizes: PartSizes) -> Upload:
        principal = request.principal
        return Upload(
            id=new_id(),
            partner_id=principal.partner_id,
            account_id=principal.account_id,
            username=principal.username,
            session=request.session,
            remote_ip=request.remote_ip or None,
            storage=principal.storage,
            backend=backend.name,
            key=key,
            path=request.path,
            policy=principal.overwrite,
            owner=self._book.owner,
            node=self._book.node,
            lease_until=self._book.lease_end(),
            part_size=sizes.first,
            digest_source="stream",
            converted=request.converted,
        )


def new_id() -> UUID:
    """Of an upload; random, so that it tells nothing and collides with nothing."""
    return uuid4()


def _nth(key: str, number: int) -> str:
    return numbered(key, number) if number else key


def smaller(one: int | None, other: int | None) -> int | None:
    """The tighter of two limits."""
    limits = [limit for limit in (one, other) if limit is not None]
    return min(limits) if limits else None


def refuse_too_large(announced: int | None, limit: int | None) -> None:
    """Refuse before the first byte what was announced to be too large."""
    if announced is not None and limit is not None and announced > limit:
        raise TooLarge(f"{announced} bytes were announced, the limit is {limit}", limit=limit)


def file_exists(backend: Backend, key: str) -> bool:
    """Whether a finished file has that key.

    Raises:
        IsADirectory: a directory has it.
    """
    try:
        entry = backend.stat(key)
    except NotFound:
        return False
    if entry.is_dir:
        raise IsADirectory
    return True


def name_taken(backend: Backend, key: str) -> bool:
    """Whether a file or a directory has that key."""
    try:
        backend.stat(key)
    except NotFound:
        return False
    return True


def first_free_number(taken: Callable[[int], bool]) -> int:
    """A number that is free while the one below it is taken, found in O(log n) questions: a
    partner that sends the same name each day for years must not cost a request per day."""
    if not taken(0):
        return 0
    low, high = 0, 1  # low is taken
    while taken(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if taken(middle):
            low = middle
        else:
            high = middle
    return high
