"""No name is a file and a directory: where storage would take both, as object stores do.

An upload's name is looked at when it is admitted, but two that are received at once (``a`` and
``a/b``), or a rename meanwhile, would both be stored. So who is about to publish looks again, when
its row says so: of two at least one sees the other, and refuses. What the ledger knows is asked
first; storage only where a file above may have been taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django.db.models import Q

from securedrop_ftp.exceptions import IsADirectory, NameBusy, NotADirectory, NotFound
from securedrop_ftp.intake.stored_names import Name, holder
from securedrop_ftp.models import Directory, Upload, UploadState
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.storage.protocol import Backend

# Asked for each file on an object store. Of the state there are as many rows as uploads that end.
_PUBLISHING = Select(
    lambda: (
        Upload.objects.filter(state=UploadState.PUBLISHING, storage=Given("storage"))
        .order_by()
        .values_list("pk", "key")
    )
)
_KNOWN = Select(
    lambda: (
        Directory.objects.filter(
            Q(storage=Given("storage"), key=Given("key"))
            | Q(storage=Given("storage"), key=Given("above"))
        )
        .order_by()
        .values_list("key")
    )
)


def refuse_nested(name: Name, upload_id: UUID, backend: Backend) -> None:
    """For an upload whose row says that it is publishing. Blocks.

    Raises:
        NameBusy: another upload is being published below the name, or above it.
        IsADirectory, NotADirectory: the name is a directory, or what is above it is a file.
    """
    if name.root is None:
        return  # the file system itself refuses
    for other, key in _PUBLISHING.rows(storage=name.storage):
        if other != upload_id and is_nested(name.key, key):
            raise NameBusy
    above = name.key.rpartition("/")[0]
    known = {key for (key,) in _KNOWN.rows(storage=name.storage, key=name.key, above=above)}
    if name.key in known:
        raise IsADirectory
    if above not in known:
        _refuse_below_file(name, name.root, backend)


def refuse_published(name: Name) -> None:
    """For MKD. Raises NameBusy: an upload is being published at the name, or above it."""
    for _, key in _PUBLISHING.rows(storage=name.storage):
        if name.key == key or name.key.startswith(f"{key}/"):
            raise NameBusy


def _refuse_below_file(name: Name, root: str, backend: Backend) -> None:
    for key in above(name.key, root):
        if holder(name._replace(key=key)) is not None and _is_file(backend, key):
            raise NotADirectory


def is_nested(one: str, other: str) -> bool:
    """Whether one of two keys is below the other."""
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


def above(key: str, root: str = "") -> Iterator[str]:
    """The keys of the directories above one, below ``root``, from the lowest."""
    while (key := key.rpartition("/")[0]) and key.startswith(root):
        yield key


def _is_file(backend: Backend, key: str) -> bool:
    try:
        return not backend.stat(key).is_dir
    except NotFound:
        return False
