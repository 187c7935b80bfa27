"""Connections of balancers whose PROXY header has not come yet: few, and not for long.

Until then nobody knows whose they are, so they count for no address. A balancer sends the header
with its first packet: whoever is in the way of a newcomer here is late, and the latest one goes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from securedrop_ftp.ftps.proxy_protocol import Header, HeaderReader, MalformedHeader
from securedrop_ftp.ftps.runtime import EventLoop
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: How often refused headers are logged, seconds.
LINE_EVERY: Final = 1.0


class HeaderWaits:
    """At most ``places`` connections at once, each for at most ``patience`` seconds.

    ``arrived`` gets (socket, balancer, header); nothing behind the header has been read.
    """

    def __init__(
        self,
        loop: EventLoop,
        places: int,
        patience: float,
        arrived: Callable[[socket.socket, str, Header], None],
    ) -> None:
        self._loop, self._places, self._patience = loop, places, patience
        self._arrived = arrived
        self._waits: dict[_Wait, None] = {}  # oldest first
        self._refused, self._next_line = 0, 0.0  # since the last line of it

    def add(self, sock: socket.socket, balancer: str) -> None:
        """Wait for its header."""
        if len(self._waits) >= self._places:
            self._refuse(next(iter(self._waits)), "too many connections without one")
        self._waits[_Wait(self, sock, balancer)] = None

    def check_deadlines(self, now: float) -> None:
        """Called about once a second."""
        for wait in list(self._waits):
            if now - wait.since <= self._patience:
                return
            self._refuse(wait, "not in time")

    def __len__(self) -> int:
        return len(self._waits)

    def close(self) -> None:
        """Give all of them up; no header is told of any more."""
        for wait in list(self._waits):
            self._forget(wait).close()
        self._arrived = _nobody_waits  # its owner holds this

    # --- for a wait ------------------------------------------------------------------

    def came(self, wait: _Wait, header: Header) -> None:
        """It is the client's connection from now on."""
        self._arrived(self._forget(wait), wait.balancer, header)

    def gone(self, wait: _Wait, why: str) -> None:
        """It ended, or said something else. Who closes without a byte has only looked whether the
        port is open; nobody needs to hear of it."""
        if wait.spoke:
            self._refuse(wait, why)
        else:
            self._forget(wait).close()

    def _forget(self, wait: _Wait) -> socket.socket:
        self._waits.pop(wait, None)
        return wait.release()

    def _refuse(self, wait: _Wait, why: str) -> None:
        """Close it without an answer (§2: the receiver must not guess). A line a second at most
        goes into the log."""
        self._forget(wait).close()
        self._refused += 1
        now = time.monotonic()
        if now >= self._next_line:
            logger.warning(
                "proxy_header.refused", peer=wait.balancer, reason=why, refused=self._refused
            )
            self._refused, self._next_line = 0, now + LINE_EVERY


def _nobody_waits(sock: socket.socket, _balancer: str, _header: Header) -> None:
    sock.close()


class _Wait:
    """One connection, as the loop sees it."""

    def __init__(self, waits: HeaderWaits, sock: socket.socket, balancer: str) -> None:
        sock.setblocking(False)
        self.balancer = balancer
        self.since = time.monotonic()
        self._waits, self._loop, self._socket = waits, waits._loop, sock
        self._reader = HeaderReader()
        self._loop.register(sock.fileno(), self, self._loop.READ)

    @property
    def spoke(self) -> bool:
        """Whether any byte has come."""
        return self._reader.began

    def release(self) -> socket.socket:
        """The socket, which the loop watches no more."""
        self._loop.unregister(self._socket.fileno())
        return self._socket

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Some bytes, or the end."""
        try:
            header = self._reader.read(self._socket)
        except MalformedHeader as exc:
            self._waits.gone(self, str(exc))
        except OSError:
            self._waits.gone(self, "connection lost")
        else:
            if header is not None:
                self._waits.came(self, header)

    def handle_write_event(self) -> None:
        pass

    def handle_close(self) -> None:
        self._waits.gone(self, "connection lost")

    def handle_error(self) -> None:
        logger.exception("proxy_header.internal_error")
        self._waits.gone(self, "internal error")
