"""OpenSSL's encoding of a TLS session (``i2d_SSL_SESSION``), as far as it is looked into.

A SEQUENCE: version, protocol, cipher suite, session id, master secret, then optional fields with
tags. The peer's certificate and the server name make it long; a resumed handshake needs neither.
"""

from __future__ import annotations

from typing import Final

_SEQUENCE: Final = 0x30
#: Optional fields that are left out: the peer's certificate, the server name, the ticket.
_LEFT_OUT: Final = frozenset({0xA3, 0xA6, 0xAA})
_SESSION_ID: Final = 3


def without_peer(der: bytes) -> tuple[bytes, bytes]:
    """The session id, empty where the client has a ticket instead; and the session without what
    only makes it long. Both are empty where ``der`` is no such encoding."""
    try:
        tag, start, end = _header(der, 0)
        if tag != _SEQUENCE or end != len(der):
            return b"", b""
        fields = []
        while start < end:
            kind, begins, ends = _header(der, start)
            fields.append((kind, der[start:ends], der[begins:ends]))
            start = ends
        session_id = fields[_SESSION_ID][2]
    except IndexError:
        return b"", b""
    body = b"".join(whole for kind, whole, _ in fields if kind not in _LEFT_OUT)
    return session_id, bytes((_SEQUENCE,)) + _length(len(body)) + body


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the contents begin and end."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, at = int.from_bytes(der[at : at + octets], "big"), at + octets
    return tag, at, at + length


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = (length.bit_length() + 7) // 8
    return bytes((0x80 | octets,)) + length.to_bytes(octets, "big")
