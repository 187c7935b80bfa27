"""Pages of a directory's entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from securedrop_ftp.storage.protocol import Entry

#: Entries of one page at most (the largest page of S3's, Google's and Azure's listings).
PAGE: Final = 1000


def in_pages(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """``entries`` in lists of at most :data:`PAGE`; none is empty."""
    rest = iter(entries)
    while page := list(islice(rest, PAGE)):
        yield page
