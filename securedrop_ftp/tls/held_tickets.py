"""TLS 1.3's session tickets of a data channel, kept back until they can harm nobody.

A TLS 1.3 server sends its tickets right after the handshake (RFC 8446 §4.6.1). A client that
uploads never reads them; when it closes its socket, its kernel sends RST for the unread bytes and
drops what it has not sent yet: the end of the file. So they are sent when we write anyway: before
the first byte of a download, or with our close_notify, which follows the client's.
"""

from __future__ import annotations

import socket

from OpenSSL import SSL

from securedrop_ftp.tls.handshake_limit import before_next_step


class HeldTickets:
    """``tickets`` are encrypted records: the next that OpenSSL writes counts on the peer having
    them. So they also go out before OpenSSL answers anything by itself (a key update)."""

    def __init__(self, connection: SSL.Connection, sock: socket.socket, tickets: bytes) -> None:
        self._socket = sock
        self._tickets = tickets
        if tickets:
            before_next_step(connection, self.release)

    def release(self) -> None:
        """Send them, if they have not been sent. The socket has room: little was sent before."""
        tickets, self._tickets = self._tickets, b""
        try:
            if tickets and self._socket.send(tickets) != len(tickets):
                raise OSError("no room for session tickets")
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # what follows would be noise to the peer
        except OSError:
            pass
