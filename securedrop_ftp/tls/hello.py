"""What a ClientHello says before anything is computed for it (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2).

A full handshake costs the server a signature and a key exchange, about a millisecond; looking at
the first record costs nothing.
"""

from __future__ import annotations

from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SESSION_TICKET: Final = 35  # RFC 5077 §3.2
_PRE_SHARED_KEY: Final = 41  # RFC 8446 §4.2.11
#: Bytes to look at: more than any client's first record.
LOOK: Final = 4096


def offers_resumption(data: bytes) -> bool:
    """Whether a connection that begins with ``data`` offers a session to resume: an id, a ticket or
    a key. True where ``data`` is not a whole ClientHello: nobody is refused for slow packets."""
    try:
        return _offers(data)
    except IndexError:
        return True


def _offers(data: bytes) -> bool:
    if data[0] != _HANDSHAKE or data[5] != _CLIENT_HELLO:
        return False
    if len(data) < 5 + _number(data, 3):
        return True
    at = 5 + 4 + 2 + 32  # record, message, version, random
    if data[at]:
        return True
    at += 1
    at += 2 + _number(data, at)  # cipher suites
    at += 1 + data[at]  # compression methods
    if at >= 5 + _number(data, 3):
        return False  # no extensions
    end = at + 2 + _number(data, at)
    at += 2
    while at < end:
        kind, length = _number(data, at), _number(data, at + 2)
        if kind == _PRE_SHARED_KEY or (kind == _SESSION_TICKET and length):
            return True
        at += 4 + length
    return False


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
