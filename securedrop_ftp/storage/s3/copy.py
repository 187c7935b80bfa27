"""Copies on the S3 server.

Above :data:`ONE_REQUEST` a copy is made of ranges, in parallel (``UploadPartCopy``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from securedrop_ftp.conf import MIB
from securedrop_ftp.exceptions import (
    Exists,
    SecureDropError,
    StorageUnavailable,
)
from securedrop_ftp.storage.flat import in_parallel
from securedrop_ftp.storage.protocol import Entry, Part
from securedrop_ftp.storage.retry import Attempts
from securedrop_ftp.storage.s3.bucket import Bucket
from securedrop_ftp.storage.s3.multipart import MarkedMultiparts

#: A copy up to this size is one request; S3 would take 5 GiB, but in one slow piece.
ONE_REQUEST: Final = 500 * MIB
RANGE: Final = 128 * MIB
_KEPT: Final = (
    "ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl",
    "Metadata",
)  # fmt: skip


class Copier:
    """Copies objects within ``bucket``. Keys are ours."""

    def __init__(
        self,
        bucket: Bucket,
        multiparts: MarkedMultiparts,
        *,
        one_request: int = ONE_REQUEST,
        range_size: int = RANGE,
    ) -> None:
        self._bucket = bucket
        self._multiparts = multiparts
        self._one_request = one_request
        self._range_size = range_size

    def copy(self, source: str, target: str, size: int, etag: str) -> None:
        """One object, with its metadata."""
        attempts = self._bucket.attempts(slow=True)
        if size > self._one_request:
            self._copy_ranges(source, target, size, etag, attempts)
        else:
            params = self._bucket.write_parameters(target, content=False)
            self._from("copy_object", source, etag, attempts, target, params)

    def copy_parts(
        self, target: str, multipart_id: str, entry: Entry, parts: Sequence[Part]
    ) -> list[Part]:
        """Parts of a multipart upload, from the same offsets of another object."""
        attempts = self._bucket.attempts(slow=True)

        def copy(part: Part) -> Part:
            params = {
                "UploadId": multipart_id,
                "PartNumber": part.number,
                "CopySourceRange": f"bytes={part.offset}-{part.offset + part.size - 1}",
            }
            answer = self._from("upload_part_copy", entry.key, entry.etag, attempts, target, params)
            return replace(part, token=answer["CopyPartResult"]["ETag"])

        return in_parallel(copy, parts)

    def _from(
        self,
        operation: str,
        source: str,
        etag: str,
        attempts: Attempts,
        target: str,
        params: dict[str, Any],
    ) -> dict[str, Any]:
        """One copying request, of the source that has that ETag."""
        full = self._bucket.full(source)
        params = {
            **params,
            "Key": self._bucket.full(target),
            "CopySource": {"Bucket": self._bucket.name, "Key": full},
        }
        call = partial(self._bucket.call, operation, attempts, slow=True)
        try:
            return call(CopySourceIfMatch=etag, **params)
        except Exists:
            # Swift compares the ETag of a multipart object with another one than it tells.
            if self._bucket.call("head_object", attempts, Key=full)["ETag"] != etag:
                raise StorageUnavailable("The file was replaced while it was copied.") from None
            return call(**params)

    def _copy_ranges(
        self, source: str, target: str, size: int, etag: str, attempts: Attempts
    ) -> None:
        head = self._bucket.call("head_object", attempts, Key=self._bucket.full(source))
        params = {name: head[name] for name in _KEPT if head.get(name)}
        params = {**self._bucket.write_parameters(target, content=False), **params}
        mark = str(uuid.uuid4())
        multipart_id = self._multiparts.create(target, mark, **params)
        step = max(self._range_size, -(-size // 10_000))

        def copy_range(start: int) -> dict[str, Any]:
            number = start // step + 1
            part = {
                "UploadId": multipart_id,
                "PartNumber": number,
                "CopySourceRange": f"bytes={start}-{min(start + step, size) - 1}",
            }
            answer = self._from("upload_part_copy", source, etag, attempts, target, part)
            return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

        try:
            parts = in_parallel(copy_range, range(0, size, step))
            self._bucket.call(
                "complete_multipart_upload",
                attempts,
                slow=True,
                Key=self._bucket.full(target),
                UploadId=multipart_id,
                MultipartUpload={"Parts": parts},
            )
        except SecureDropError:
            with suppress(SecureDropError):
                self._multiparts.abort(target, mark, multipart_id)
            raise
        self._multiparts.end(mark)
