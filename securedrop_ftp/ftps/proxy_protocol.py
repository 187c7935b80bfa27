"""The PROXY protocol, versions 1 and 2: a balancer says who the client is, before its first byte.

Source of every rule: HAProxy's ``doc/proxy-protocol.txt``. The sections cited are that document's.
A header is taken from configured networks only (``SECUREDROP_PROXY_PROTOCOL_FROM``), where it must
come; nothing behind its last byte is read here, for that is the client's.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

from securedrop_ftp.access import network

#: §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
V1_MAX: Final = 107
_V1: Final = b"PROXY "
#: §2.2: the twelve bytes that no other protocol begins with.
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = 16
#: Addresses and additional fields of version 2. A balancer that adds all it knows sends some
#: hundred bytes (§2.2 wants senders to stay below the smallest TCP segment, 536).
V2_MAX: Final = 4096

_LOCAL, _PROXY = 0x20, 0x21
#: What who connects on its own behalf sends (§2.2).
LOCAL_HEADER: Final = _V2 + bytes((_LOCAL, 0, 0, 0))
_STREAMS: Final = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6: an address's length
_UNIX: Final = 0x31
_UNIX_LENGTH: Final = 216
_CRC32C: Final = 0x03  # §2.2.3

_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,4}")


class MalformedHeader(Exception):
    """What came is no header; the connection is closed without an answer (§2)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header said. Both are ``None`` where it names no client: the balancer speaks for
    itself (``LOCAL``, a health check) or does not know (``UNKNOWN``, ``AF_UNSPEC``). Then the
    connection's own addresses hold (§2)."""

    client: str | None = None
    server: str | None = None  # the address that the client has connected to


class HeaderReader:
    """Reads one header from a non-blocking socket, in as many pieces as it comes in."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def began(self) -> bool:
        """Whether any byte has come."""
        return bool(self._data)

    def read(self, sock: socket.socket) -> Header | None:
        """The header, or ``None`` until more of it comes.

        Raises:
            MalformedHeader: no header, or the peer closed before its end.
            OSError: the connection is gone.
        """
        while True:
            try:
                # Only looked at: how much of it is the header's is not known yet.
                seen = sock.recv(self._wanted(), socket.MSG_PEEK)
            except BlockingIOError:
                return None
            if not seen:
                raise MalformedHeader("closed before its end")
            taken = self._of_header(seen)
            self._data += sock.recv(taken)
            header = parse(bytes(self._data))
            if header is not None:
                return header

    def _wanted(self) -> int:
        """How many more bytes the header can have."""
        if self._data[:1] != _V2[:1]:
            return V1_MAX - len(self._data)
        if len(self._data) < _V2_FIXED:
            return _V2_FIXED - len(self._data)
        return _V2_FIXED + int.from_bytes(self._data[14:16], "big") - len(self._data)

    def _of_header(self, seen: bytes) -> int:
        """How many of the bytes in sight belong to it. Never 0."""
        if (self._data or seen)[:1] == _V2[:1]:
            return min(len(seen), _V2_FIXED) if not self._data else len(seen)
        joined = bytes(self._data) + seen
        end = joined.find(b"\n")
        return len(seen) if end < 0 else end + 1 - len(self._data)


def parse(data: bytes) -> Header | None:
    """A header, or ``None`` where ``data`` is only the beginning of one.

    Raises:
        MalformedHeader: it is not, and cannot become one.
    """
    if _begins(data, _V2):
        return _parse_v2(data)
    if _begins(data, _V1):
        return _parse_v1(data)
    raise MalformedHeader("neither version 1 nor 2")


def _begins(data: bytes, signature: bytes) -> bool:
    return data[: len(signature)] == signature[: len(data)]


# --- version 1: a line (§2.1) ---------------------------------------------------------


def _parse_v1(data: bytes) -> Header | None:
    if not data.endswith(b"\n"):
        if len(data) >= V1_MAX:
            raise MalformedHeader("version 1: longer than 107 bytes")
        return None
    if not data.endswith(b"\r\n"):
        raise MalformedHeader("version 1: no CRLF")
    try:
        words = data[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError as exc:
        raise MalformedHeader("version 1: not ASCII") from exc
    if words[1] == "UNKNOWN":
        return Header()  # what follows is ignored
    if words[1] not in ("TCP4", "TCP6") or len(words) != 6:
        raise MalformedHeader("version 1: not PROXY TCP4|TCP6 with four words")
    version = int(words[1][3])
    client, server = (_v1_address(word, version) for word in words[2:4])
    for port in words[4:]:
        if not _DIGITS.fullmatch(port) or int(port) > 65535:
            raise MalformedHeader("version 1: not a port")
    return Header(client, server)


def _v1_address(word: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(word)
    except ValueError as exc:
        raise MalformedHeader("version 1: not an address") from exc
    if address.version != version or "%" in word:
        raise MalformedHeader("version 1: an address of another family")
    return network.canonical(word)


# --- version 2: binary (§2.2) ---------------------------------------------------------


def _parse_v2(data: bytes) -> Header | None:
    if len(data) < _V2_FIXED:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeader("version 2: neither LOCAL nor PROXY")
    if length > V2_MAX:
        raise MalformedHeader(f"version 2: longer than {V2_MAX} bytes")
    if len(data) < _V2_FIXED + length:
        return None
    if command == _LOCAL:
        return Header()  # the family and what follows are ignored
    return _v2_addresses(data, family, length)


def _v2_addresses(data: bytes, family: int, length: int) -> Header:
    if family == 0:  # AF_UNSPEC
        return Header()
    size = 2 * _STREAMS[family] + 4 if family in _STREAMS else _UNIX_LENGTH
    if family not in _STREAMS and family != _UNIX:
        raise MalformedHeader("version 2: neither TCP nor a Unix stream")
    if length < size:
        raise MalformedHeader("version 2: shorter than its addresses")
    _check_fields(data, _V2_FIXED + size)
    if family == _UNIX:
        return Header()
    middle = _V2_FIXED + _STREAMS[family]
    packed = (data[_V2_FIXED:middle], data[middle : middle + _STREAMS[family]])
    client, server = (network.canonical(str(ipaddress.ip_address(p))) for p in packed)
    return Header(client, server)


def _check_fields(data: bytes, at: int) -> None:
    """Walk over the additional fields (type, length, value); of them only the checksum is looked
    at (§2.2.3: where one is sent, it must be right)."""
    while at < len(data):
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        if len(data) < at + 3 or end > len(data):
            raise MalformedHeader("version 2: a field goes beyond the header's end")
        if data[at] == _CRC32C:
            blank = data[: at + 3] + bytes(end - at - 3) + data[end:]
            if data[at + 3 : end] != crc32c(blank).to_bytes(4, "big"):
                raise MalformedHeader("version 2: its checksum is wrong")
        at = end


def _table() -> tuple[int, ...]:
    values = tuple(range(256))
    for _ in range(8):
        values = tuple(v >> 1 ^ (0x82F63B78 if v & 1 else 0) for v in values)
    return values


_TABLE: Final = _table()


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC (RFC 9260, appendix A): 0xE3069283 for ``123456789``."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
