"""A backend that writes down every key that it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from securedrop_ftp.storage.protocol import (
    Backend,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
    nothing_to_do,
)


class RecordingBackend:
    """Everything goes on to the backend inside; every key stands in ``seen``."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.seen: list[str] = []
        self.name = inner.name
        self.capabilities = inner.capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def begin(self, spec: ObjectSpec) -> Partial:
        self.seen.append(spec.key)
        return self._inner.begin(spec)

    def commit(self, partial: Partial, parts: Sequence[Part], **kwargs: Any) -> Published:
        self.seen.append(partial.spec.key)
        return self._inner.commit(partial, parts, **kwargs)

    def put_object(self, spec: ObjectSpec, data: memoryview, **kwargs: Any) -> Published:
        self.seen.append(spec.key)
        return self._inner.put_object(spec, data, **kwargs)

    def find_published(self, key: str, upload_id: str) -> Published | None:
        self.seen.append(key)
        return self._inner.find_published(key, upload_id)

    def stat(self, key: str) -> Entry:
        self.seen.append(key)
        return self._inner.stat(key)

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        self.seen.append(key)
        return self._inner.scandir(key)

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        self.seen.append(entry.key)
        return self._inner.read(entry, offset, length)

    def delete(self, key: str) -> None:
        self.seen.append(key)
        self._inner.delete(key)

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        self.seen += [source, target]
        self._inner.rename(source, target, replace=replace, copied=copied)

    def settle_rename(self, source: str, target: str, **kwargs: Any) -> bool:
        self.seen += [source, target]
        return self._inner.settle_rename(source, target, **kwargs)

    def mkdir(self, key: str) -> None:
        self.seen.append(key)
        self._inner.mkdir(key)

    def rmdir(self, key: str) -> None:
        self.seen.append(key)
        self._inner.rmdir(key)
