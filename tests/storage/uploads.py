"""Short ways to upload in tests of storage."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence

from securedrop_ftp.storage.protocol import (
    Backend,
    Entry,
    ObjectSpec,
    Part,
    Partial,
    Published,
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def spec_for(key: str, upload_id: str = "") -> ObjectSpec:
    return ObjectSpec(key, upload_id or str(uuid.uuid4()), metadata={"securedrop-partner": "acme"})


def put(
    backend: Backend, key: str, data: bytes = b"data", *, upload_id: str = "", replace: bool = True
) -> Published:
    """A small file in one call."""
    spec = spec_for(key, upload_id)
    return backend.put_object(spec, memoryview(data), sha256=sha256(data), replace=replace)


def part_size(backend: Backend) -> int:
    """The smallest part that the backend takes before the last, at least 64 KiB."""
    caps = backend.capabilities
    size = max(caps.min_part_size, 64 * 1024)
    return -(-size // caps.part_multiple) * caps.part_multiple


def pieces(backend: Backend, count: int, tail: int = 1000) -> list[bytes]:
    """``count`` parts' bytes, no two alike; the last is ``tail`` bytes."""
    size = part_size(backend)
    return [os.urandom(64) + bytes([n]) * (size - 64) for n in range(count - 1)] + [
        os.urandom(tail)
    ]


def put_parts(backend: Backend, partial: Partial, data: Sequence[bytes]) -> list[Part]:
    """All parts, in order."""
    parts, offset = [], 0
    for number, piece in enumerate(data, start=1):
        parts.append(backend.put_part(partial, number, offset, memoryview(piece)))
        offset += len(piece)
    return parts


def commit(
    backend: Backend, partial: Partial, parts: Sequence[Part], whole: bytes, *, replace: bool = True
) -> Published:
    return backend.commit(partial, parts, size=len(whole), sha256=sha256(whole), replace=replace)


def content(backend: Backend, key: str) -> bytes:
    """The whole object."""
    entry = backend.stat(key)
    return backend.read(entry, 0, entry.size)


def listing(backend: Backend, key: str = "") -> dict[str, Entry]:
    """A directory's entries by name."""
    return {entry.name: entry for page in backend.scandir(key) for entry in page}
