"""Who stored what has a name now: the uploads of the ledger that are ``current``.

An upload that is committed has its key until another is committed there, or somebody deletes or
renames what has it; a rename takes the ledger's key and path along. What operators and other tools
do in storage is not seen here: storage says whether there is a file.

Functions that change something are jobs (:mod:`~securedrop_ftp.intake.ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet, UUIDField, Value
from django.db.models.functions import Concat, Substr

from securedrop_ftp.models import NameChange, Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from securedrop_ftp.prepared import Given, Update


class Name(NamedTuple):
    """A storage alias, and an object key in it. ``root``: below which the ledger keeps the
    directories of what is stored there; ``None``: the storage keeps its own."""

    storage: str
    key: str
    root: str | None = None


#: Of a row whose file has its key no more: nothing is appended to it, and it answers no retry; its
#: client has to send the file again, if policy lets it.
_GIVEN_UP: Final[Mapping[str, Any]] = {
    "current": False,
    "unconfirmed": False,
    "digest_state": None,
}

_GIVE_UP = Update(
    lambda: Upload.objects.filter(storage=Given("storage"), key=Given("key"), current=True).exclude(
        pk=Given("but", UUIDField())
    ),
    **_GIVEN_UP,
)


def hold(name: Name, upload_id: UUID) -> None:
    """An upload was committed under a name: whoever had it before has it no more."""
    _GIVE_UP.run(storage=name.storage, key=name.key, but=upload_id)


def give_up(storage: str, keys: Sequence[str]) -> None:
    """What has these keys was deleted."""
    Upload.objects.filter(storage=storage, key__in=keys, current=True).update(**_GIVEN_UP)


def move(change: NameChange) -> None:
    """What was stored at the source of a rename, or below it, is at its target now."""
    rows = Upload.objects.filter(storage=change.storage, current=True).order_by()
    if not change.directory:
        rows.filter(key=change.target).update(**_GIVEN_UP)
        rows.filter(key=change.source).update(key=change.target, path=change.target_path)
        return
    # The path first: the key selects the rows. An account with another root has other paths.
    below = _beginning(rows, "key", f"{change.source}/")
    _beginning(below, "path", f"{change.source_path}/").update(
        path=Concat(Value(change.target_path), Substr("path", len(change.source_path) + 1))
    )
    below.update(key=Concat(Value(change.target), Substr("key", len(change.source) + 1)))


def _beginning(rows: QuerySet[Upload], field: str, text: str) -> QuerySet[Upload]:
    """Exactly so: SQLite's LIKE takes upper and lower case for the same."""
    return rows.alias(**{f"{field}_head": Substr(field, 1, len(text))}).filter(
        **{f"{field}_head": text}
    )


def holder(name: Name) -> Upload | None:
    """The upload that stored what has a name now; ``None``: none that is known."""
    rows = Upload.objects.filter(storage=name.storage, key=name.key, current=True)
    return rows.order_by("-finished").first()


def is_awaited(name: Name, account_id: int) -> bool:
    """Whether an upload is on its way to a name, or another account's suspended one keeps it."""
    of_others = Q(state=UploadState.SUSPENDED) & ~Q(account_id=account_id)
    rows = Upload.objects.filter(Q(state__in=LIVE) | of_others, storage=name.storage, key=name.key)
    return rows.exists()


def own_keys(
    account_id: int, storage: str, directory: str, since: datetime | None = None
) -> list[str]:
    """Keys directly in a directory at which the account stored something, since then."""
    rows = Upload.objects.filter(account_id=account_id, storage=storage, current=True).order_by()
    if since is not None:
        rows = rows.filter(finished__gt=since)
    below = _beginning(rows, "key", f"{directory}/").values_list("key", flat=True)
    return [key for key in below if "/" not in key[len(directory) + 1 :]]


def own(account_id: int, storage: str, path: str) -> Upload | None:
    """The account's last committed upload under a path that it named, where what it stored has its
    key still; under ``version`` the key may be a numbered one."""
    rows = Upload.objects.filter(
        account_id=account_id,
        storage=storage,
        path=path,
        state=UploadState.COMMITTED,
        current=True,
    )
    return rows.order_by("-finished").first()
