"""Make text from a client inert before it is logged, stored or shown.

Control characters, bidirectional overrides and other invisible format characters, line and
paragraph separators, unassigned code points and lone surrogates become ``\\xNN``, ``\\uNNNN`` or
``\\UNNNNNNNN``; a backslash is doubled, so that the escaped form is unambiguous. What is left can
forge no log line (security bar, row 21), drive no terminal and fit any UTF-8 column.
"""

from __future__ import annotations

import unicodedata

_ELLIPSIS = "…"


def _escape_char(char: str) -> str:
    if char == "\\":
        return "\\\\"
    # isprintable() is false for every separator but the plain space; ideographic and no-break
    # spaces are harmless and common in names.
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escape(text: str, limit: int) -> str:
    """``text`` with nothing in it but visible characters and spaces, at most ``limit`` characters
    long; an ellipsis marks what was cut off."""
    head = text[: limit + 1]  # a megabyte of input costs no more than the limit does
    if not (head.isprintable() and "\\" not in head):
        head = "".join(map(_escape_char, head))
    return head if len(head) <= limit else head[: limit - 1] + _ELLIPSIS
