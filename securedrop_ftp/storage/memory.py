"""Objects in this process's memory: for tests and for trying things out.

Serves Django's ``InMemoryStorage``. What is stored lives as long as the backend, in one process;
the storage instance's own files are not shared with it (the ``generic`` backend does that).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as but
from datetime import UTC, datetime
from typing import Any

from securedrop_ftp.exceptions import (
    Exists,
    IntoItself,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    VerificationFailed,
)
from securedrop_ftp.storage.errors import not_there, refuse_root, upload_is_gone
from securedrop_ftp.storage.listing import in_pages
from securedrop_ftp.storage.names import check_upload_id
from securedrop_ftp.storage.parts import check_parts
from securedrop_ftp.storage.protocol import (
    META_UPLOAD_ID,
    RESERVED,
    Capabilities,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
    nothing_to_do,
)


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    modified: datetime
    etag: str
    metadata: Mapping[str, str]


@dataclass(slots=True)
class _Upload:
    spec: ObjectSpec
    begun: datetime
    parts: dict[int, tuple[int, bytes]] = field(default_factory=dict)


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryBackend:
    """See the module's docstring. One lock around everything: it is never the bottleneck."""

    name = "memory"
    capabilities = Capabilities(resumable=True, node_bound=True, lands_late=False)

    def __init__(self, storage: Any = None) -> None:
        del storage  # nothing of it is configuration
        self._lock = threading.RLock()
        self._objects: dict[str, _Object] = {}
        self._directories: set[str] = set()
        self._uploads: dict[str, _Upload] = {}

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        token = f"{check_upload_id(spec.upload_id)}.{spec.epoch}"
        with self._lock:
            self._uploads[token] = _Upload(spec, _now())
        return Partial(spec, token)

    def _upload(self, partial: Partial) -> _Upload:
        try:
            return self._uploads[partial.token]
        except KeyError:
            raise upload_is_gone() from None

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        content = bytes(data)
        with self._lock:
            self._upload(partial).parts[number] = (offset, content)
        return Part(number, offset, len(content), hashlib.sha256(content).hexdigest())

    def resume(self, partial: Partial, epoch: int) -> Partial:
        spec = but(partial.spec, epoch=epoch)
        token = f"{check_upload_id(spec.upload_id)}.{epoch}"
        with self._lock:
            self._uploads[token] = self._upload(partial)
            if token != partial.token:
                del self._uploads[partial.token]
        return Partial(spec, token)

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        ordered = check_parts(parts, size)
        with self._lock:
            held = self._upload(partial).parts
            for part in ordered:
                offset, content = held.get(part.number, (-1, b""))
                if offset != part.offset or hashlib.sha256(content).hexdigest() != part.token:
                    raise VerificationFailed(f"Part {part.number} is not the one that was put.")
            data = b"".join(held[part.number][1] for part in ordered)
            published = self._publish(partial.spec, data, sha256, replace)
            del self._uploads[partial.token]
        return published

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        with self._lock:
            return self._publish(spec, bytes(data), sha256, replace)

    def _publish(self, spec: ObjectSpec, data: bytes, sha256: str, replace: bool) -> Published:
        refuse_root(spec.key)
        self._check_parents(spec.key)
        if self._is_directory(spec.key):
            raise IsADirectory
        if not replace and spec.key in self._objects:
            raise Exists
        etag = hashlib.sha256(data).hexdigest()[:32] + "-" + spec.upload_id
        self._objects[spec.key] = _Object(data, _now(), etag, spec.label(sha256))
        self._add_directories(spec.key)
        return Published(spec.key, len(data), etag)

    def abort(self, partial: Partial) -> None:
        with self._lock:
            self._uploads.pop(partial.token, None)

    def find_published(self, key: str, upload_id: str) -> Published | None:
        found = self._objects.get(key)
        if found is None or found.metadata.get(META_UPLOAD_ID) != upload_id:
            return None
        return Published(key, len(found.data), found.etag)

    def list_parts(self, partial: Partial) -> list[Part] | None:
        with self._lock:
            upload = self._uploads.get(partial.token)
            if upload is None:
                return None
            return [
                Part(number, offset, len(content), hashlib.sha256(content).hexdigest())
                for number, (offset, content) in sorted(upload.parts.items())
            ]

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        with self._lock:
            found = [
                (t, u.spec.upload_id) for t, u in self._uploads.items() if u.begun < older_than
            ]
        dead = [token for token, upload_id in found if not keep(upload_id)]
        with self._lock:
            return sum(self._uploads.pop(token, None) is not None for token in dead)

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        with self._lock:
            found = self._objects.get(key)
            if found is not None:
                return self._entry(key, found)
            if self._is_directory(key):
                return Entry(key, is_dir=True)
        raise not_there()

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        with self._lock:
            if key in self._objects:
                raise NotADirectory
            if not self._is_directory(key):
                raise not_there("directory")
            base = f"{key}/" if key else ""
            entries = [
                Entry(name, is_dir=True)
                for name in self._directories
                if name.startswith(base) and "/" not in name[len(base) :]
            ] + [
                self._entry(name, found)
                for name, found in self._objects.items()
                if name.startswith(base) and "/" not in name[len(base) :]
            ]
        yield from in_pages(entry for entry in entries if entry.key != RESERVED[:-1])

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        found = self._objects.get(entry.key)
        if found is None or (entry.etag and found.etag != entry.etag):
            raise not_there()
        return found.data[offset : offset + length]

    @staticmethod
    def _entry(key: str, found: _Object) -> Entry:
        return Entry(key, False, len(found.data), found.modified, found.etag, found.metadata)

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        with self._lock:
            if self._objects.pop(key, None) is None:
                raise IsADirectory if self._is_directory(key) else not_there()

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        refuse_root(source)
        refuse_root(target)
        with self._lock:
            directory = self.stat(source).is_dir
            if source == target:
                return
            if directory and target.startswith(f"{source}/"):
                raise IntoItself("A directory cannot move into itself.")
            self._check_parents(target)
            if self._is_directory(target):
                raise Exists if directory else IsADirectory
            if target in self._objects and (directory or not replace):
                raise Exists
            self._objects = {_moved(k, source, target): v for k, v in self._objects_without(target)}
            self._directories = {_moved(k, source, target) for k in self._directories}
            self._add_directories(target)

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        with self._lock:
            return source not in self._objects and not self._is_directory(source)

    def _objects_without(self, target: str) -> list[tuple[str, _Object]]:
        return [(key, found) for key, found in self._objects.items() if key != target]

    def mkdir(self, key: str) -> None:
        with self._lock:
            if key in self._objects or self._is_directory(key):
                raise Exists
            self._check_parents(key)
            self._add_directories(f"{key}/")

    def rmdir(self, key: str) -> None:
        refuse_root(key)
        with self._lock:
            if key in self._objects:
                raise NotADirectory
            if key not in self._directories:
                raise not_there("directory")
            names = (*self._objects, *self._directories)
            if any(name.startswith(f"{key}/") for name in names):
                raise NotEmpty
            self._directories.discard(key)

    def _is_directory(self, key: str) -> bool:
        return not key or key in self._directories

    def _check_parents(self, key: str) -> None:
        while key := key.rpartition("/")[0]:
            if key in self._objects:
                raise NotADirectory

    def _add_directories(self, key: str) -> None:
        while key := key.rpartition("/")[0]:
            self._directories.add(key)

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """Memory is always there."""

    def close(self) -> None:
        """Nothing is held, so nothing is released."""


def _moved(key: str, source: str, target: str) -> str:
    if key == source or key.startswith(f"{source}/"):
        return target + key[len(source) :]
    return key
