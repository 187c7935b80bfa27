"""How the bytes of a full part get into storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from securedrop_ftp.intake.space import Space
from securedrop_ftp.intake.steps import step
from securedrop_ftp.storage.protocol import Backend, Part, Partial


class Content(Protocol):
    """Bytes in memory or mapped from a file."""

    @property
    def filled(self) -> int:
        """How many bytes there are."""

    @property
    def content(self) -> memoryview:
        """All of them, uncopied."""

    def release(self) -> None:
        """Give the memory, or the disk, back. Doing it again is not an error."""


@dataclass(slots=True)
class FullPart:
    """Bytes that have all come: a part, or a piece of one that is too large for memory.

    Attributes:
        number: of the part, from 1.
        offset: of the first byte in the file.
        begins: the offset at which the part begins.
        ends_part: nothing more of the part will come.
    """

    number: int
    offset: int
    buffer: Content
    begins: int
    ends_part: bool = True

    @property
    def size(self) -> int:
        """How many bytes the part has."""
        return self.buffer.filled

    @property
    def is_piece(self) -> bool:
        """There is more of the part, before it or behind it."""
        return self.begins != self.offset or not self.ends_part


class PartWriter(Protocol):
    """Puts what has come into storage. Blocks; thread-safe."""

    def put(self, partial: Partial, part: FullPart) -> Part | None:
        """The part as storage has it; ``None`` while pieces of it are missing.

        Raises:
            StorageError: it was not stored.
        """

    def close(self) -> None:
        """No more is put; what is not whole is of no use."""


class DirectWriter:
    """Every part is whole and goes to the back end at once."""

    def __init__(self, backend: Backend, space: Space) -> None:
        self._backend = backend
        self._space = space

    def put(self, partial: Partial, part: FullPart) -> Part | None:
        """Put a whole part into storage.

        Raises:
            StorageFull: the disks of this machine have no room for it.
        """
        step("part.before")
        with self._space.taking(self._backend, part.size):
            stored = self._backend.put_part(partial, part.number, part.offset, part.buffer.content)
        step("part.after")
        return stored

    def close(self) -> None:
        """Nothing is held, so nothing is released."""
