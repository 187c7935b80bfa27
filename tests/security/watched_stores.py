"""Storage that writes down, at its own end, every key that it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import boto3
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from moto import mock_aws
from moto.s3.models import s3_backends
from storages.backends.s3 import S3Storage

from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.storage.s3.backend import S3Backend
from tests.security.recording import RecordingBackend

#: What lies there before anybody comes: each partner's own, its neighbour's, nobody's.
SECRETS: Final = ("a/secret", "ab/secret", "ab/in/secret", "a/ab/secret", "b/secret", "secret")


class WatchedStore(Protocol):
    """A storage location with :data:`SECRETS` in it."""

    seen: list[str]

    def fresh(self) -> Backend:
        """Empty it, put the secrets there, forget what was seen."""

    def stored(self) -> set[str]:
        """The keys of all objects, directory markers left out."""


class Memory:
    """Judged by what the backend was asked for."""

    def fresh(self) -> Backend:
        self._storage = InMemoryStorage()
        for key in SECRETS:
            with self._storage.open(key, "wb") as file:
                file.write(b"secret")
        backend = RecordingBackend(MemoryBackend(self._storage))
        self.seen = backend.seen
        return backend

    def stored(self) -> set[str]:
        found: set[str] = set()
        left = [""]
        while left:
            directory = left.pop()
            directories, files = self._storage.listdir(directory)
            found |= {f"{directory}{name}" for name in files}
            left += [f"{directory}{name}/" for name in directories]
        return found


class Files:
    """Judged by what the backend was asked for, and by the tree."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fresh(self) -> Backend:
        shutil.rmtree(self._path)
        for key in SECRETS:
            (self._path / key).parent.mkdir(parents=True, exist_ok=True)
            (self._path / key).write_bytes(b"secret")
        backend = RecordingBackend(FilesystemBackend(FileSystemStorage(location=str(self._path))))
        self.seen = backend.seen
        return backend

    def stored(self) -> set[str]:
        return {str(p.relative_to(self._path)) for p in self._path.rglob("*") if p.is_file()}


class Moto:
    """Judged by the HTTP requests that arrive at S3 (moto, in this process: over sockets a
    request takes four times as long)."""

    bucket = "isolation"

    def __init__(self) -> None:
        self.seen: list[str] = []
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=self.bucket)
        self._backend = S3Backend(
            S3Storage(bucket_name=self.bucket, region_name="us-east-1", addressing_style="path")
        )
        assert self._backend._proof.check  # its probe goes before what is watched
        self._backend._bucket.client().meta.events.register_first("before-send.s3", self._watch)
        self._objects = next(iter(s3_backends["123456789012"].values())).buckets[self.bucket].keys
        for key in SECRETS:
            client.put_object(Bucket=self.bucket, Key=key, Body=b"secret")
        self._secrets = {key: self._objects.getlist(key) for key in SECRETS}

    def fresh(self) -> Backend:
        self._objects.clear()
        for key, versions in self._secrets.items():
            self._objects.setlist(key, versions)
        self.seen.clear()
        return self._backend

    def stored(self) -> set[str]:
        return {key for key in self._objects if not key.endswith("/")}

    def _watch(self, request: Any, **_: object) -> None:
        self.seen += keys_of(request.method, request.url, request.headers, request.body)


def keys_of(method: str, url: str, headers: Any, body: Any) -> Iterator[str]:
    """Every key and prefix that an S3 request names."""
    parts = urlsplit(url)
    _, _bucket, key = unquote(parts.path).split("/", 2) if parts.path.count("/") > 1 else ("",) * 3
    query = parse_qs(parts.query, keep_blank_values=True)
    if key:
        yield key
    yield from query.get("prefix", [])
    if method == "GET" and not key and "prefix" not in query:
        yield ""  # the whole bucket
    if "x-amz-copy-source" in headers:
        source = headers["x-amz-copy-source"]
        yield unquote(source if isinstance(source, str) else source.decode()).split("/", 1)[1]
    if "delete" in query:
        for element in ElementTree.fromstring(body).iter():
            if element.tag.endswith("Key"):
                yield element.text or ""


@contextmanager
def watched(kind: str, path: Path) -> Iterator[WatchedStore]:
    """``memory``, ``filesystem`` under ``path``, or ``moto``."""
    if kind == "memory":
        yield Memory()
    elif kind == "filesystem":
        path.mkdir()
        yield Files(path)
    else:
        with mock_aws():
            yield Moto()
