"""The data channel: TLS, one direction, and an end that means something.

Nothing is sent or read before the handshake is done (rows 12 and 22). An upload has ended well only
when the peer's close_notify was seen, or where a partner is let off that (invariant 3); a download,
when the peer's kernel has
acknowledged every byte and our close_notify.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from functools import partial
from typing import Protocol

from securedrop_ftp.exceptions import SecureDropError, Truncated
from securedrop_ftp.ftps.answers import CutShort
from securedrop_ftp.ftps.candidate import Candidate
from securedrop_ftp.ftps.channel import RECORD, CleanEnd, ConnectionLost, NoCloseNotify
from securedrop_ftp.ftps.parking import Waiter
from securedrop_ftp.ftps.runtime import EventLoop
from securedrop_ftp.replies import DOWNLOAD_ABORTED

#: What one channel moves in one turn of the loop, so that it cannot hold it: 64 TLS records.
BYTES_PER_TURN = 64 * RECORD
#: How often a finished download asks whether the kernel has delivered everything, seconds.
_DRAIN_POLL = 0.005
#: When a peer that says nothing is asked whether it is there, seconds: first, then again, and how
#: often. One that has vanished without a word is gone after 150 s; one that pauses answers.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)
#: ``tcpi_bytes_acked`` and ``tcpi_bytes_received`` in Linux's ``struct tcp_info``.
_TCP_INFO_BYTES = struct.Struct("120xQQ")


class Sink(Protocol):
    """Where an upload's bytes go (:class:`securedrop_ftp.intake.stream.UploadStream`)."""

    on_ready: Callable[[], None] | None

    @property
    def error(self) -> SecureDropError | None: ...

    def buffer(self) -> memoryview | None: ...

    def filled(self, n: int) -> None: ...


class Source(Protocol):
    """Where a download's bytes come from. ``next`` gives bytes, ``b""`` at the end, ``None`` while
    they are fetched (``on_ready`` is then called, from any thread), or raises SecureDropError."""

    on_ready: Callable[[], None] | None

    def next(self) -> bytes | memoryview | None: ...


#: Gets the payload bytes that came; why a FIN was no end, or ``None`` where it was one.
JudgeFin = Callable[[int], SecureDropError | None]


