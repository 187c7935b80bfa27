"""Digests that the ledger keeps, for HASH and XSHA256."""

from __future__ import annotations

from datetime import timedelta

from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.storage.protocol import META_UPLOAD_ID, Entry

#: The object's time may be a little later than the row's: clocks of two machines.
_SLACK = timedelta(seconds=5)


def digest_of_object(storage: str, entry: Entry) -> str:
    """The SHA-256 (hex) of a finished file as it was received, or ``""`` where that is not known to
    be of these very bytes: the file was renamed, or written by somebody else. Blocks."""
    row = (
        Upload.objects.filter(storage=storage, key=entry.key, state=UploadState.COMMITTED)
        .order_by("-finished")
        .first()
    )
    if row is None or row.size != entry.size or row.finished is None:
        return ""
    marked = entry.metadata.get(META_UPLOAD_ID)
    if marked is not None:
        return row.sha256 if marked == str(row.pk) else ""
    if entry.modified is None or entry.modified > row.finished + _SLACK:
        return ""
    return row.sha256
