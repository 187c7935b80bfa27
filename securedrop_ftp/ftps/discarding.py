"""The rest of a refused data channel: FIN, and what the peer sends is thrown away for a while.

Closing a socket with unread bytes in it makes the kernel send RST. A client that uploads then
reports "connection reset" and never reads the reply that names the cause.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from securedrop_ftp.ftps.channel import Channel

#: How long a peer may be silent before it is given up, and how long it may send at most, seconds:
#: a client that reads nothing while it uploads is to come to its end, and to the reply.
SILENCE: Final = 10.0
LONGEST: Final = 30.0
#: What is thrown away in one turn of the loop.
_READ: Final = 64 * 1024
_READS_PER_TURN: Final = 16


class Discarding:
    """Begins at once. Drives its channel until that is closed, by ``reset`` where the peer goes
    on for too long."""

    def __init__(self, channel: Channel, last_words: bytes, reset: Callable[[], None]) -> None:
        self._channel, self._reset = channel, reset
        self._until = time.monotonic() + LONGEST
        self._moved = True
        try:
            if last_words:
                channel.socket.send(last_words)
            channel.socket.shutdown(socket.SHUT_WR)
        except OSError:
            reset()
            return
        channel.watch(read=True, write=False)
        channel.loop.call_later(SILENCE, self._look)

    def go_on(self) -> None:
        """Bytes, or the end, have come."""
        self._moved = True
        try:
            for _ in range(_READS_PER_TURN):
                if not self._channel.socket.recv(_READ):
                    self._channel.close()
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._channel.close()

    def _look(self) -> None:
        if self._channel.closed:
            return
        if not self._moved or time.monotonic() > self._until:
            self._reset()
            return
        self._moved = False
        self._channel.loop.call_later(SILENCE, self._look)