class DataChannel(Candidate):
    """One data connection. ``moved`` counts payload bytes."""

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        super().__init__(loop, sock)
        for option in _KEEPALIVE:
            sock.setsockopt(*option)
        self.moved = 0
        self.waiting_for_us = False  # storage, not the peer, is what is slow
        self._sink: Sink | None = None
        self._judge_fin: JudgeFin | None = None
        self._source: Source | None = None
        self._chunk: memoryview | None = None
        self._waiter: Waiter[None] | None = None

    def _lost(self, error: ConnectionLost) -> None:
        if self._waiter is not None:
            self._finish(Truncated(str(error)) if self._sink is not None else _cut(error))
        else:
            super()._lost(error)

    # --- upload ----------------------------------------------------------------------

    def receive_all(self, sink: Sink, judge_fin: JudgeFin | None = None) -> Waiter[None]:
        """Start to receive; the waiter is set at a clean end, or fails with what went wrong.
        ``judge_fin`` is asked at a FIN without close_notify; without it that is a cut."""
        self._waiter, self._sink, self._judge_fin = Waiter(), sink, judge_fin
        sink.on_ready = self._sink_ready
        self._act = partial(self._receive, sink)
        self.watch(read=True, write=False)
        self.loop.call_soon(self._act_pending)
        return self._waiter

    def handle_close(self) -> None:
        if self._read_error is not None and self._sink is not None:
            # The end was read, and waits until what came before it is taken. Who left without
            # close_notify answers OpenSSL's alert about that with RST, which says nothing new.
            self.heed_nothing()
        else:
            super().handle_close()

    def _sink_ready(self) -> None:
        self.loop.call_soon_threadsafe(self._act_pending)

    def _act_pending(self) -> None:
        if not self.closed and self._act is not None:
            self._act()

    def _receive(self, sink: Sink) -> None:
        try:
            left = BYTES_PER_TURN
            while left:
                if sink.error is not None:
                    self._finish(sink.error)
                    return
                room = sink.buffer()
                if room is None:
                    # No free buffer: stop reading, TCP pushes back.
                    self.waiting_for_us = True
                    self.watch(read=False, write=False)
                    return
                n = self.receive_into(room[:left])
                if not n:
                    break
                sink.filled(n)
                self.moved += n
                left -= n
        except CleanEnd:
            self._finish(None)
            return
        except NoCloseNotify as exc:
            judge = self._judge_fin
            self._finish(judge(self.moved) if judge is not None else Truncated(str(exc)))
            return
        except ConnectionLost as exc:
            self._lost(exc)
            return
        self.waiting_for_us = False
        self.watch(read=True, write=False)
        if not left:
            # Decrypted bytes inside OpenSSL, and an end that was met, raise no event.
            self.loop.call_soon(self._act_pending)

    # --- download --------------------------------------------------------------------

    def send_all(self, source: Source) -> Waiter[None]:
        """Start to send; the waiter is set when the peer has everything."""
        self._waiter, self._source = Waiter(), source
        source.on_ready = self._sink_ready
        self._act = partial(self._send, source)
        self.loop.call_soon(self._act_pending)
        return self._waiter

    def _send(self, source: Source) -> None:
        try:
            left = BYTES_PER_TURN
            while left > 0:
                if not self._chunk:
                    chunk = source.next()
                    if chunk is None:
                        self.waiting_for_us = True
                        self.watch(read=False, write=False)
                        return
                    self.waiting_for_us = False
                    if not len(chunk):
                        self._end_of_download()
                        return
                    self._chunk = memoryview(chunk)
                sent = self.transmit_up_to(self._chunk, left)
                self.moved += sent
                left -= sent
                self._chunk = self._chunk[sent:]
                if self._chunk and left > 0:
                    break  # the socket takes no more
        except SecureDropError as exc:
            self._finish(exc)
            return
        except ConnectionLost as exc:
            self._lost(exc)
            return
        self.watch(read=False, write=True)

    def _end_of_download(self) -> None:
        self.send_close_notify()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lost(ConnectionLost("connection reset"))
            return
        self._act = self._await_peer
        self._await_drain()

    def _await_peer(self) -> None:
        # Anything readable now is the peer's end; what matters is only that it is no RST.
        try:
            if self.socket.recv(4096) == b"":
                self._finish(None)
        except BlockingIOError:
            pass
        except OSError:
            self._lost(ConnectionLost("connection reset"))

    def _await_drain(self) -> None:
        if self.closed or self._waiter is None:
            return
        self.watch(read=True, write=False)
        unsent = fcntl.ioctl(self._fileno, termios.TIOCOUTQ, b"\0\0\0\0")
        if unsent == b"\0\0\0\0":
            self._finish(None)
        else:
            self.loop.call_later(_DRAIN_POLL, self._await_drain)

    # --- progress --------------------------------------------------------------------

    def progress(self) -> int:
        """A number that grows while anything moves: bytes that the kernel has from the peer
        (upload), or that the peer's kernel has from ours (download). ``moved`` cannot tell: a slow
        peer's TLS record is counted when it is whole, and what our kernel still holds of a
        download was counted when it took it (megabytes, an hour at 900 bytes a second)."""
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES.size)
            acknowledged, received = _TCP_INFO_BYTES.unpack(info)
        except (OSError, struct.error):
            return self.moved
        counted: int = received if self._sink is not None else acknowledged
        return counted or self.moved

    # --- the end ---------------------------------------------------------------------

    def fail(self, error: SecureDropError) -> None:
        """End the transfer from outside (ABOR, stall, the session's end)."""
        if self._waiter is not None:
            self._finish(error)

    def close(self) -> None:
        """Close the socket; what it moves tells it of nothing any more."""
        for moved in (self._sink, self._source):
            if moved is not None:
                moved.on_ready = None
        super().close()

    def _finish(self, error: SecureDropError | None) -> None:
        waiter, self._waiter = self._waiter, None
        self._act = None
        if error is None:
            self.send_close_notify()
            self.close()
        else:
            self.reset()
        if waiter is not None:
            if error is None:
                waiter.set(None)
            else:
                waiter.fail(error)


def _cut(error: ConnectionLost) -> SecureDropError:
    return CutShort(DOWNLOAD_ABORTED, str(error))
