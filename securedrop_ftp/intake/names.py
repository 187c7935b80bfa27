"""Names of files: which are taken, and those of numbered versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from securedrop_ftp.exceptions import IsADirectory, NotFound
from securedrop_ftp.keys import MAX_COMPONENT_BYTES
from securedrop_ftp.storage.protocol import Backend


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


def nth(key: str, number: int) -> str:
    """The key of a version: 0 is the name itself."""
    return numbered(key, number) if number else key


def file_exists(backend: Backend, key: str) -> bool:
    """Whether a finished file has that key.

    Raises:
        IsADirectory: a directory has it.
    """
    try:
        entry = backend.stat(key)
    except NotFound:
        return False
    if entry.is_dir:
        raise IsADirectory
    return True


def name_taken(backend: Backend, key: str) -> bool:
    """Whether a file or a directory has that key."""
    try:
        backend.stat(key)
    except NotFound:
        return False
    return True


def first_free_number(taken: Callable[[int], bool], start: int = 0) -> int:
    """A number, not below ``start``, that is free while the one below it is taken, found in
    O(log n) questions: a partner that sends the same name each day for years must not cost a
    request per day."""
    if not taken(start):
        return start
    low, high = start, start + 1  # low is taken
    while taken(high):
        low, high = high, start + 2 * (high - start)
    while high - low > 1:
        middle = (low + high) // 2
        if taken(middle):
            low = middle
        else:
            high = middle
    return high


def free_numbers(taken: Callable[[int], bool]) -> Iterator[int]:
    """:func:`first_free_number`, and where that one is of no use the next beyond it, and so on
    without an end."""
    number = -1
    while True:
        number = first_free_number(taken, number + 1)
        yield number
