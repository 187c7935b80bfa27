"""Our multipart uploads: each has a mark, and a sweep aborts those that the marks name.

``ListMultipartUploads`` tells keys and ids but no metadata, so an upload in a shared bucket does
not show whose it is. Before one is created, its mark ``.securedrop/multipart/<upload id>`` says for
which key, and which multipart uploads of that key are others'. Afterwards the mark names the
multipart id. Nothing that no mark names is ever swept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from securedrop_ftp.exceptions import NotFound, StorageRefused, UnsupportedByBackend
from securedrop_ftp.storage.listing import PAGE
from securedrop_ftp.storage.marks import Marks
from securedrop_ftp.storage.protocol import RESERVED
from securedrop_ftp.storage.s3.bucket import Bucket

MARKS: Final = f"{RESERVED}multipart/"
LARGEST_MARK: Final = 1024 * 1024


class MarkedMultiparts:
    """Multipart uploads in ``bucket``, each with a mark among ``marks``."""

    def __init__(self, bucket: Bucket, marks: Marks) -> None:
        self._bucket = bucket
        self._marks = marks

    def create(self, key: str, upload_id: str, **params: Any) -> str:
        """Begin one; returns the multipart id."""
        others = self._of_key(key)
        self._mark(key, upload_id, {"others": others})
        full = self._bucket.full(key)
        attempts = self._bucket.attempts()
        answer = self._bucket.call("create_multipart_upload", attempts, Key=full, **params)
        multipart_id = str(answer["UploadId"])
        if attempts.ambiguous and others is not None:
            # A try without an answer may have begun one too, which no mark would name.
            for one in self._unnamed(key, [*others, multipart_id], datetime.now(UTC)):
                self._abort(key, one)
        self._mark(key, upload_id, {"multipart_id": multipart_id})
        return multipart_id

    def end(self, upload_id: str) -> None:
        """The upload was completed: its mark is needed no more."""
        self._marks.unmark(upload_id)

    def abort(self, key: str, upload_id: str, multipart_id: str) -> None:
        """Discard its parts; doing it again is not an error."""
        self._abort(key, multipart_id)
        self._marks.unmark(upload_id)

    def _abort(self, key: str, multipart_id: str) -> None:
        try:
            self._bucket.call(
                "abort_multipart_upload", Key=self._bucket.full(key), UploadId=multipart_id
            )
        except NotFound:
            pass

    def _mark(self, key: str, upload_id: str, more: dict[str, Any]) -> None:
        mark = json.dumps({"key": key, **more}).encode()
        self._bucket.put(self._marks.key(upload_id), mark, ContentType="application/json")

    # --- sweep -----------------------------------------------------------------------

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Abort what is marked, old and not wanted; returns how many there were."""
        swept = 0
        for upload_id, marked in self._marks.dead(keep, older_than).items():
            try:
                swept += self._sweep_one(upload_id, marked)
            except NotFound:
                continue  # another node swept it meanwhile
        return swept

    def _sweep_one(self, upload_id: str, marked: datetime) -> bool:
        mark = self._read(upload_id)
        key = str(mark.get("key", ""))
        found = [str(mark["multipart_id"])] if "multipart_id" in mark else []
        if not found and isinstance(mark.get("others"), list):
            found = self._unnamed(key, mark["others"], marked)
        for one in found:
            self._abort(key, one)
        self._marks.unmark(upload_id)
        return bool(found)

    def _read(self, upload_id: str) -> dict[str, Any]:
        try:
            mark = json.loads(self._bucket.read(self._marks.key(upload_id), "", 0, LARGEST_MARK))
        except ValueError:
            return {}
        return mark if isinstance(mark, dict) else {}

    def _of_key(self, key: str, latest: datetime | None = None) -> list[str] | None:
        """Multipart ids of exactly this key, begun until ``latest``; ``None`` where we may not
        list them."""
        full = self._bucket.full(key)
        try:
            answer = self._bucket.call("list_multipart_uploads", Prefix=full, MaxUploads=PAGE)
        except (StorageRefused, UnsupportedByBackend):
            return None
        return [
            str(upload["UploadId"])
            for upload in answer.get("Uploads", ())
            if upload["Key"] == full and (latest is None or upload["Initiated"] <= latest)
        ]

    def _unnamed(self, key: str, others: list[str], marked: datetime) -> list[str]:
        """Multipart ids of a mark whose writer died before it could name one.

        That is one of exactly this key, begun after the mark but within the storage deadline,
        that no other mark names.
        """
        latest = marked + timedelta(seconds=self._bucket.conf.storage_timeout)
        begun = set(self._of_key(key, latest) or ()) - set(others)
        if not begun:
            return []
        named = {str(self._read(other).get("multipart_id")) for other, _ in self._marks.all()}
        return sorted(begun - named)
