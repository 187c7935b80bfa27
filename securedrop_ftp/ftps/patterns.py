"""Patterns over the names of one directory: ``*``, ``?``, ``[a-z]`` and ``[!a-z]``.

A pattern is cut at its stars into pieces of a fixed width, and each piece is looked for once, at
the first place where it fits: nothing is ever tried again (the exponential patterns of glob(3),
CVE-2010-2632), so that the work for a name is bounded by its length times the pattern's.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

_WILD: Final = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Whether a name has a wildcard in it."""
    return not _WILD.isdisjoint(name)


class Pattern:
    """``matches`` as a shell does: a dot at a name's beginning wants a dot in the pattern."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _pieces(self) -> list[tuple[re.Pattern[str], int]]:
        # Compiled by the thread that matches, not on the loop: some 60 µs each.
        return [_piece(part) for part in _parts(self._text)]

    def matches(self, name: str) -> bool:
        """Whether a name fits; the pattern's own text always does."""
        if name == self._text:
            return True
        if name.startswith(".") and not self._text.startswith("."):
            return False
        (first, width), *others = self._pieces
        if not others:
            return len(name) == width and first.match(name) is not None
        if first.match(name) is None:
            return False
        at = width
        *middle, (last, width) = others
        for piece, _ in middle:
            found = piece.search(name, at)
            if found is None:
                return False
            at = found.end()
        return len(name) - width >= at and last.match(name, len(name) - width) is not None


def _parts(text: str) -> list[list[str]]:
    """The pattern cut at its stars; each part a list of what one character may be (regex)."""
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            parts.append([])
        elif char == "?":
            parts[-1].append(".")
        elif char == "[" and (end := _end_of_class(text, at)) > 0:
            parts[-1].append(_class(text[at:end]))
            at = end + 1
        else:
            parts[-1].append(re.escape(char))
    return parts


def _end_of_class(text: str, at: int) -> int:
    # "]" directly behind "[" or "[!" is one of the characters.
    start = at + 1 if text.startswith("!", at) else at
    return text.find("]", start + 1)


def _class(inside: str) -> str:
    """``a-c`` or ``!x`` as a regex class; a range that runs backwards fits nothing."""
    negated = inside.startswith("!")
    left = inside[1:] if negated else inside
    members: list[str] = []
    while left:
        if len(left) >= 3 and left[1] == "-":
            if left[0] <= left[2]:
                members.append(f"{re.escape(left[0])}-{re.escape(left[2])}")
            left = left[3:]
        else:
            members.append(re.escape(left[0]))
            left = left[1:]
    if not members:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(members)}]"


def _piece(part: list[str]) -> tuple[re.Pattern[str], int]:
    return re.compile("".join(part), re.DOTALL), len(part)
