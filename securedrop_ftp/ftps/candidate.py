"""A connection to a passive port, from its first byte until it is proved or refused.

Its handshake is done in memory (:mod:`securedrop_ftp.tls.handshake`); the proved channel then reads
and writes its socket through OpenSSL itself. One that is refused is ended by :meth:`refuse`, so
that its owner reads why on the control channel.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from OpenSSL import SSL

from securedrop_ftp.ftps.channel import Channel, ConnectionLost, why
from securedrop_ftp.ftps.discarding import Discarding
from securedrop_ftp.ftps.kinship import Member
from securedrop_ftp.ftps.runtime import EventLoop
from securedrop_ftp.tls import openssl, session_cache
from securedrop_ftp.tls.handshake import (
    Handshake,
    NotResumed,
    NotTls,
    Records,
)
from securedrop_ftp.tls.held_tickets import HeldTickets
from securedrop_ftp.tls.openssl import HandshakeFailed

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class _Ended(Exception):
    """The handshake was ended by whoever was asked."""


class Candidate(Channel):
    """See the module's docstring.

    Attributes:
        on_ready: called when the handshake is done.
        on_lost: called when the peer has gone, or its handshake failed.
        on_stranger: called with the alert that would refuse it when the ClientHello resumes nothing
            that it may. Answers whether to shake hands all the same; where not, it has
            ended the channel.
    """

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        super().__init__(loop, sock)
        self.on_ready: Callable[[Any], None] | None = None
        self.on_lost: Callable[[Any, ConnectionLost], None] | None = None
        self.on_stranger: Callable[[Any, bytes], bool] = _take_anybody
        self.resumed = False
        self.peer_ip = ""
        self.foreign = False  # from another address than the control connection
        self.chosen: Member | None = None  # whose TLS session it resumes
        self._act: Callable[[], None] | None = None
        self._records = Records(sock)
        self._out = b""  # of the handshake
        self._tickets: HeldTickets | None = None

    @property
    def spoke(self) -> bool:
        """Whether the peer has sent a byte."""
        return self._records.heard

    # --- handshake -------------------------------------------------------------------

    def begin(
        self,
        resuming: Callable[[list[bytes]], SSL.Connection | None],
        strangers: Callable[[], SSL.Context],
    ) -> None:
        """Start the server side; see :class:`~securedrop_ftp.tls.handshake.Handshake`."""
        self.handshaking = True
        self._act = partial(self._shake_hands, Handshake(resuming, strangers))
        self.watch(read=True, write=False)

    def _shake_hands(self, handshake: Handshake) -> None:
        try:
            while self._sent_out() and handshake.needs_memory:
                record = self._records.next()
                if record is None:
                    self.watch(read=True, write=False)
                    return
                if not record:
                    raise ConnectionLost("closed before the handshake was done")
                self._out += self._answer(handshake, record)
        except _Ended:
            return
        except HandshakeFailed as exc:
            self._out += exc.alert
            self._lost(ConnectionLost(self._last_words(exc)))
            return
        except (NotTls, OSError, ConnectionLost) as exc:
            self._lost(ConnectionLost(why(exc)))
            return
        if self._out:
            self.watch(read=False, write=True)
        else:
            self.tls = tls = handshake.attach(self.socket)
            self._act = partial(self._finish_handshake, handshake, tls)
            self._act()

    def _answer(self, handshake: Handshake, record: bytes) -> bytes:
        try:
            return handshake.feed(record)
        except NotResumed as exc:
            if not self.on_stranger(self, exc.alert):
                raise _Ended from exc
            return handshake.go_on_as_stranger()

    def _sent_out(self) -> bool:
        """Whether the socket has taken all that the handshake says."""
        if self._out:
            try:
                self._out = self._out[self.socket.send(self._out) :]
            except BlockingIOError:
                pass
        return not self._out

    def _last_words(self, failure: HandshakeFailed) -> str:
        try:
            self._sent_out()
        except OSError:
            pass
        return why(failure.error)

    def _finish_handshake(self, handshake: Handshake, tls: SSL.Connection) -> None:
        """What is left of it is OpenSSL's."""
        try:
            if not self.step_handshake():
                return
        except ConnectionLost as exc:
            self._lost(exc)
            return
        self._tickets = HeldTickets(tls, self.socket, handshake.tickets)
        self.resumed = handshake.resumes and openssl.session_reused(tls)
        self._act = None
        self.watch(read=False, write=False)
        if self.on_ready is not None:
            self.on_ready(self)

    def _lost(self, error: ConnectionLost) -> None:
        if self.on_lost is not None:
            self.on_lost(self, error)
        else:
            self.reset()

    # --- the loop's interface --------------------------------------------------------

    def handle_read_event(self) -> None:
        if self._act is not None:
            self._act()

    def handle_write_event(self) -> None:
        if self._act is not None:
            self._act()

    def handle_close(self) -> None:
        self._lost(ConnectionLost("connection reset"))

    # --- what goes before all that is written ----------------------------------------

    def _release_tickets(self) -> None:
        tickets, self._tickets = self._tickets, None
        if tickets is not None:
            tickets.release()

    def transmit_up_to(self, data: memoryview, limit: int) -> int:
        """A download begins: the peer reads."""
        self._release_tickets()
        return super().transmit_up_to(data, limit)

    def send_close_notify(self) -> None:
        """After an upload the peer has said its own."""
        self._release_tickets()
        super().send_close_notify()

    # --- the end ---------------------------------------------------------------------

    def refuse(self, alert: bytes = b"", *, gracefully: bool = False) -> None:
        """End it so that its owner reads the reply: a reset would make many clients report that,
        and nothing else.

        After a handshake ``gracefully`` says close_notify, which is right for an upload alone: a
        listing or a download that ended so would look whole. Without it, or with an ``alert`` in
        the midst of a handshake, the end is a fatal alert, which no TLS library takes for one.
        """
        self.on_ready = self.on_lost = None
        self.on_stranger = _take_anybody
        if gracefully:
            self.send_close_notify()
        elif self.tls is not None:
            self._release_tickets()
            alert = openssl.fatal_alert(self.tls)
        self._keep_session()
        self.tls = None
        self._act = Discarding(self, alert, self.reset).go_on

    def close(self) -> None:
        """Close the socket, and leave the loop."""
        self._keep_session()
        self._act = None  # it holds who would judge this channel
        super().close()

    def _keep_session(self) -> None:
        """However this one ends: the next may resume the session, too."""
        if self.tls is not None and self.resumed:
            session_cache.keep_session(self.tls)

    def dismiss(self) -> None:
        """Close in peace a channel over which nothing was to be moved."""
        self.on_lost = None
        self.send_close_notify()
        self.close()

    def reset(self) -> None:
        """Close with RST and without close_notify: the peer must not take it for an end."""
        if not self.closed:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            except OSError:
                pass
            self.close()


def _take_anybody(_channel: Candidate, _alert: bytes) -> bool:
    return True
