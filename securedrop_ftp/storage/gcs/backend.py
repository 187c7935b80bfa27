"""Google Cloud Storage: django-storages' ``GoogleCloudStorage`` for its configuration, Google's
client for the work.

An upload of several parts is a resumable session (:mod:`.session`), whose parts come one after
the other. Google has no list of sessions and ends them itself after a week. A mark under
``.securedrop/gcs/`` says which are alive; beside it lies the tail that the session cannot take
yet.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial as bind
from typing import Any, Final

from securedrop_ftp.conf import Conf, get_conf
from securedrop_ftp.exceptions import (
    ConfigurationError,
    NotFound,
    SecureDropError,
    VerificationFailed,
)
from securedrop_ftp.storage.django_storages import google_bucket, google_http
from securedrop_ftp.storage.errors import not_there, refuse_root, upload_is_gone
from securedrop_ftp.storage.flat import Page
from securedrop_ftp.storage.gcs.errors import fault
from securedrop_ftp.storage.gcs.session import MULTIPLE, Session, checksum, combined
from securedrop_ftp.storage.listing import PAGE
from securedrop_ftp.storage.object_store import ObjectStore
from securedrop_ftp.storage.parts import check_parts
from securedrop_ftp.storage.protocol import (
    RESERVED,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)
from securedrop_ftp.storage.retry import Attempts

MARKS: Final = f"{RESERVED}gcs/"


class GCSBackend(ObjectStore):
    """See the module's docstring.

    Args:
        storage: a ``GoogleCloudStorage``.
        conf: deadlines; the settings in force if not given.
    """

    name = "gcs"
    capabilities = Capabilities(
        resumable=True,
        keeps_directories=False,
        min_part_size=MULTIPLE,
        part_multiple=MULTIPLE,
        max_parts=1_000_000,
        max_object_size=5 * 1024**4,
        serial_parts=True,
    )

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        super().__init__(conf or get_conf(), storage.location, fault, MARKS)
        self._storage = storage
        self._local = threading.local()
        #: Bytes in a session, by its address and our epoch, after this process's last part.
        self._progress: dict[tuple[str, int], int] = {}
        if not storage.bucket_name:
            raise ConfigurationError("The GCS storage has no bucket_name: set it in STORAGES.")

    # --- calls -----------------------------------------------------------------------

    @property
    def _bucket(self) -> Any:
        """The bucket on this thread's own client: its HTTP session is not for several."""
        bucket = getattr(self._local, "bucket", None)
        if bucket is None:
            bucket = self._local.bucket = google_bucket(self._storage)
        return bucket

    @property
    def _timeout(self) -> tuple[float, float]:
        return min(5.0, self.conf.storage_timeout / 4), self.conf.storage_timeout / 3

    def _blob(self, key: str, **options: Any) -> Any:
        return self._bucket.blob(self._prefix + key, **options)

    def _session(self, partial: Partial, attempts: Attempts | None = None) -> Session:
        http = google_http(self._bucket)
        return Session(http, partial.token, self._timeout, attempts or self._attempts())

    # --- writing ---------------------------------------------------------------------

    def _new_blob(self, spec: ObjectSpec, sha256: str = "") -> Any:
        blob = self._blob(spec.key)
        for name, value in self._storage.get_object_parameters(spec.key).items():
            if name not in ("acl", "content_type"):
                setattr(blob, name, value)
        blob.metadata = {name: value for name, value in spec.label(sha256).items() if value}
        return blob

    def begin(self, spec: ObjectSpec) -> Partial:
        """The token is the session's address."""
        refuse_root(spec.key)
        self._write_mark(self._marks.key(spec.upload_id), b"")
        blob = self._new_blob(spec)
        token = self._call(
            "create_resumable_upload_session",
            lambda: blob.create_resumable_upload_session(
                content_type=spec.content_type,
                timeout=self._timeout,
                retry=None,
                predefined_acl=self._storage.default_acl,
                checksum=None,
            ),
        )
        return Partial(spec, str(token))

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """The part's token is its CRC32C and, where it ends in a tail, the epoch that put it.

        Bytes that the session holds already, from before a resume, are not sent again: if they are
        not the same, the checksum of the whole makes the server refuse to publish.
        """
        whole = data.nbytes // MULTIPLE * MULTIPLE
        held = self._held(partial)
        if held < offset:
            raise VerificationFailed("Parts are put one after the other here.")
        if held < offset + whole:
            self._send(partial, held, data[held - offset : whole])
        token = checksum(data)
        if whole < data.nbytes:
            epoch = str(partial.spec.epoch)
            token = f"{token}.{epoch}"
            tail = self._marks.key(partial.spec.upload_id, epoch)
            self._write_mark(tail, bytes(data[whole:]))
        return Part(number, offset, data.nbytes, token)

    def _held(self, partial: Partial) -> int:
        """Bytes in the session: as this process knows from its last part, else as asked."""
        held = self._progress.get((partial.token, partial.spec.epoch))
        if held is None:
            held = self._session(partial).persisted()
            if held is None:
                raise upload_is_gone()
        return held

    def _send(self, partial: Partial, held: int, data: memoryview) -> None:
        known = (partial.token, partial.spec.epoch)
        while data:
            session = self._session(partial)
            try:
                now = session.send(held, data)
            except SecureDropError:
                self._progress.pop(known, None)
                raise
            if not held < now <= held + data.nbytes:
                self._progress.pop(known, None)
                raise VerificationFailed("The session holds bytes that were not put here.")
            data = data[now - held :]
            held = self._progress[known] = now

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        """The server compares the CRC32C of the whole before it publishes."""
        spec = partial.spec
        ordered = check_parts(parts, size)
        if not ordered:
            published = self.put_object(spec, memoryview(b""), sha256=sha256, replace=replace)
            self.abort(partial)
            return published
        if "" not in self._marks.of(spec.upload_id):
            raise upload_is_gone()
        whole = size // MULTIPLE * MULTIPLE
        if self._session(partial).persisted() != whole:
            raise VerificationFailed("The session does not hold the bytes that were received.")
        tail = self._tail(spec.upload_id, ordered[-1]) if whole < size else b""
        if len(tail) != size - whole:
            raise VerificationFailed("The end of the last part is not there.")
        attempts = self._before_publishing(spec.key, replace=replace)
        session = self._session(partial, attempts)
        crc = combined((part.token.partition(".")[0], part.size) for part in ordered)
        published = self._publish(
            spec,
            attempts,
            lambda: _published(spec, session.finish(whole, memoryview(tail), size, crc)),
        )
        self._check_size(published, size)
        self._forget(partial)
        return published

    def _put(
        self, spec: ObjectSpec, data: memoryview, sha256: str, attempts: Attempts, *, replace: bool
    ) -> Published:
        content = bytes(data)

        def once() -> Published:
            blob = self._new_blob(spec, sha256)
            blob.upload_from_string(
                content,
                content_type=spec.content_type,
                predefined_acl=self._storage.default_acl,
                if_generation_match=None if replace else 0,
                timeout=self._timeout,
                checksum="crc32c",  # the server compares it
                retry=None,
            )
            return _published(spec, {"size": blob.size, "generation": blob.generation})

        published = self._publish(spec, attempts, lambda: self._call("upload", once, attempts))
        self._check_size(published, data.nbytes)
        return published

    @staticmethod
    def _check_size(published: Published, size: int) -> None:
        if published.size != size:
            raise VerificationFailed(f"Storage holds {published.size} bytes, not {size}.")

    def abort(self, partial: Partial) -> None:
        self._session(partial).cancel()
        self._forget(partial)

    def _forget(self, partial: Partial) -> None:
        """The upload has ended: drop what this process knows of it, and its marks."""
        for known in [k for k in list(self._progress) if k[0] == partial.token]:
            self._progress.pop(known, None)
        self._marks.unmark(partial.spec.upload_id, listed=True)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        """All that the session and the newest tail hold, as one part: a session knows no
        parts (:attr:`Capabilities.serial_parts`)."""
        marks = self._marks.of(partial.spec.upload_id)
        held = self._session(partial).persisted() if marks else None
        if held is None:
            return None
        held += max((size for tail, size in marks.items() if tail), default=0)
        return [Part(1, 0, held)] if held else []

    def _tail(self, upload_id: str, part: Part) -> bytes:
        blob = self._blob(self._marks.key(upload_id, part.token.partition(".")[2]))
        data: bytes = self._call(
            "read_tail",
            lambda: blob.download_as_bytes(timeout=self._timeout, retry=None, checksum=None),
        )
        return data

    def _write_mark(self, key: str, content: bytes) -> None:
        blob = self._blob(key)
        self._call(
            "write_mark",
            lambda: blob.upload_from_string(
                content, timeout=self._timeout, checksum="crc32c", retry=None
            ),
        )

    # --- reading and changing --------------------------------------------------------

    def _head(self, key: str, attempts: Attempts | None = None) -> Entry:
        blob = self._call(
            "get_blob",
            lambda: self._bucket.get_blob(self._prefix + key, timeout=self._timeout, retry=None),
            attempts,
        )
        if blob is None:
            raise not_there()
        return self._entry(blob)

    def _entry(self, blob: Any) -> Entry:
        return Entry(
            blob.name[len(self._prefix) :],
            False,
            int(blob.size or 0),
            blob.updated.astimezone(UTC),
            str(blob.generation or ""),
            blob.metadata or {},
        )

    def _list(self, prefix: str, *, deep: bool = False, limit: int = PAGE) -> Iterator[Page]:
        token: str | None = None
        while True:
            page, token = self._call("list_blobs", bind(self._page, prefix, deep, limit, token))
            directories = [name[len(self._prefix) : -1] for name in page.prefixes]
            yield directories, [self._entry(blob) for blob in page]
            if not token:
                return

    def _page(self, prefix: str, deep: bool, limit: int, token: str | None) -> tuple[Any, Any]:
        """One page and the token of the next; an iterator of its own, for a failed one ends."""
        found = self._bucket.list_blobs(
            prefix=self._prefix + prefix,
            delimiter=None if deep else "/",
            page_size=limit,
            page_token=token,
            timeout=self._timeout,
            retry=None,
        )
        page = next(found.pages)
        return page, found.next_page_token

    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        # The object's generation is its ETag.
        blob = self._blob(entry.key, generation=int(entry.etag) if entry.etag else None)
        data: bytes = self._call(
            "download",
            lambda: blob.download_as_bytes(
                start=start,
                end=stop - 1,
                raw_download=True,
                checksum=None,
                timeout=self._timeout,
                retry=None,
            ),
        )
        return data

    def _remove(self, key: str) -> None:
        blob = self._blob(key)
        with suppress(NotFound):
            self._call("delete", lambda: blob.delete(timeout=self._timeout, retry=None))

    def _copy(self, entry: Entry, target: str) -> None:
        attempts = Attempts.of(self.conf.operation_timeout)
        timeout = (self._timeout[0], self.conf.operation_timeout / 3)
        source, made = self._blob(entry.key), self._blob(target)
        self._call("reload", lambda: source.reload(timeout=timeout, retry=None), attempts)
        made.metadata, made.content_type = source.metadata, source.content_type
        token = None
        while True:
            token, _, _ = self._call(
                "rewrite",
                bind(made.rewrite, source, token, timeout=timeout, retry=None),
                attempts,
            )
            if token is None:
                break

    def _put_marker(self, key: str) -> None:
        blob = self._blob(key)
        self._call(
            "put_marker",
            lambda: blob.upload_from_string(b"", timeout=self._timeout, retry=None, checksum=None),
        )

    # --- life ------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Where it leads, for operators: the scheme, the bucket and the prefix."""
        return f"gs://{self._storage.bucket_name}/{self._prefix}".rstrip("/")

    @property
    def _in_words(self) -> str:
        return f"Bucket “{self._storage.bucket_name}”"

    def close(self) -> None:
        """Threads' clients close with their threads."""


def _published(spec: ObjectSpec, resource: Mapping[str, Any]) -> Published:
    return Published(spec.key, int(resource["size"]), str(resource.get("generation", "")))
