"""Accepting connections: one at a time, within the caps, also when descriptors run out.

Every worker is woken for a connection. One that has more sessions than another looks away for a
moment, so that the other takes it; if nobody does (it is busy, or dead), it is taken after all.
The kernel's own choice (EPOLLEXCLUSIVE) gave all four sessions of a run to one process, beside an
idle one (seen). While the worker is overloaded connections stay with the kernel.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from securedrop_ftp import causes, replies
from securedrop_ftp.access import network
from securedrop_ftp.events import Event
from securedrop_ftp.ftps.header_wait import HeaderWaits
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.proxy_protocol import Header
from securedrop_ftp.log import get_logger
from securedrop_ftp.refusals import of_address, refusals
from securedrop_ftp.replies import Reply
from securedrop_ftp.server.connections import ConnectionTable
from securedrop_ftp.server.loop import Loop
from securedrop_ftp.server.rates import AddressRates

if TYPE_CHECKING:
    from securedrop_ftp.conf import Conf

logger = get_logger(__name__)

#: Descriptors kept back: pool threads may take some of those that are given to refusals.
RESERVED = 32
#: How long a connection is left to a worker that has fewer sessions, seconds.
LOOK_AWAY = 0.025
#: How often refusals are logged, seconds.
LINE_EVERY = 1.0
#: Connections of balancers that have not said who their client is, in one worker.
HEADERS_AWAITED: Final = 256
#: The cap that is the machine's.
_DESCRIPTORS: Final = "descriptors"


class Acceptor:
    """Watches the listening socket in one worker, from :meth:`begin` to :meth:`end`."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        table: ConnectionTable,
        arrivals: AddressRates,
        worker: int,
        conf: Callable[[], Conf],
        accepted: Callable[[socket.socket, Origin, int], None],
        overloaded: Callable[[], bool],
    ) -> None:
        self._loop, self._listener, self._table = loop, listener, table
        self._arrivals = arrivals
        self._worker, self._conf, self._accepted = worker, conf, accepted
        self._overloaded = overloaded
        self._fileno = listener.fileno()
        self._headers = HeaderWaits(
            loop, HEADERS_AWAITED, conf().handshake_timeout, self._header_arrived
        )
        self._reserve: list[int] = []
        self._take_reserve()
        self._open = self._looking = self._ended = False
        self._refused, self._next_line = 0, 0.0  # since the last line of it

    def begin(self) -> None:
        """Accept from now on."""
        if not self._ended:
            self._open = True
            self._look()

    def readable(self) -> bool:
        return self._open

    def writable(self) -> bool:
        return False

    def _look(self) -> None:
        if self._open and not self._looking:
            self._looking = True
            self._loop.register(self._fileno, self, self._loop.READ)

    def _look_away(self) -> None:
        if self._looking:
            self._looking = False
            self._loop.unregister(self._fileno)

    def _look_again(self) -> None:
        if self._open and not self._looking:
            if self._overloaded():
                self._loop.call_later(LOOK_AWAY, self._look_again)
            else:
                self._look()
                self._accept()

    def session_closed(self) -> None:
        """One of ours ended: perhaps we are not the busier one any more."""
        if self._open and not self._looking and not self._should_wait():
            self._look()

    def handle_read_event(self) -> None:
        """One connection, so that other workers get theirs."""
        if self._should_wait():
            self._look_away()
            self._loop.call_later(LOOK_AWAY, self._look_again)
        else:
            self._accept()

    def _should_wait(self) -> bool:
        return self._overloaded() or self._table.is_busier(self._worker)

    def _accept(self) -> None:
        try:
            sock, peer = self._listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._refuse_without_descriptors()
            elif exc.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPERM):
                logger.warning("acceptor.accept_failed", error=str(exc))
            return
        self._take_reserve()  # where a crowd left none
        address, conf = network.canonical(peer[0]), self._conf()
        if network.within(address, conf.proxy_protocol_from):
            self._headers.add(sock, address)
        else:
            self._admit(sock, Origin.direct(address, conf))

    def _header_arrived(self, sock: socket.socket, balancer: str, header: Header) -> None:
        self._admit(sock, Origin.behind(balancer, header))

    def _admit(self, sock: socket.socket, origin: Origin) -> None:
        """Count the connection for its client, and make a session of it."""
        connection_id = self._counted(origin)
        if isinstance(connection_id, str):
            reply = (
                replies.TOO_MANY_CONNECTIONS
                if connection_id == "total"
                else replies.TOO_MANY_FROM_ADDRESS
            )
            self._tell(origin.client, connection_id)
            _refuse(sock, reply)
            return
        self._accepted(sock, origin, connection_id)

    def check_deadlines(self, now: float) -> None:
        """Called about once a second."""
        self._headers.check_deadlines(now)

    def _tell(self, address: str, cap: str) -> None:
        """Into the log, a line a second at most: who is refused can come back thousands of times
        (seen: 3 MiB of lines in 8 s). The trail has their number."""
        cause = causes.TOO_MANY_CONNECTIONS
        refusals.count(
            of_address(network.source_of(address)),
            Event("session.opened", outcome="denied", remote_ip=address),
            f"connection refused ({cause.name})",
        )
        self._refused += 1
        now = time.monotonic()
        if now >= self._next_line:
            if cap == _DESCRIPTORS:
                logger.error("connection.no_descriptors", hint="raise the limit (LimitNOFILE=)")
            logger.warning(
                "connection.refused",
                remote_ip=address,
                cap=cap,
                refused=self._refused,
                cause=cause.name,
                remedy=cause.remedy,
            )
            self._refused, self._next_line = 0, now + LINE_EVERY

    def _counted(self, origin: Origin) -> int | str:
        """The id of a new connection, or the cap that refuses it. A balancer that speaks for
        itself (its health checks) has no cap of its own: it is everybody's way in."""
        conf, address = self._conf(), origin.client
        if origin.balancer and not origin.named:
            total = conf.max_connections
            return self._table.open(self._worker, address, per_ip=total, total=total)
        # Each session leaves two audit rows: without this, one address that connects and hangs up
        # filled the writer's queue faster than the database could empty it (seen: 600 a second,
        # and an upload waited 5 s behind 8 s of that).
        if not self._arrivals.allow(address, conf.connection_rate_per_ip):
            return "rate"
        return self._table.open(
            self._worker,
            address,
            per_ip=conf.max_connections_per_ip,
            total=conf.max_connections,
        )

    def _refuse_without_descriptors(self) -> None:
        """Give the reserve descriptor to the waiting connection, so that it can be told, and so
        that the listener does not stay ready for ever (row 7)."""
        self._give_reserve()
        try:
            sock, peer = self._listener.accept()
        except OSError:
            pass  # a pool thread was quicker; the next round tries again
        else:
            self._tell(network.canonical(peer[0]), _DESCRIPTORS)
            _refuse(sock, replies.TOO_MANY_CONNECTIONS)
        self._take_reserve()

    def _take_reserve(self) -> None:
        try:
            while len(self._reserve) < RESERVED:
                self._reserve.append(_reserve())
        except OSError:
            pass

    def _give_reserve(self) -> None:
        # A number leaves the list before it is closed: afterwards it may be another's file.
        if self._reserve:
            os.close(self._reserve.pop())

    def handle_write_event(self) -> None:
        pass

    def handle_close(self) -> None:
        # EPOLLERR on a listener is transient; it is never closed for it.
        pass

    def handle_error(self) -> None:
        logger.exception("acceptor.internal_error")

    @property
    def waits_for_headers(self) -> bool:
        """Whether connections of balancers may still become sessions."""
        return bool(self._headers)

    def end(self) -> None:
        """Accept no more; the listening socket stays the master's. Connections that wait for their
        header are served."""
        self._open, self._ended = False, True
        self._look_away()
        self._listener.close()
        while self._reserve:
            self._give_reserve()

    def close(self) -> None:
        """Give up those that wait, too."""
        self.end()
        self._headers.close()


def _reserve() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def _refuse(sock: socket.socket, reply: Reply) -> None:
    """Say it if the socket takes it, and close."""
    try:
        sock.setblocking(False)
        sock.send(reply.line())
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        sock.close()
