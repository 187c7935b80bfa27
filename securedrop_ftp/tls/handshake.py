"""The server's side of a data channel's handshake, in memory.

The channel feeds it whole records and sends what it answers. So nothing is answered before it is
known whose session the ClientHello resumes, and one that resumes none is computed, if at all, under
another context: a session that a stranger makes on a data port must never be one that the next data
channel can resume (row 96).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL

from securedrop_ftp.tls import openssl
from securedrop_ftp.tls.contexts import WrongProtocol
from securedrop_ftp.tls.hello import is_whole, tickets_of
from securedrop_ftp.tls.openssl import HandshakeFailed

#: A record's header: type, version, length (RFC 5246 §6.2.1).
_HEADER: Final = 5
_TYPES: Final = frozenset({20, 21, 22, 23})
_LARGEST: Final = (1 << 14) + 2048
#: A ClientHello may fill more than one record; none that a client sends fills so many.
_HELLO_RECORDS: Final = 8
#: Sessions that one ClientHello may offer to resume. Clients offer one or two; OpenSSL takes up to
#: 0.1 ms for each, with each session that the ClientHello is tried against.
_TICKETS: Final = 8


class NotTls(Exception):
    """What came is no TLS record."""


class NotResumed(Exception):
    """The ClientHello resumes no session that it may. ``alert`` would say so to the peer; nothing
    was computed."""

    alert = openssl.ACCESS_DENIED_RECORD

    def __init__(self) -> None:
        super().__init__("the data channel did not resume the TLS session")


class Records:
    """Whole TLS records off a socket, and not a byte of what follows them."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._part = b""
        self.heard = False  # whether a byte has come

    def next(self) -> bytes | None:
        """One record, ``None`` while it is not whole, ``b""`` where the peer has closed.

        Raises:
            NotTls, OSError.
        """
        while True:
            missing = self._missing()
            if not missing:
                record, self._part = self._part, b""
                return record
            try:
                data = self._socket.recv(missing)
            except BlockingIOError:
                return None
            if not data:
                return b""
            self.heard = True
            self._part += data

    def _missing(self) -> int:
        if len(self._part) < _HEADER:
            return _HEADER - len(self._part)
        length = int.from_bytes(self._part[3:_HEADER], "big")
        if self._part[0] not in _TYPES or self._part[1] != 3 or length > _LARGEST:
            raise NotTls("no TLS record")
        return _HEADER + length - len(self._part)


class Handshake:
    """One handshake.

    ``resuming`` is given the records of the ClientHello, and makes a connection that has taken
    them, can resume a session and do nothing else; ``None`` where it would resume none.
    ``strangers`` makes the context for one that resumes nothing.
    """

    def __init__(
        self,
        resuming: Callable[[list[bytes]], SSL.Connection | None],
        strangers: Callable[[], SSL.Context],
    ) -> None:
        self._resuming, self._strangers = resuming, strangers
        self._hello: list[bytes] = []
        self._connection: SSL.Connection | None = None
        self.resumes = False
        self.done = False
        self.tickets = b""  # of TLS 1.3, not sent: :mod:`securedrop_ftp.tls.held_tickets`

    def feed(self, record: bytes) -> bytes:
        """Take one record; returns what is to be sent.

        Raises:
            NotResumed: :meth:`go_on_as_stranger` may follow.
            HandshakeFailed: the end.
        """
        if self._connection is not None:
            return self._step(self._connection, record)
        self._hello.append(record)
        if not is_whole(self._hello):
            if len(self._hello) == _HELLO_RECORDS:
                raise HandshakeFailed(NotTls("an endless ClientHello"), b"")
            return b""
        if (tickets := tickets_of(self._hello)) > _TICKETS:
            raise HandshakeFailed(NotTls(f"a ClientHello that offers {tickets} sessions"), b"")
        connection = self._resuming(self._hello)
        if connection is None:
            raise NotResumed
        self.resumes = True
        self._connection, self._hello = connection, []
        return openssl.taken_out(connection)

    def go_on_as_stranger(self) -> bytes:
        """Answer the same ClientHello by a full handshake, whose session nothing can resume."""
        connection = SSL.Connection(self._strangers(), None)
        connection.set_accept_state()
        self._connection = connection
        records, self._hello = self._hello, []
        return b"".join(self._step(connection, record) for record in records)

    def _step(self, connection: SSL.Connection, record: bytes) -> bytes:
        connection.bio_write(record)
        try:
            connection.do_handshake()
            self.done = True
        except SSL.WantReadError:
            pass
        except (SSL.Error, WrongProtocol) as exc:
            raise HandshakeFailed(exc, openssl.taken_out(connection)) from exc
        out = openssl.taken_out(connection)
        if self.done and connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
            # All else that the server says in TLS 1.3 comes before the client's last message.
            self.tickets, out = out, b""
        return out

    @property
    def needs_memory(self) -> bool:
        """Whether what comes must go through here still: until the ClientHello is answered, and
        under TLS 1.3 until the handshake is done."""
        if self.done or self._connection is None:
            return not self.done
        return self._connection.get_protocol_version() >= SSL.TLS1_3_VERSION

    def attach(self, sock: socket.socket) -> SSL.Connection:
        """The connection, which goes on with the socket. All that it said has been sent."""
        assert self._connection is not None
        openssl.attach(self._connection, sock)
        return self._connection
