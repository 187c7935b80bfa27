"""TLS records that no library writes, made from those that OpenSSL writes."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import Final, Self

from OpenSSL import SSL

HANDSHAKE: Final = 22
_VERSIONS: Final = (b"\x03\x00", b"\x02\x00", b"\x03\x99", b"\x00\x00", b"\xff\xff")
_TYPES: Final = (0, 20, 21, 22, 23, 24, 25, 128, 255)


def split(data: bytes) -> list[bytes]:
    """Whole records."""
    records = []
    while data:
        end = 5 + int.from_bytes(data[3:5], "big")
        records.append(data[:end])
        data = data[end:]
    return records


def made(kind: int, body: bytes, version: bytes = b"\x03\x03", length: int = -1) -> bytes:
    """A record whose header may lie."""
    length = len(body) if length < 0 else length
    return bytes([kind]) + version + length.to_bytes(2, "big") + body


def junk(chance: random.Random) -> bytes:
    """A record of nothing: any type, version and length."""
    body = chance.randbytes(chance.randrange(300))
    length = chance.choice((-1, 0, len(body) + 1, 0x4001, 0xFFFF))
    return made(chance.choice(_TYPES), body, chance.choice((b"\x03\x03", *_VERSIONS)), length)


def alert(chance: random.Random) -> bytes:
    """In the clear, at the wrong time, sometimes of a wrong length."""
    body = bytes([chance.choice((0, 1, 2, 255)), chance.choice((0, 10, 20, 40, 42, 90, 100, 255))])
    return made(21, chance.choice((body, body, body[:1], body * 2)))


def tatters(chance: random.Random, record: bytes) -> bytes:
    """A handshake message in many small records, one bit of it turned."""
    left = _flip(chance, record, first=5)[5:]
    pieces = []
    while left:
        size = chance.choice((1, 1, 3, 40))
        pieces.append(made(record[0], left[:size]))
        left = left[size:]
    return b"".join(pieces)


def _flip(chance: random.Random, record: bytes, first: int = 0) -> bytes:
    at = chance.randrange(min(first, len(record) - 1), len(record))
    return record[:at] + bytes([record[at] ^ (1 << chance.randrange(8))]) + record[at + 1 :]


def spoiled(chance: random.Random, record: bytes) -> bytes:
    """A genuine record with one thing wrong in it, before it or behind it. Under keys its MAC no
    longer holds, or the next one's does not."""
    kind, version, body = record[0], record[1:3], record[5:]
    match chance.randrange(13):
        case 0 | 1:
            return _flip(chance, record)
        case 2:
            return record[:5] + body[: chance.randrange(len(body))]
        case 3:
            return made(kind, body, version, chance.choice((0, len(body) + 1, 0xFFFF)))
        case 4:
            return made(kind, body, version, len(body) - 1)
        case 5:
            return made(kind, body, chance.choice(_VERSIONS))
        case 6:
            return made(chance.choice([t for t in _TYPES if t != kind]), body)
        case 7:
            return record + record
        case 8:
            return made(kind, b"") + record
        case 9:
            return made(kind, chance.randbytes(chance.choice((0x4801, 0x4900, 0xFFFF))))
        case 10:
            return alert(chance) + record
        case 11:
            return made(20, chance.choice((b"\x01", b"\x00", b"\x01\x01"))) + record
        case _:
            return tatters(chance, record) if kind == HANDSHAKE else junk(chance) + record


class RecordClient:
    """A TLS client whose records pass through our hands before they go out. A data channel
    resumes the session of its ``control`` channel."""

    def __init__(self, sock: socket.socket, control: RecordClient | None = None) -> None:
        if control is None:
            self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            self._context.set_max_proto_version(SSL.TLS1_2_VERSION)
        else:
            self._context = control._context
        self.tls = SSL.Connection(self._context, None)
        self.tls.set_connect_state()
        if control is not None and (session := control.tls.get_session()) is not None:
            self.tls.set_session(session)
        self._sock = sock
        self._text = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Else OpenSSL takes the session for spoiled, and the next data channel cannot resume it.
        self.tls.set_shutdown(SSL.SENT_SHUTDOWN)

    def outgoing(self) -> list[bytes]:
        """The records that OpenSSL has written."""
        data = b""
        with suppress(SSL.WantReadError):
            while True:
                data += self.tls.bio_read(65536)
        return split(data)

    def sealed(self, data: bytes) -> list[bytes]:
        """Application data as records."""
        self.tls.send(data)
        return self.outgoing()

    def shake(self, chance: random.Random | None = None, spoil: int = -1) -> None:
        """The handshake; our flight number ``spoil`` has a bad record and is the last."""
        for flight in range(10):
            try:
                self.tls.do_handshake()
                done = True
            except SSL.WantReadError:
                done = False
            records = self.outgoing()
            if flight == spoil and chance is not None and records:
                at = chance.randrange(len(records))
                records[at] = spoiled(chance, records[at])
                done = True
            self.send(records)
            if done:
                return
            self._take()

    def _take(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self.tls.bio_write(data)

    def send(self, records: list[bytes]) -> None:
        """As they are."""
        self._sock.sendall(b"".join(records))

    def say(self, line: bytes) -> None:
        """A command."""
        self.send(self.sealed(line + b"\r\n"))

    def reply(self) -> bytes:
        """The next reply's last line."""
        while True:
            line, found, rest = self._text.partition(b"\r\n")
            if found:
                self._text = rest
                if line[:3].isdigit() and line[3:4] == b" ":
                    return line
                continue
            try:
                self._text += self.tls.recv(65536)
            except SSL.WantReadError:
                self._take()
