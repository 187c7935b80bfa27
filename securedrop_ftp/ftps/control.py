"""The control channel: command lines in, replies out, TLS in between, and an end in peace.

Lines wait in a bounded queue. While it is full, or while lines wait in the parser, nothing more is
read: TCP pushes back. During a transfer reading goes on whatever waits, so that ABOR, STAT and the
end of the connection are seen. What a line means is the matter of the
:class:`~securedrop_ftp.ftps.interpreter.Interpreter`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from OpenSSL import SSL

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause
from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.channel import RECORD, Channel, CleanEnd, ConnectionLost
from securedrop_ftp.ftps.runtime import EventLoop
from securedrop_ftp.ftps.waiting import WaitingLines
from securedrop_ftp.ftps.wire import Command, LineParser, Violation
from securedrop_ftp.replies import Reply, on_one_line
from securedrop_ftp.tls.fingerprint import Fingerprint, fingerprint
from securedrop_ftp.tls.handshake_limit import restart_count
from securedrop_ftp.tls.hello import LOOK, bytes_wanted, suits_tls13
from securedrop_ftp.tls.openssl import ask_for_tickets
from securedrop_ftp.tls.session_cache import forget_session

#: How long a closed session waits for the peer to have read our last reply.
LINGER = 2.0
#: A reply that the peer does not take for so long ends the session.
OUTPUT_STALL = 60.0
#: Commands started in one turn of the loop, and seconds after which none is, so that one client's
#: pipeline cannot hold it (32 paths of 1500 directories took 60 ms, seen).
COMMANDS_PER_TURN = 32
SECONDS_PER_TURN = 0.005
#: Lines taken out of the parser in one turn; each costs 3 to 6 µs.
LINES_PER_TURN = 512
#: Memory for lines that wait behind a transfer, bytes; who sends more is cut off. It holds some
#: 4 000 lines that differ, and equal ones without end.
MAX_WAITING = 1024 * 1024
#: Reads of what follows a session's end in one turn: who sends on and on holds nobody up (three
#: senders on one connection held the loop for half a second, seen).
RECORDS_PER_TURN = 64


class ControlChannel(Channel):
    """See the module's docstring."""

    def __init__(self, loop: EventLoop, sock: socket.socket, conf: Conf) -> None:
        super().__init__(loop, sock)
        self.conf = conf
        self._connect: Callable[[bool], SSL.Connection] = _not_asked_for
        self.suits_tls13 = False
        self._wanted = 1  # bytes that must be there before the loop calls
        self.last_reply = ""
        self.handshake_started = 0.0
        self.fingerprint: Fingerprint | None = None  # of the client's TLS library
        self.ending = ""  # why: replies are flushed, then the socket is closed
        self._parser = LineParser(conf.max_line_length)
        self._queue = WaitingLines()
        self._backlog = False  # lines wait in the parser
        self._continuing = False
        self._unheeded = False  # a transfer has begun: ABOR may wait already
        self._output = bytearray()
        self._output_moved = time.monotonic()
        self._linger_until = 0.0
        self._after_flush: Callable[[], None] | None = None

    # --- what the interpreter and the session answer -----------------------------------

    def answer_out_of_turn(self, item: Command | Violation) -> bool:
        """Answer a line at once where it must not wait for its turn; whether it was."""
        raise NotImplementedError

    def idle(self) -> bool:
        """Whether the next command may start."""
        raise NotImplementedError

    def start(self, item: Command | Violation) -> None:
        """Run the command of a line; it may park."""
        raise NotImplementedError

    def transferring(self) -> bool:
        """Whether a transfer runs, which ABOR and the end of the connection are to end."""
        raise NotImplementedError

    def overrun(self) -> None:
        """More waits behind a transfer than may."""
        raise NotImplementedError

    def is_abor(self, item: Command | Violation) -> bool:
        """Whether a line ends the transfer that runs."""
        raise NotImplementedError

    def moves_data(self, item: Command | Violation) -> bool:
        """Whether a line asks for a transfer of its own."""
        raise NotImplementedError

    def owed(self, now: float) -> float:
        """Seconds up to ``now`` in which the client was to act: a clock for what it owes."""
        raise NotImplementedError

    def end(self, reply: Reply | None, reason: str) -> None:
        """Say a last word, let the peer read it, then close."""
        raise NotImplementedError

    def handshake_failed(self, error: ConnectionLost) -> None:
        """TLS did not come about."""
        raise NotImplementedError

    def handshake_done(self) -> None:
        """TLS is in use."""
        raise NotImplementedError

    def close(self, reason: str = "", cause: Cause | None = None) -> None:
        """Release the socket; says close_notify, as RFC 5246 §7.2.1 asks."""
        self.send_close_notify()
        self._forget_session()
        super().close()
        self.drop_input()
        self._output.clear()
        self._connect, self._after_flush = _not_asked_for, None  # they hold the session

    # --- replies ---------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Queue one reply and send what the socket takes."""
        self._send(reply.line(), str(reply))

    def reply_lines(self, code: int, first: str, lines: list[str], last: str) -> None:
        """A multi-line reply (RFC 959 §4.2): ``code-first``, indented lines, ``code last``."""
        body = "".join(f" {on_one_line(line)}\r\n" for line in lines)
        self._send(f"{code}-{first}\r\n{body}{code} {last}\r\n".encode(), f"{code} {last}")

    def _send(self, data: bytes, text: str) -> None:
        if self.closed or self.ending:
            return
        self.last_reply = text
        if not self._output:
            self._output_moved = time.monotonic()
        self._output += data
        if len(self._output) > self.conf.max_queued_output:
            self.close("the peer does not read its replies", causes.NOT_READING)
            return
        self._flush()
        self._update_interest()

    def finish(self, reply: Reply | None, reason: str) -> None:
        """Say a last word, let the peer read it, then close."""
        self.drop_input()
        if reply is not None:
            self.reply(reply)
        self.ending = reason
        self._flush()
        self._update_interest()

    def _flush(self) -> None:
        if self.handshaking or self.closed:
            return
        try:
            while self._output:
                with memoryview(self._output) as view:
                    sent = self.transmit(view)
                if not sent:
                    return
                del self._output[:sent]
                self._output_moved = time.monotonic()
        except ConnectionLost as exc:
            self.loop.call_soon(self.close, f"connection lost: {exc}")
            return
        if self._after_flush is not None:
            then, self._after_flush = self._after_flush, None
            then()
        if self.ending and not self._linger_until:
            self._linger()

    def _linger(self) -> None:
        # Closing with unread input makes the kernel send RST, which may destroy the last reply.
        self._linger_until = time.monotonic() + LINGER
        self.send_close_notify()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.loop.call_soon(self.close)

    def output_overdue(self, now: float) -> bool:
        """Whether the peer has not taken our words in time, the last ones above all."""
        if self._linger_until:
            return now > self._linger_until
        patience = LINGER if self.ending else OUTPUT_STALL
        return bool(self._output or self.ending) and now - self._output_moved > patience

    # --- TLS -------------------------------------------------------------------------

    def begin_tls(self, connect: Callable[[bool], SSL.Connection]) -> None:
        """Start the handshake once the reply to AUTH is out. ``connect`` is told whether the client
        suits TLS 1.3."""

        def start() -> None:
            self._connect = connect
            self.handshaking = True
            self.handshake_started = time.monotonic()
            self.watch(read=True, write=False)

        self._after_flush = start

    def _hello_is_here(self) -> bool:
        """Look at the ClientHello, which stays where it is, and begin."""
        try:
            hello = self.socket.recv(LOOK, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            hello = b""
        wanted = bytes_wanted(hello)
        if hello and len(hello) < wanted and wanted != self._wanted:
            self._want(wanted)  # an event that comes before so much is there tells of the end
            return False
        self._want(1)
        self.fingerprint = fingerprint(hello)
        self.suits_tls13 = suits_tls13(hello)
        connect, self._connect = self._connect, _not_asked_for  # it holds the session
        self.start_tls(connect(self.suits_tls13))
        return True

    def _want(self, size: int) -> None:
        if size != self._wanted:
            self._wanted = size
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def renew_tickets(self) -> None:
        """Have new TLS 1.3 session tickets on their way before the next reply: a client uses each
        for one data channel."""
        ready = self.tls is not None and not (self._output or self.closed or self.ending)
        if ready and self.tls is not None and ask_for_tickets(self.tls):
            restart_count(self.tls)

    def _handshake(self) -> None:
        if self.tls is None and not self._hello_is_here():
            return
        try:
            done = self.step_handshake()
        except ConnectionLost as exc:
            self.handshake_failed(exc)
            return
        if done:
            self.handshake_done()
            self._update_interest()
            self._more_input()

    # --- input -----------------------------------------------------------------------

    def drop_input(self) -> None:
        """Forget everything that was pipelined (a login failed: row 5)."""
        self._queue.clear()
        self._parser.clear()
        self._backlog = False

    @property
    def input_pending(self) -> bool:
        """Whether any input waits behind the running command."""
        return bool(self._queue) or self._parser.pending

    @property
    def _full(self) -> bool:
        return self._backlog or (
            len(self._queue) >= self.conf.max_queued_lines and not self.transferring()
        )

    def _update_interest(self) -> None:
        if self.closed or self.handshaking:
            return
        # Between the reply to AUTH and the handshake no plaintext is read.
        room = not self._full and self._after_flush is None
        self.watch(read=room or bool(self._linger_until), write=bool(self._output))

    def handle_write_event(self) -> None:
        """The socket takes bytes again: send the replies that wait."""
        if self.handshaking:
            self._handshake()
            return
        self._flush()
        self._update_interest()

    def handle_close(self) -> None:
        """The connection was reset, or both directions are shut."""
        self.close("connection lost", causes.CONTROL_LOST)

    def handle_read_event(self) -> None:
        """Read what has come: the handshake, command lines, or what follows the session's end."""
        if self.handshaking:
            self._handshake()
        elif self._linger_until:
            self._discard()
        else:
            self._read()

    def _read(self) -> None:
        try:
            data = self.receive(RECORD)
        except CleanEnd:
            self.close("closed by the client")
            return
        except ConnectionLost as exc:
            self.close(f"connection lost: {exc}", causes.CONTROL_LOST)
            return
        if data is not None:
            self._parser.feed(data)
            self.go_on()

    def _discard(self) -> None:
        # After our close_notify nothing of the peer's matters; read below TLS.
        self._forget_session()
        self.tls = None
        try:
            for _ in range(RECORDS_PER_TURN):
                if self.receive(RECORD) is None:
                    break
        except (CleanEnd, ConnectionLost):
            self.close()

    def _forget_session(self) -> None:
        # By its id a session would stay in OpenSSL's memory for as long as its page.
        if self.tls is not None:
            forget_session(self.tls)

    def _more_input(self) -> None:
        # Decrypted bytes inside OpenSSL raise no event.
        if self.tls is not None and not self.closed and self.tls.pending():
            self.loop.call_soon(self._read_pending)

    def _read_pending(self) -> None:
        if not (self.closed or self.handshaking or self._linger_until or self._full):
            self._read()

    # --- commands --------------------------------------------------------------------

    def heed_what_waits(self) -> None:
        """A transfer has begun: what is to end it may wait in the queue already."""
        self._unheeded = True
        self.go_on_soon()

    def go_on_soon(self) -> None:
        """Another turn, once, after this one."""
        if not self._continuing:
            self._continuing = True
            self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._continuing = False
        self.go_on()

    def go_on(self) -> None:
        """Take lines and start commands, a turn's worth; on the loop's own greenlet."""
        until = time.monotonic() + SECONDS_PER_TURN
        for _ in range(COMMANDS_PER_TURN):
            self._take_lines()
            if self.closed or self.ending or not self._queue or not self._may_start():
                break
            self.start(self._queue.popleft())
            if time.monotonic() > until:
                self.go_on_soon()
                break
        else:
            self.go_on_soon()
        self._heed_abor()
        if not (self.closed or self.ending):
            self._update_interest()
            if not self._full:
                self._more_input()

    def _heed_abor(self) -> None:
        # ABOR in one write with the command that it is to end was queued before that command ran.
        # Behind another transfer's command it is that one's. Later ones never get into the queue.
        if self._unheeded:
            self._unheeded = False
            item = self._queue.take(self.is_abor, until=self.moves_data)
            if item is not None and not self.answer_out_of_turn(item):
                self._queue.appendleft(item)

    def _may_start(self) -> bool:
        return self.idle() and not self.handshaking and self._after_flush is None

    def _take_lines(self) -> None:
        self._backlog = False
        for _ in range(LINES_PER_TURN):
            if self.closed or self.ending:
                return
            if self.transferring():
                if self._queue.cost > MAX_WAITING:
                    self.overrun()
                    return
            elif len(self._queue) >= self.conf.max_queued_lines:
                self._backlog = True
                return
            item = self._parser.next()
            if item is None:
                return
            if not self.answer_out_of_turn(item):
                self._queue.append(item)
        self._backlog = True
        self.go_on_soon()

    def answer_next(self, item: Command) -> None:
        """Before everything that waits."""
        self._queue.appendleft(item)


def _not_asked_for(_suits_tls13: bool) -> SSL.Connection:
    raise RuntimeError("a handshake that AUTH did not ask for")
