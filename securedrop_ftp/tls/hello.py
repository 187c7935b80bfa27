"""What a ClientHello says of its sender, before anything is answered (RFC 5246 §7.4.1.2, RFC 8446
§4.1.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_RECORD_HEADER: Final = 5
_PRE_SHARED_KEY: Final = 41  # RFC 8446 §4.2.11
_SUPPORTED_VERSIONS: Final = 43  # RFC 8446 §4.2.1
_POST_HANDSHAKE_AUTH: Final = 49  # RFC 8446 §4.2.6
_TLS12: Final = 0x0303
#: Bytes to look at: more than any client's first record (they send 200 to 2000).
LOOK: Final = 16 * 1024
_MESSAGE_HEADER: Final = 4


@dataclass(slots=True)
class Hello:
    """Numbers as they stand there, GREASE (RFC 8701) included."""

    version: int
    ciphers: list[int]
    extensions: dict[int, bytes] = field(default_factory=dict)

    @property
    def versions(self) -> list[int]:
        """Of the extension that TLS 1.3 brought; none where it is not there."""
        return numbers(self.extensions.get(_SUPPORTED_VERSIONS, b"\0")[1:])

    @property
    def tickets(self) -> int:
        """How many TLS 1.3 sessions it offers to resume (identities of pre-shared keys)."""
        offered = self.extensions.get(_PRE_SHARED_KEY, b"\0\0")
        at, end, count = 2, 2 + _number(offered, 0), 0
        while at < end:
            at, count = at + 2 + _number(offered, at) + 4, count + 1
        return count


def bytes_wanted(data: bytes) -> int:
    """How long the first record is, as far as ``data`` tells, and no more than :data:`LOOK`.
    Nothing is worth waiting for behind what is no handshake."""
    if data and data[0] != _HANDSHAKE:
        return 1
    if len(data) < _RECORD_HEADER:
        return _RECORD_HEADER
    return min(_RECORD_HEADER + int.from_bytes(data[3:_RECORD_HEADER], "big"), LOOK)


def suits_tls13(data: bytes) -> bool:
    """Whether a client whose connection begins with ``data`` can have TLS 1.3 on data channels that
    must resume, transfer after transfer.

    Most TLS 1.3 clients use a session ticket once (RFC 8446 §C.4) and never read the new one of a
    data channel over which they upload. Who offers post-handshake authentication can be given
    new ones on the control channel. All others get TLS 1.2, whose session is good for any
    number of data channels; unless they know nothing older than TLS 1.3.
    """
    hello = parsed(data)
    if hello is None or not hello.versions:
        return False
    return _POST_HANDSHAKE_AUTH in hello.extensions or _TLS12 not in hello.versions


def parsed(data: bytes) -> Hello | None:
    """The ClientHello that ``data`` begins with; ``None`` where it is none, or not whole in its
    first record."""
    try:
        end = _RECORD_HEADER + _number(data, 3)
        whole = data[0] == _HANDSHAKE and len(data) >= end
        return _parsed(data[_RECORD_HEADER:end]) if whole else None
    except IndexError:
        return None


def _parsed(message: bytes) -> Hello | None:
    data, at, end = message, _MESSAGE_HEADER, len(message)
    if data[0] != _CLIENT_HELLO:
        return None
    version = _number(data, at)
    at += 2 + 32  # random
    at += 1 + data[at]  # session id
    size = _number(data, at)
    hello = Hello(version, numbers(data[at + 2 : at + 2 + size]))
    at += 2 + size
    at += 1 + data[at]  # compression methods
    at += 2
    while at < end:
        size = _number(data, at + 2)
        hello.extensions[_number(data, at)] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return hello


def numbers(data: bytes) -> list[int]:
    """Of two bytes each."""
    return [_number(data, at) for at in range(0, len(data) - 1, 2)]


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def is_whole(records: list[bytes]) -> bool:
    """Whether these records hold a ClientHello to its last byte, or something else."""
    if any(record[0] != _HANDSHAKE for record in records):
        return True
    message = _message(records)
    if message[:1] != bytes((_CLIENT_HELLO,)):
        return bool(message)
    return len(message) >= _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big")


def session_id_of(records: list[bytes]) -> bytes:
    """The session id in a ClientHello; a client without a session may have made one up (RFC 8446
    §4.1.2, RFC 5077 §3.4)."""
    message = _message(records)
    at = _MESSAGE_HEADER + 2 + 32  # version, random
    if len(message) <= at or message[0] != _CLIENT_HELLO:
        return b""
    return message[at + 1 : at + 1 + message[at]]


def tickets_of(records: list[bytes]) -> int:
    """How many TLS 1.3 sessions the ClientHello in these records offers to resume; none where it
    cannot be read, which OpenSSL then refuses."""
    message = _message(records)
    if _PRE_SHARED_KEY.to_bytes(2, "big") not in message:
        return 0  # nearly all of TLS 1.2
    try:
        hello = _parsed(message)
        return hello.tickets if hello is not None else 0
    except IndexError:
        return 0


def _message(records: list[bytes]) -> bytes:
    return b"".join(record[_RECORD_HEADER:] for record in records)
