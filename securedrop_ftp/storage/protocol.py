"""The storage backend protocol: what a backend must do, and nothing else.

A backend is a thin, thread-safe adapter over one storage location (a directory, a bucket with a
prefix, a container). It never sees FTP, partners or accounts. All its methods block, and are
called from pool threads only; every method may be called from several threads at once, except
that the parts of one upload are finished (``commit``, ``abort``) only after all their
``put_part`` calls returned.

Keys are text without a leading ``/``, relative to the backend's location, checked by
:func:`securedrop_ftp.keys.check_key` on the way in, and never under
:data:`RESERVED` unless the backend itself made them. Sizes and offsets are bytes; times are
aware UTC datetimes. Everything that goes wrong is raised as one of the
:class:`~securedrop_ftp.exceptions.StorageError` tree.

Writing goes ``begin`` → ``put_part`` × n → ``commit`` or ``abort``. Nothing is visible at the key
before ``commit`` returns, and a ``commit`` that raises anything but
:class:`~securedrop_ftp.exceptions.OutcomeUnknown` has changed nothing at the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

#: Everything of ours that is not a finished file lives under this directory.
RESERVED: Final = ".securedrop/"

#: Metadata keys put on every object we publish (S3: ``x-amz-meta-…``).
META_UPLOAD_ID: Final = "securedrop-upload-id"
META_SHA256: Final = "securedrop-sha256"
META_PARTNER: Final = "securedrop-partner"
META_ACCOUNT: Final = "securedrop-account"


def nothing_to_do() -> None:
    """A notice that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do; intake and downloads adapt to it.

    Attributes:
        resumable: holds parts beyond the process that put them.
        node_bound: held parts are visible on this machine only.
        min_part_size: of every part but the last, bytes.
        part_multiple: part sizes other than the last are multiples of this, bytes.
        max_part_size: bytes.
        max_parts: per object.
        max_object_size: bytes, ``None`` where there is no limit but the space.
        serial_parts: parts must be put one after the other, in order (GCS).
        lands_late: a publishing call whose caller died or gave up may still be carried out
            afterwards, as whatever goes over a network may.
        reads_ahead: of a download; more of them take memory and save nothing. ``None`` where they
            wait for a network, and as many as the settings say are worth it.
        keeps_directories: a directory is there until it is removed; else as long as something is
            in it, and the ledger keeps it.
        longest_read: bytes of a download that are asked for at once; a longer range takes memory
            and saves nothing. ``None``: as the settings say, likewise.
        copies_parts: it is a :class:`CopiesParts`.
    """

    resumable: bool = False
    node_bound: bool = False
    min_part_size: int = 1
    part_multiple: int = 1
    max_part_size: int = 48 * 1024 * 1024
    max_parts: int = 10_000
    max_object_size: int | None = None
    serial_parts: bool = False
    lands_late: bool = True
    keeps_directories: bool = True
    reads_ahead: int | None = None
    longest_read: int | None = None
    copies_parts: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory, or the answer of ``stat``.

    ``key`` is the full key without a trailing ``/``; ``size`` is 0 for a directory; ``modified``
    is ``None`` where storage does not know it (implicit directories).
    """

    key: str
    is_dir: bool
    size: int = 0
    modified: datetime | None = None
    etag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last component of the key."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """What is to be published: where, and what is written on it."""

    key: str
    upload_id: str
    epoch: int = 1
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def label(self, sha256: str = "") -> dict[str, str]:
        """All metadata of the published object: whose it is and, where it is known when the label
        is written, its digest."""
        return {**self.metadata, META_UPLOAD_ID: self.upload_id, META_SHA256: sha256}


@dataclass(frozen=True, slots=True)
class Part:
    """A part that storage has taken. ``number`` counts from 1, ``token`` is the backend's
    (an ETag, a block id; JSON text)."""

    number: int
    offset: int
    size: int
    token: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """An upload in progress. ``token`` is what another process needs to go on with it
    (multipart upload id, session address, temporary name); it is a secret, kept encrypted."""

    spec: ObjectSpec
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """What ``commit`` found in storage afterwards (or the ledger's answer for it).

    Attributes:
        may_land_again: the put was tried more than once. A try that got no answer may still be
            carried out, and would replace whatever has that name by then.
    """

    key: str
    size: int
    etag: str = ""
    may_land_again: bool = False


@runtime_checkable
class Backend(Protocol):
    """See the module's docstring. ``replace=False`` where it appears means: raise
    :class:`~securedrop_ftp.exceptions.Exists` if a finished file has that name (best effort
    beyond our own writers, which the ledger keeps apart)."""

    @property
    def name(self) -> str:
        """A short word for the ledger and the log: ``s3``, ``filesystem``."""

    @property
    def capabilities(self) -> Capabilities:
        """What the storage can do; the same for the life of the backend."""

    # --- writing ---------------------------------------------------------------------

    def begin(self, spec: ObjectSpec) -> Partial:
        """Prepare an upload of several parts."""

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        """Store one part durably. Putting the same number again with the same bytes is allowed
        (a retry)."""

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """Take an unfinished upload over under a higher epoch, from any process that storage
        lets see it. What a late writer still puts under the old epoch is never published.

        Raises:
            NotFound: it is gone.
        """

    def commit(
        self, partial: Partial, parts: Sequence[Part], *, size: int, sha256: str, replace: bool
    ) -> Published:
        """Publish exactly these parts, in order. Checks that they add up to ``size`` first.
        ``sha256`` (hex) goes into the object's metadata where the backend still can; where it
        cannot (S3 multipart metadata is fixed at ``begin``) it stands in the ledger only."""

    def put_object(
        self, spec: ObjectSpec, data: memoryview, *, sha256: str, replace: bool
    ) -> Published:
        """Publish a small file, empty ones included, in one call."""

    def abort(self, partial: Partial) -> None:
        """Discard an upload and its parts. Doing it again is not an error."""

    def find_published(self, key: str, upload_id: str) -> Published | None:
        """The object at ``key`` if it was published by ``upload_id``, else ``None``. Settles an
        unknown outcome."""

    def list_parts(self, partial: Partial) -> list[Part] | None:
        """The parts that storage holds, by number; ``None``: the upload is gone. Storages of
        serial parts tell one part of all the bytes (:func:`.parts.holds` compares either)."""

    def sweep(self, keep: Callable[[str], bool], *, older_than: datetime) -> int:
        """Discard unfinished uploads that carry our marks, are older than ``older_than`` and
        whose upload id ``keep`` does not want. Returns how many. Never touches others'."""

    # --- reading ---------------------------------------------------------------------

    def stat(self, key: str) -> Entry:
        """One object or directory (``""`` is the root, which always exists).

        Raises:
            NotFound: there is neither.
        """

    def scandir(self, key: str) -> Iterator[list[Entry]]:
        """The entries of a directory in pages of at most 1 000, one storage request a page, in
        no promised order, without ``RESERVED`` at the root and without the directory itself.

        Raises:
            NotFound: no such directory. NotADirectory: it is a file.
        """

    def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` of the very object that ``stat`` saw (its ETag where
        storage has them). Fewer bytes come back only at the object's end.

        Raises:
            NotFound: it is gone, or is another one now.
        """

    # --- changing --------------------------------------------------------------------

    def delete(self, key: str) -> None:
        """Remove a file. Raises NotFound, IsADirectory."""

    def rename(
        self,
        source: str,
        target: str,
        *,
        replace: bool,
        copied: Callable[[], None] = nothing_to_do,
    ) -> None:
        """A file or a directory. There is no moment in which neither name exists, and a failed
        rename leaves the source whole, unless ``copied`` was called: a storage that cannot move
        calls it when everything is at the target, before it removes the source; what it raises
        stops the rename there. Raises NotFound, Exists, IsADirectory, IntoItself."""

    def settle_rename(
        self, source: str, target: str, *, copied: bool, target_etag: str, undo: bool
    ) -> bool:
        """Bring a rename of ``source`` to ``target`` to an end that stopped on its way; nobody else
        changes the two names meanwhile. True: it is done now.

        ``copied``: everything is known to be at the target. ``target_etag``: of the file that was
        there before, ``""``: none was. ``undo``: where it is not done, remove the copies; else they
        are left, because what was asked of storage may still be carried out."""

    def mkdir(self, key: str) -> None:
        """Raises Exists (file or directory), NotFound where the parent must exist."""

    def rmdir(self, key: str) -> None:
        """Raises NotFound, NotADirectory, NotEmpty."""

    # --- life ------------------------------------------------------------------------

    def check(self) -> None:
        """Reach the storage with as little as possible; raises StorageError with a sentence
        that an operator understands."""

    def close(self) -> None:
        """Release clients and descriptors. Publishes nothing."""


@runtime_checkable
class Located(Protocol):
    """A backend whose location can vanish under it, and be an empty folder then: a directory on a
    disk that is not mounted. A mark in it tells whether it is there. Backends of services that
    answer for themselves (buckets, containers) need none."""

    @property
    def place(self) -> str:
        """What an operator calls it: the directory's path."""

    def mark(self) -> str:
        """The mark that is there now, ``""``: none, or no location at all."""

    def put_mark(self, mark: str) -> str:
        """Make the location where it is missing, and mark it; what marks it then, which is
        another's where that one was quicker."""

    def expect_mark(self, mark: str) -> None:
        """From now on every call raises :class:`~securedrop_ftp.exceptions.StorageLost` while the
        location does not carry this mark."""

    def is_blank(self) -> bool:
        """Whether there is nothing at all in the location, or no location."""


@runtime_checkable
class CopiesParts(Protocol):
    """A backend that makes parts of what it stores without sending it."""

    def copy_parts(self, partial: Partial, entry: Entry, parts: Sequence[Part]) -> list[Part]:
        """Store these parts of an upload (their tokens are not there yet), each the bytes of
        ``entry`` at its own offset, of the very object that ``stat`` saw.

        Raises:
            StorageUnavailable: it is another object now.
            NotFound: it is gone.
        """


#: Makes a backend of the configured Django storage. Called in each worker after the fork.
BackendFactory = Callable[[Any], Backend]
