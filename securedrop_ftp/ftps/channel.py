"""A TCP channel on the event loop, in the clear or under TLS.

It speaks the small interface that pyftpdlib's loop calls (``handle_read_event`` and so on).
TLS objects are touched on the loop's thread only.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from OpenSSL import SSL

from securedrop_ftp.ftps.runtime import EventLoop
from securedrop_ftp.log import get_logger
from securedrop_ftp.tls.contexts import WrongProtocol
from securedrop_ftp.tls.handshake_limit import limit_exceeded
from securedrop_ftp.tls.openssl import Fin, read_into, write_from

logger = get_logger(__name__)

#: TLS's largest record; SSL_read returns no more at a time.
RECORD: Final = 16 * 1024

_GONE: Final = frozenset(
    {
        errno.ECONNRESET,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.EBADF,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)


class ConnectionLost(Exception):
    """RST, FIN without close_notify, a bad record: not a clean end."""


class NoCloseNotify(ConnectionLost):
    """FIN without close_notify. Whether the peer was done, TLS does not say; what came before is
    whole and its own."""


class CleanEnd(Exception):
    """close_notify (under TLS) or FIN (in the clear)."""


class Channel:
    """Non-blocking reads, writes and the handshake; subclasses decide what they mean."""

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.loop = loop
        self.socket = sock
        self.tls: SSL.Connection | None = None
        self.handshaking = False
        self.closed = False
        self._fileno = sock.fileno()
        self._interest = 0
        self._read_error: Exception | None = None  # that came with the last bytes

    # --- interest --------------------------------------------------------------------

    def watch(self, *, read: bool, write: bool) -> None:
        """Tell the loop which events matter now."""
        if self.closed:
            return
        interest = (self.loop.READ if read else 0) | (self.loop.WRITE if write else 0)
        if self._interest == 0 and not self._registered:
            self.loop.register(self._fileno, self, interest)
            self._registered = True
        elif interest != self._interest:
            self.loop.modify(self._fileno, interest)
        self._interest = interest

    _registered = False

    def heed_nothing(self) -> None:
        """No event matters, also none that the loop reports unasked, until :meth:`watch`."""
        if self._registered:
            self.loop.unregister(self._fileno)
            self._registered, self._interest = False, 0

    def readable(self) -> bool:
        """Whether the loop may call :meth:`handle_read_event`."""
        return not self.closed

    def writable(self) -> bool:
        """Whether the loop may call :meth:`handle_write_event`."""
        return not self.closed

    # --- TLS -------------------------------------------------------------------------

    @property
    def connection(self) -> SSL.Connection:
        """The TLS connection.

        Raises:
            RuntimeError: the channel is in the clear.
        """
        if self.tls is None:
            raise RuntimeError("the channel is not under TLS")
        return self.tls

    def start_tls(self, connection: SSL.Connection) -> None:
        """Begin the handshake of a connection that was made for the socket."""
        self.tls = connection
        self.handshaking = True

    def step_handshake(self) -> bool:
        """Go on with the handshake, and give whether it is done.

        Raises:
            ConnectionLost: the peer cannot or does not want to.
        """
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self.watch(read=True, write=False)
            return False
        except SSL.WantWriteError:
            self.watch(read=False, write=True)
            return False
        except (SSL.Error, WrongProtocol, OSError) as exc:
            raise ConnectionLost(why(exc)) from exc
        self.handshaking = False
        return True

    # --- bytes -----------------------------------------------------------------------

    def receive(self, size: int) -> bytes | None:
        """At most ``size`` bytes, or ``None`` if there are none now.

        Raises:
            CleanEnd: the peer has ended the channel.
            ConnectionLost: it is gone without an end.
        """
        try:
            data = self.tls.recv(size) if self.tls is not None else self.socket.recv(size)
        except (SSL.WantReadError, SSL.WantWriteError, BlockingIOError):
            return None
        except SSL.ZeroReturnError as exc:
            raise self._end() from exc
        except (SSL.Error, OSError) as exc:
            raise ConnectionLost(why(exc)) from exc
        if not data:
            raise CleanEnd
        return data

    def receive_into(self, buffer: memoryview) -> int:
        """Like :meth:`receive`, into a buffer; as much as there is and fits, and 0 if there is
        nothing now. TLS only."""
        n = 0
        error, self._read_error = self._read_error, None
        if error is None:
            n, error = read_into(self.connection, buffer)
        if n:
            if not isinstance(error, SSL.WantReadError):
                self._read_error = error  # after these bytes
            return n
        match error:
            case None | SSL.WantReadError() | SSL.WantWriteError():
                return 0
            case SSL.ZeroReturnError():
                raise self._end() from error
            case Fin():
                raise NoCloseNotify(why(error)) from error
            case SSL.Error() | OSError():
                raise ConnectionLost(why(error)) from error
        raise error

    def _end(self) -> CleanEnd | ConnectionLost:
        return (
            ConnectionLost("endless handshakes") if limit_exceeded(self.connection) else CleanEnd()
        )

    def transmit(self, data: bytes | bytearray | memoryview) -> int:
        """Send what the socket takes now, and give the number of bytes sent.

        Raises:
            ConnectionLost: the peer is gone.
        """
        try:
            return self.tls.send(data) if self.tls is not None else self.socket.send(data)
        except (SSL.WantReadError, SSL.WantWriteError, BlockingIOError):
            return 0
        except (SSL.Error, OSError) as exc:
            raise ConnectionLost(why(exc)) from exc

    def transmit_up_to(self, data: memoryview, limit: int) -> int:
        """Like :meth:`transmit`, record after record; ``limit`` bounds it from above, but for a
        record. Under TLS only."""
        sent, error = write_from(self.connection, data, limit)
        if error is None or isinstance(error, (SSL.WantReadError, SSL.WantWriteError)):
            return sent
        if isinstance(error, (SSL.Error, OSError)):
            raise ConnectionLost(why(error)) from error
        raise error

    def send_close_notify(self) -> None:
        """Say that we are done; the peer's answer is not awaited."""
        if self.tls is not None and not self.handshaking:
            try:
                self.tls.shutdown()
            except (SSL.Error, OSError):
                pass

    # --- the loop calls these --------------------------------------------------------

    def handle_read_event(self) -> None:
        """Bytes have come, or the peer has closed."""
        raise NotImplementedError

    def handle_write_event(self) -> None:
        """The socket takes bytes again."""
        raise NotImplementedError

    def handle_close(self) -> None:
        """Error or hang-up with nothing to read."""
        raise NotImplementedError

    def handle_error(self) -> None:
        """An exception that nobody caught: a fault of ours, loud, and only this channel's."""
        logger.exception("channel.internal_error", channel=type(self).__name__)
        self.handle_close()

    def close(self) -> None:
        """Release the socket. Says nothing to the peer."""
        if self.closed:
            return
        self.closed = True
        if self._registered:
            self.loop.unregister(self._fileno)
        self.tls = None
        self.socket.close()


def why(exc: BaseException) -> str:
    """What ended a connection, in OpenSSL's words or by the error's name."""
    if isinstance(exc, SSL.SysCallError):
        return str(exc.args[-1] or "connection lost")
    if isinstance(exc, SSL.Error) and exc.args and exc.args[0]:
        return "; ".join(str(e[-1]) for e in exc.args[0])
    if isinstance(exc, OSError):
        return errno.errorcode.get(exc.errno or 0, "") if exc.errno in _GONE else str(exc)
    return str(exc) or type(exc).__name__
