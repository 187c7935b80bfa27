"""NVT-ASCII: how lines travel under TYPE A (RFC 959 §3.1.1.1).

The sender puts CR LF where its file has the end of a line, the receiver puts its own end of a line
there. Storage's is LF, and no other byte is touched: CR alone stays. A file comes out as its owner
has it, on whatever machine, unless it holds CR LF of its own: many clients (FileZilla, Java's
commons-net) send that as it is, and nothing tells it from the end of a line.
"""

from __future__ import annotations


class FromNvt:
    """CR LF becomes LF, in a stream that comes in pieces. A CR at the end of a piece is held back
    until the next byte says what it is."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = False

    def convert(self, data: bytes | memoryview) -> bytes:
        """The next piece as it is stored: at most one byte longer, at worst half as long."""
        piece = b"\r" + data if self._held else bytes(data)
        self._held = piece.endswith(b"\r")
        if self._held:
            piece = piece[:-1]
        return piece.replace(b"\r\n", b"\n")

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, False
        return b"\r" if held else b""


def to_nvt(data: bytes) -> bytes:
    """A piece of a stored file as it travels: each LF becomes CR LF, also behind a CR, so that the
    receiver, who takes one CR away before each LF, gets the very bytes. Pieces can be cut
    anywhere."""
    return data.replace(b"\n", b"\r\n")
