"""The ledger row of a new upload: what stands against it, and what it ends.

At most one live row of a key exists (a database constraint):

- the same account's older live session is fenced: it most likely is a dead connection that
  nobody has noticed yet, and its client is back. Under ``version`` both go on, under two names;
- another account's live upload is :class:`~securedrop_ftp.exceptions.UploadBusy`;
- a row whose lease has run out is settled first, whoever had it; busy while it may still land;
- under ``version`` a name at which a rename or a deletion is under way is passed over;
- busy as well where a put was tried again and its first, unanswered try may still land.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import DateTimeField, Q

from securedrop_ftp import clock
from securedrop_ftp.exceptions import Exists, LeaseLost, UploadBusy
from securedrop_ftp.intake import name_changes, takeover
from securedrop_ftp.intake.attempt import Unconfirmed
from securedrop_ftp.intake.door import Door
from securedrop_ftp.intake.replacing import is_own
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.models import OverwritePolicy, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Select, insert

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
class Fenced:
    """A row that was taken from its writer; ``kept``: its parts stay in storage."""

    row: Upload
    kept: bool


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another upload has the name, or was quicker: look again, or take another name."""

    fenced: tuple[Fenced, ...]


@dataclass(frozen=True, slots=True)
class MustSettle:
    """An upload stands there whose writer is gone: settle it, then look again."""

    row: Upload
    fenced: tuple[Fenced, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The row is written.

    Attributes:
        unconfirmed: earlier uploads that may turn out to be this one.
        supersedes: the account has a suspended upload of the path.
        recent: an upload of the key ended lately: look whether its file is there.
    """

    fenced: tuple[Fenced, ...]
    unconfirmed: tuple[Unconfirmed, ...]
    supersedes: bool
    recent: bool


Opening = NameTaken | MustSettle | Opened


@dataclass(frozen=True, slots=True)
class Wish:
    """A row that is to be opened.

    Attributes:
        exists: a finished file has the name.
        replace: it may be replaced.
        replace_own: it may be if the account itself stored it.
        resumable: storage keeps the parts of an upload that is fenced.
        window: seconds for which an unconfirmed attempt answers a retry.
        door: words what the client is told whose upload this one ends.
    """

    row: Upload
    exists: bool
    replace: bool
    replace_own: bool
    resumable: bool
    window: int
    door: Door


def open_row(wish: Wish) -> Opening:
    """A job: insert the row unless policy or another writer stands against it.

    Raises:
        Exists: the name is taken and policy keeps it.
        UploadBusy: another session writes it.
    """
    return _Look(wish).opening()


class _Neighbour(NamedTuple):
    """An upload that stands against the row, or belongs to it."""

    pk: UUID
    state: str
    key: str
    account_id: int | None
    lease_until: datetime | None
    finished: datetime | None
    size: int | None
    sha256: str


class _Look:
    """One look at the neighbours; the job makes a new one each time that it is tried."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._row = wish.row
        self._versions = wish.row.policy == OverwritePolicy.VERSION
        self._now = clock.now()
        self._fenced: list[Fenced] = []
        self._unconfirmed: list[Unconfirmed] = []
        self._supersedes = False

    def opening(self) -> Opening:
        """See :func:`open_row`."""
        wish = self._wish
        for found in _neighbours(self._row, self._now):
            standing = self._standing(_Neighbour(*found))
            if standing is not None:
                return standing
        if self._versions and name_changes.is_claimed(Name(self._row.storage, self._row.key)):
            return self._taken()
        replaceable = wish.replace or self._versions or self._unconfirmed
        if wish.exists and not replaceable and not self._replaces_own():
            raise Exists
        if not insert(self._row):  # another worker was quicker
            return self._taken()
        return Opened(
            fenced=tuple(self._fenced),
            unconfirmed=tuple(self._unconfirmed),
            supersedes=self._supersedes,
            recent=self._versions and _ended_lately(self._row, self._now),
        )

    def _replaces_own(self) -> bool:
        row = self._row
        return self._wish.replace_own and is_own(row.account_id, Name(row.storage, row.key))

    def _taken(self) -> NameTaken:
        return NameTaken(tuple(self._fenced))

    def _standing(self, other: _Neighbour) -> NameTaken | MustSettle | None:
        """What stands against the row; ``None``: that one does not."""
        match other.state:
            case UploadState.COMMITTED:
                return self._committed(other)
            case UploadState.SUSPENDED:
                self._supersedes = True
                return None
        if other.lease_until is None or other.lease_until <= self._now:
            row = _unless_it_went_on(other.pk, other.state, other.lease_until)
            return self._taken() if row is None else MustSettle(row, tuple(self._fenced))
        if other.key != self._row.key:
            return None  # being published under another number
        return self._live(other)

    def _committed(self, other: _Neighbour) -> NameTaken | None:
        lease_until, finished = other.lease_until, other.finished
        if other.key == self._row.key and lease_until and lease_until > self._now:
            if self._versions:
                return self._taken()
            left = (lease_until - self._now).total_seconds()
            raise UploadBusy("what was sent before may still land", seconds=left)
        window = timedelta(seconds=self._wish.window)
        if finished is not None and finished > self._now - window:
            earlier = Unconfirmed(str(other.pk), other.key, other.size or 0, other.sha256)
            self._unconfirmed.append(earlier)
        return None

    def _live(self, other: _Neighbour) -> NameTaken | None:
        if self._versions:
            return self._taken()
        own = other.account_id == self._row.account_id
        if not own or other.state == UploadState.PUBLISHING:
            raise UploadBusy
        row = _unless_it_went_on(other.pk, other.state, other.lease_until)
        kept = _fence(row, self._wish) if row is not None else None
        if row is None or kept is None:
            return self._taken()
        self._fenced.append(Fenced(row, kept))
        self._supersedes = self._supersedes or kept
        return None


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


def _fence(other: Upload, wish: Wish) -> bool | None:
    """The account's older session is ended: see :func:`.takeover.retire`."""
    return takeover.retire(
        other,
        resumable=wish.resumable,
        reason=f"LeaseLost: taken over by session {wish.row.session}",
        reply=wish.door.refused(LeaseLost()),
    )
