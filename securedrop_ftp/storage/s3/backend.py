"""Amazon S3 and what speaks its protocol: django-storages' ``S3Storage`` for its configuration,
boto3's client for the work.

An upload of several parts is an S3 multipart upload: nothing is visible before it is completed,
and its parts outlive any process, so another process can go on with it. Nothing here depends on
conditional puts, checksums or tags: servers differ (docs/explanation/storage.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial as bind
from typing import Any, Final

from securedrop_ftp.conf import MIB, Conf
from securedrop_ftp.exceptions import (
    Exists,
    NotFound,
    OutcomeUnknown,
    SecureDropError,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    UnsupportedByBackend,
    VerificationFailed,
)
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.errors import not_there, refuse_root, upload_is_gone
from securedrop_ftp.storage.flat import Page
from securedrop_ftp.storage.listing import PAGE
from securedrop_ftp.storage.names import decode_metadata, encode_metadata
from securedrop_ftp.storage.object_store import ObjectStore
from securedrop_ftp.storage.parts import check_parts
from securedrop_ftp.storage.protocol import (
    META_UPLOAD_ID,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)
from securedrop_ftp.storage.retry import Attempts, twice
from securedrop_ftp.storage.s3.bucket import Bucket, PartBody
from securedrop_ftp.storage.s3.copy import Copier
from securedrop_ftp.storage.s3.errors import fault
from securedrop_ftp.storage.s3.multipart import MARKS, MarkedMultiparts
from securedrop_ftp.storage.s3.proof import Check, Proof, Sent

logger = get_logger(__name__)

#: Up to here a copy is cheaper than the round trip of "Expect: 100-continue".
COPIED: Final = 1 * MIB
DIRECTORY_TYPE: Final = "application/x-directory"


class S3Backend(ObjectStore):
    """See the module's docstring.

    Args:
        storage: an ``S3Storage``.
        conf: deadlines and pool sizes; the settings in force if not given.
    """

    name = "s3"
    capabilities = Capabilities(
        resumable=True,
        keeps_directories=False,
        min_part_size=5 * MIB,
        max_part_size=5 * 1024 * MIB,
        max_parts=10_000,
        max_object_size=5 * 1024 * 1024 * MIB,
        copies_parts=True,
    )

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        self._bucket = Bucket(storage, conf)
        super().__init__(self._bucket.conf, storage.location, fault, MARKS)
        self._proof = Proof(self._bucket)
        self._multiparts = MarkedMultiparts(self._bucket, self._marks)
        self._copier = Copier(self._bucket, self._multiparts)

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        """The token is S3's multipart upload id."""
        refuse_root(spec.key)
        token = self._multiparts.create(spec.key, spec.upload_id, **self._object_parameters(spec))
        return Partial(spec, token)

    def _object_parameters(self, spec: ObjectSpec, sha256: str = "") -> dict[str, Any]:
        return {
            **self._bucket.write_parameters(spec.key),
            "ContentType": spec.content_type,
            "Metadata": encode_metadata(spec.label(sha256)),
        }

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """The part's token is its ETag. Storage proves that it took the bytes that we hold
        (:mod:`.proof`), and gets them once more where it did not."""
        sent = self._proof.sent(data)

        def put() -> Part:
            body = PartBody(data)
            try:
                answer = self._bucket.call(
                    "upload_part",
                    signed=sent.signed,
                    Key=self._bucket.full(partial.spec.key),
                    UploadId=partial.token,
                    PartNumber=number,
                    ContentLength=data.nbytes,
                    Body=body,
                    **sent.parameters,
                )
            finally:
                body.release()
            sent.compare(answer)
            return Part(number, offset, data.nbytes, answer["ETag"])

        return twice("upload_part", put)

    def copy_parts(self, partial: Partial, entry: Entry, parts: Sequence[Part]) -> list[Part]:
        return self._copier.copy_parts(partial.spec.key, partial.token, entry, parts)

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        """Sizes and ETags are compared with what storage holds before."""
        spec = partial.spec
        ordered = check_parts(parts, size)
        if not ordered:  # S3 completes no upload without a part
            published = self.put_object(spec, memoryview(b""), sha256=sha256, replace=replace)
            self.abort(partial)
            return published
        self._compare(partial, ordered)
        attempts = self._before_publishing(spec.key, replace=replace)
        named = [{"PartNumber": part.number, "ETag": part.token} for part in ordered]
        published = self._make_visible(
            spec,
            size,
            attempts,
            "complete_multipart_upload",
            replace=replace,
            UploadId=partial.token,
            MultipartUpload={"Parts": named},
        )
        self._multiparts.end(spec.upload_id)
        return published

    def _compare(self, partial: Partial, parts: Sequence[Part]) -> None:
        held = self.list_parts(partial)
        if held is None:
            raise upload_is_gone()
        by_number = {part.number: part for part in held}
        for part in parts:
            there = by_number.get(part.number)
            if there is None or there.size != part.size or _bare(there.token) != _bare(part.token):
                raise VerificationFailed(f"Part {part.number} in storage is not the one put.")

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        """One request where the server is known to refuse damaged bytes, for it makes the file
        visible; elsewhere a multipart upload of one part, proved before."""
        if data.nbytes and self._proof.check is Check.NOTHING:
            return self._put_as_part(spec, data, sha256, replace=replace)
        return super().put_object(spec, data, sha256=sha256, replace=replace)

    def _put(
        self, spec: ObjectSpec, data: memoryview, sha256: str, attempts: Attempts, *, replace: bool
    ) -> Published:
        sent = self._proof.sent(data, md5=True)
        body = PartBody(data)
        try:
            return self._make_visible(
                spec,
                data.nbytes,
                attempts,
                "put_object",
                replace=replace,
                sent=sent,
                Body=bytes(data) if data.nbytes <= COPIED else body,
                ContentLength=data.nbytes,
                **sent.parameters,
                **self._object_parameters(spec, sha256),
            )
        finally:
            body.release()

    def _put_as_part(
        self, spec: ObjectSpec, data: memoryview, sha256: str, *, replace: bool
    ) -> Published:
        refuse_root(spec.key)
        parameters = self._object_parameters(spec, sha256)
        token = self._multiparts.create(spec.key, spec.upload_id, **parameters)
        partial = Partial(spec, token)
        try:
            part = self.put_part(partial, 1, 0, data)
            return self.commit(partial, [part], size=data.nbytes, sha256=sha256, replace=replace)
        except OutcomeUnknown:
            raise
        except SecureDropError:
            with suppress(SecureDropError):  # else the sweep takes it
                self.abort(partial)
            raise

    def _make_visible(
        self,
        spec: ObjectSpec,
        size: int,
        attempts: Attempts,
        operation: str,
        *,
        replace: bool,
        sent: Sent | None = None,
        **params: Any,
    ) -> Published:
        """The one request that makes an object visible; the bytes of ``sent`` go in it."""
        # A condition helps where the server knows it. The ledger keeps writers of ours apart.
        condition: dict[str, Any] = {} if replace else {"IfNoneMatch": "*"}
        key = self._bucket.full(spec.key)
        call = bind(self._bucket.call, operation, attempts, Key=key, **params)
        if sent is not None:
            call = bind(twice, operation, bind(call, signed=sent.signed))
        try:
            try:
                answer = call(**condition)
            except UnsupportedByBackend:
                answer = call()
        except SecureDropError as exc:
            return self._settle(spec, exc, attempts)
        etag = str(answer.get("ETag", ""))
        if sent is not None and sent.is_md5(answer):
            return Published(spec.key, size, etag)  # the server read the bytes as we did
        return self._confirm(spec, size, etag)

    def _confirm(self, spec: ObjectSpec, size: int, etag: str) -> Published:
        try:
            found = self._head(spec.key)
        except (NotFound, StorageRefused) as exc:
            # Its reader took it away already, or we may not look. HEAD found no object; we trust
            # the answer of the publishing call.
            logger.warning("storage.published.not_seen", key=spec.key, reason=str(exc))
            return Published(spec.key, size, etag)
        except SecureDropError as exc:
            raise OutcomeUnknown(str(exc)) from exc
        if found.metadata.get(META_UPLOAD_ID) == spec.upload_id and found.size != size:
            raise VerificationFailed(f"Storage holds {found.size} bytes; {size} were received.")
        return Published(spec.key, size, found.etag)

    def abort(self, partial: Partial) -> None:
        self._multiparts.abort(partial.spec.key, partial.spec.upload_id, partial.token)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        """Offsets are those of parts that follow each other."""
        parts: list[Part] = []
        offset = marker = 0
        while True:
            try:
                page = self._bucket.call(
                    "list_parts",
                    Key=self._bucket.full(partial.spec.key),
                    UploadId=partial.token,
                    PartNumberMarker=marker,
                )
            except NotFound:
                return None
            for item in page.get("Parts", ()):
                part = Part(item["PartNumber"], offset, item["Size"], item["ETag"])
                offset += part.size
                parts.append(part)
            if not page.get("IsTruncated") or not page.get("Parts"):
                return parts
            marker = parts[-1].number

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        self._proof.forget()
        return self._multiparts.sweep(keep, older_than=older_than)

    # --- reading ---------------------------------------------------------------------

    def _head(self, key: str, attempts: Attempts | None = None) -> Entry:
        head = self._bucket.call("head_object", attempts, Key=self._bucket.full(key))
        return Entry(
            key,
            False,
            head["ContentLength"],
            head["LastModified"].astimezone(UTC),
            head["ETag"],
            decode_metadata(head.get("Metadata", {})),
        )

    def _list(self, prefix: str, *, deep: bool = False, limit: int = PAGE) -> Iterator[Page]:
        for page in self._bucket.pages(prefix, "" if deep else "/", limit):
            directories = [
                self._bucket.ours(item["Prefix"])[:-1] for item in page.get("CommonPrefixes", ())
            ]
            yield directories, [self._listed(item) for item in page.get("Contents", ())]

    def _listed(self, item: dict[str, Any]) -> Entry:
        key = self._bucket.ours(item["Key"])
        return Entry(key, False, item["Size"], item["LastModified"].astimezone(UTC), item["ETag"])

    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        try:
            return self._bucket.read(entry.key, entry.etag, start, stop)
        except Exists as exc:  # IfMatch: it is another object now
            raise not_there() from exc

    # --- changing --------------------------------------------------------------------

    def _remove(self, key: str) -> None:
        self._bucket.call("delete_object", Key=self._bucket.full(key))

    def _remove_all(self, keys: list[str]) -> None:
        for at in range(0, len(keys), PAGE):
            batch = keys[at : at + PAGE]
            named = [{"Key": self._bucket.full(key)} for key in batch]
            try:
                answer = self._bucket.call(
                    "delete_objects", Delete={"Objects": named, "Quiet": True}
                )
            except StorageUnavailable:
                raise
            except StorageError:
                answer = {"Errors": named}
            if answer.get("Errors"):  # or a server that does not know the request: one by one
                super()._remove_all(batch)

    def _copy(self, entry: Entry, target: str) -> None:
        self._copier.copy(entry.key, target, entry.size, entry.etag)

    def _put_marker(self, key: str) -> None:
        self._bucket.put(key, b"", ContentType=DIRECTORY_TYPE)

    # --- life ------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Where it leads, for operators: the scheme, the bucket and the prefix."""
        return f"s3://{self._bucket.name}/{self._bucket.prefix}".rstrip("/")

    @property
    def _in_words(self) -> str:
        return f"Bucket “{self._bucket.name}”"

    def close(self) -> None:
        self._bucket.close()


def _bare(etag: str) -> str:
    return etag.strip('"')
