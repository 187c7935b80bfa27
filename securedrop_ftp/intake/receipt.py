"""What is known of a stored file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """What came, where what is stored was converted from it: bytes and their SHA-256, hex."""

    size: int
    sha256: str

    @property
    def details(self) -> dict[str, Any]:
        """For the audit row."""
        return {"sent_size": self.size, "sent_sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A committed upload. ``path`` and ``key`` are where it is stored; ``version_of`` is the
    path that the client named, if a numbered name was taken instead, else ``""``;
    ``joined_at`` is the offset at which a resumed upload went on; ``appended_at`` is the length of
    the finished file to which this one was appended; ``sent`` is what came, where
    something else was made of it."""

    size: int
    sha256: str
    path: str
    key: str
    version_of: str = ""
    joined_at: int | None = None
    appended_at: int | None = None
    already_stored: bool = False
    sent: Sent | None = None
