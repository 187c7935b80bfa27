"""What is known of a stored file, and the names of numbered versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from securedrop_ftp.keys import MAX_COMPONENT_BYTES


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
    ``joined_at`` is the offset at which a resumed upload went on; ``sent`` is what came, where
    something else was made of it."""

    size: int
    sha256: str
    path: str
    key: str
    version_of: str = ""
    joined_at: int | None = None
    already_stored: bool = False
    sent: Sent | None = None


def numbered(name: str, number: int) -> str:
    """``report.txt`` → ``report (1).txt``; the stem is cut where the name would be too long.

    ``name`` may be a whole key or path: only the last component changes.
    """
    folder, slash, last = name.rpartition("/")
    dot = last.rfind(".")
    stem, suffix = (last[:dot], last[dot:]) if dot > 0 else (last, "")
    mark = f" ({number})"
    room = MAX_COMPONENT_BYTES - len((mark + suffix).encode())
    if room < 1:  # a suffix of 250 bytes is no suffix
        stem, suffix, room = last, "", MAX_COMPONENT_BYTES - len(mark)
    stem = stem.encode()[:room].decode("utf-8", "ignore")
    return f"{folder}{slash}{stem}{mark}{suffix}"
