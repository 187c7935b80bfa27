"""Azure Blob Storage: django-storages' ``AzureStorage`` for its configuration, Azure's client for
the work.

An upload of several parts is a set of staged blocks of a block blob: they are invisible until a
list of them is committed, and every client sees the same. A block's id carries the upload and the
epoch, so the blocks of a late writer are not those that the commit names. Azure has no abort:
blocks that no commit names are dropped by the next commit of that blob, or by the service after a
week. A mark under ``.securedrop/azure/`` says which uploads are alive.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial as bind
from typing import Any, ClassVar, Final

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlobPrefix, ContentSettings

from securedrop_ftp.conf import MIB, Conf, get_conf
from securedrop_ftp.exceptions import (
    ConfigurationError,
    Exists,
    NotFound,
    StorageUnavailable,
    VerificationFailed,
)
from securedrop_ftp.storage.azure.errors import fault
from securedrop_ftp.storage.django_storages import azure_container
from securedrop_ftp.storage.errors import not_there, refuse_root, upload_is_gone
from securedrop_ftp.storage.flat import Page
from securedrop_ftp.storage.listing import PAGE
from securedrop_ftp.storage.names import check_upload_id, decode_metadata, encode_metadata
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
from securedrop_ftp.storage.retry import Attempts, twice

MARKS: Final = f"{RESERVED}azure/"


class AzureBackend(ObjectStore):
    """See the module's docstring.

    Args:
        storage: an ``AzureStorage``.
        conf: deadlines; the settings in force if not given.
    """

    name = "azure"
    #: Azure warns of names that end in "/"; a name inside the directory does as well.
    marker_name: ClassVar[str] = ".securedrop-directory"
    capabilities = Capabilities(
        resumable=True,
        keeps_directories=False,
        max_part_size=4000 * MIB,
        max_parts=50_000,
        max_object_size=50_000 * 4000 * MIB,
    )

    def __init__(self, storage: Any, conf: Conf | None = None) -> None:
        super().__init__(conf or get_conf(), storage.location, fault, MARKS)
        self._storage = storage
        self._lock = threading.Lock()
        self._client: Any = None
        if not storage.azure_container:
            raise ConfigurationError(
                "The Azure storage has no azure_container: set it in STORAGES."
            )

    # --- calls -----------------------------------------------------------------------

    @property
    def _container(self) -> Any:
        """One client for all threads, made at first use, after the fork."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = azure_container(self._storage)
        return self._client

    def _blob(self, key: str) -> Any:
        return self._container.get_blob_client(self._prefix + key)

    @property
    def _limits(self) -> dict[str, Any]:
        """Options of every request: our deadlines, and our retries instead of the SDK's."""
        timeout = self.conf.storage_timeout
        return {
            "connection_timeout": min(5.0, timeout / 4),
            "read_timeout": timeout / 3,
            "retry_total": 0,
        }

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        """The token names the upload's blocks."""
        refuse_root(spec.key)
        self._put_marker(self._marks.key(spec.upload_id))
        return Partial(spec, _blocks_of(spec.upload_id))

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """The part's token is its block's id. The server compares an MD5."""
        block_id = f"{partial.token}{partial.spec.epoch:08x}{number:08x}"
        blob = self._blob(partial.spec.key)
        content = bytes(data)  # the SDK reads it more than once, and signs what it was given

        def stage() -> None:
            blob.stage_block(
                block_id, content, length=len(content), validate_content=True, **self._limits
            )

        twice("stage_block", lambda: self._call("stage_block", stage))
        return Part(number, offset, data.nbytes, block_id)

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        """The blocks' sizes are compared before."""
        spec = partial.spec
        ordered = check_parts(parts, size)
        if not self._is_marked(spec.upload_id):
            raise upload_is_gone()
        held = self._staged(spec.key)
        for part in ordered:
            if held.get(part.token) != part.size:
                raise VerificationFailed(f"Part {part.number} in storage is not the one put.")
        attempts = self._before_publishing(spec.key, replace=replace)
        blob, blocks = self._blob(spec.key), [BlobBlock(part.token) for part in ordered]
        published = self._publish_once_or_twice(
            spec,
            size,
            attempts,
            lambda: blob.commit_block_list(
                blocks, **self._properties(spec, sha256), **_condition(replace), **self._limits
            ),
        )
        self._marks.unmark(spec.upload_id)
        return published

    def _put(
        self, spec: ObjectSpec, data: memoryview, sha256: str, attempts: Attempts, *, replace: bool
    ) -> Published:
        blob, content = self._blob(spec.key), bytes(data)

        def upload() -> dict[str, Any]:
            answer: dict[str, Any] = blob.upload_blob(
                content,
                overwrite=replace,
                validate_content=True,  # the server compares an MD5
                **self._properties(spec, sha256),
                **self._limits,
            )
            return answer

        return self._publish_once_or_twice(spec, data.nbytes, attempts, upload)

    def _properties(self, spec: ObjectSpec, sha256: str) -> dict[str, Any]:
        given = dict(self._storage.object_parameters)
        given.setdefault("cache_control", self._storage.cache_control)
        given["content_type"] = spec.content_type
        metadata = _encoded(spec.label(sha256))
        return {"content_settings": ContentSettings(**given), "metadata": metadata}

    def _publish_once_or_twice(
        self, spec: ObjectSpec, size: int, attempts: Attempts, call: Callable[[], dict[str, Any]]
    ) -> Published:
        def published() -> Published:
            answer = twice("publish", lambda: self._call("publish", call, attempts))
            return Published(spec.key, size, str(answer.get("etag", "")))

        return self._publish(spec, attempts, published)

    def abort(self, partial: Partial) -> None:
        self._marks.unmark(partial.spec.upload_id)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        """Of a number that several epochs put, the last one's."""
        if not self._is_marked(partial.spec.upload_id):
            return None
        ours = sorted(
            (block_id, size)
            for block_id, size in self._staged(partial.spec.key).items()
            if block_id.startswith(partial.token)
        )
        newest = {int(block_id[-8:], 16): (block_id, size) for block_id, size in ours}
        parts: list[Part] = []
        offset = 0
        for number, (block_id, size) in sorted(newest.items()):
            parts.append(Part(number, offset, size, block_id))
            offset += size
        return parts

    def _staged(self, key: str) -> dict[str, int]:
        """Uncommitted blocks and their sizes."""
        blob = self._blob(key)
        try:
            _, staged = self._call(
                "get_block_list", lambda: blob.get_block_list("uncommitted", **self._limits)
            )
        except NotFound:
            return {}
        return {_block_id(block.id): int(block.size) for block in staged}

    def _is_marked(self, upload_id: str) -> bool:
        try:
            self._head(self._marks.key(upload_id))
        except NotFound:
            return False
        return True

    # --- reading and changing --------------------------------------------------------

    def _head(self, key: str, attempts: Attempts | None = None) -> Entry:
        blob = self._blob(key)
        return self._entry(
            self._call("head", lambda: blob.get_blob_properties(**self._limits), attempts),
        )

    def _entry(self, found: Any) -> Entry:
        return Entry(
            found.name[len(self._prefix) :],
            False,
            int(found.size),
            found.last_modified.astimezone(UTC),
            '"' + str(found.etag).strip('"') + '"',  # listings leave the quotes out
            _decoded(found.metadata or {}),
        )

    def _list(self, prefix: str, *, deep: bool = False, limit: int = PAGE) -> Iterator[Page]:
        options = {
            "name_starts_with": self._prefix + prefix,
            "results_per_page": limit,
            **self._limits,
        }
        token: str | None = None
        while True:
            items, token = self._call("list_blobs", bind(self._page, options, deep, token))
            prefixes = [item for item in items if isinstance(item, BlobPrefix)]
            files = [item for item in items if not isinstance(item, BlobPrefix)]
            yield (
                [item.name[len(self._prefix) : -1] for item in prefixes],
                [self._entry(item) for item in files],
            )
            if not token:
                return

    def _page(
        self, options: dict[str, Any], deep: bool, token: str | None
    ) -> tuple[list[Any], str | None]:
        """One page and the token of the next; an iterator of its own, for a failed one ends."""
        if deep:
            found = self._container.list_blobs(**options)
        else:
            found = self._container.walk_blobs(delimiter="/", **options)
        pages = found.by_page(continuation_token=token)
        items = list(next(pages, ()))
        return items, pages.continuation_token or None

    def _fetch(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.key)
        pinned: dict[str, Any] = {}
        if entry.etag:
            pinned = {"etag": entry.etag, "match_condition": MatchConditions.IfNotModified}

        def once() -> bytes:
            stream = blob.download_blob(start, stop - start, **pinned, **self._limits)
            data: bytes = stream.readall()
            return data

        try:
            return self._call("download", once)
        except Exists as exc:  # the condition: it is another object now
            raise not_there() from exc

    def _remove(self, key: str) -> None:
        blob = self._blob(key)
        with suppress(NotFound):
            self._call("delete", lambda: blob.delete_blob(**self._limits))

    def _copy(self, entry: Entry, target: str) -> None:
        attempts = Attempts.of(self.conf.operation_timeout)
        source, made = self._blob(entry.key), self._blob(target)
        self._call(
            "copy",
            lambda: made.start_copy_from_url(
                source.url,
                source_etag=entry.etag,
                source_match_condition=MatchConditions.IfNotModified,
                **self._limits,
            ),
            attempts,
        )

        def finished() -> Any:
            # Within one account a copy is done at once; if it is not, it is asked for again.
            found = made.get_blob_properties(**self._limits)
            if found.copy.status == "pending":
                raise OSError("the copy is still running")
            return found

        found = self._call("copy_status", finished, attempts)
        if found.copy.status not in (None, "success"):
            raise StorageUnavailable("The storage could not copy the file.")

    def _put_marker(self, key: str) -> None:
        blob = self._blob(key)
        self._call("put_mark", lambda: blob.upload_blob(b"", overwrite=True, **self._limits))

    # --- life ------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Where it leads, for operators: the scheme, the container and the prefix."""
        return f"azure://{self._storage.azure_container}/{self._prefix}".rstrip("/")

    @property
    def _in_words(self) -> str:
        return f"Container “{self._storage.azure_container}”"

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _blocks_of(upload_id: str) -> str:
    """What the ids of an upload's blocks begin with; all ids of a blob must be equally long."""
    return hashlib.sha256(check_upload_id(upload_id).encode()).hexdigest()[:32]


def _block_id(listed: str) -> str:
    """The SDK encodes ids that it is given, and may or may not decode those that it lists."""
    with suppress(ValueError, UnicodeDecodeError):
        decoded = b64decode(listed, validate=True).decode("ascii")
        if b64encode(decoded.encode()).decode() == listed and len(decoded) == 48:
            return decoded
    return listed


def _condition(replace: bool) -> dict[str, Any]:
    return {} if replace else {"match_condition": MatchConditions.IfMissing}


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    """Azure's metadata names are identifiers."""
    return {n.replace("-", "_"): value for n, value in encode_metadata(values).items()}


def _decoded(values: Mapping[str, str]) -> dict[str, str]:
    return {n.replace("_", "-"): value for n, value in decode_metadata(values).items()}
