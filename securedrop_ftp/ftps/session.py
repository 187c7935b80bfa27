"""One control channel: its input, its command queue, its replies and its end.

Lines are parsed as they come and wait in a bounded queue; one verb runs at a time, in a greenlet
(:mod:`~securedrop_ftp.ftps.parking`). ABOR and STAT pass the queue while a transfer runs
(RFC 959 §4.1.3); every other command waits for the reply before it, so that replies always come
in the order of the commands.
"""

from __future__ import annotations

import contextvars
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import greenlet
import structlog
from OpenSSL import SSL

from securedrop_ftp import replies
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Cancelled, SecureDropError, SessionGone
from securedrop_ftp.ftps import policy
from securedrop_ftp.ftps.channel import RECORD, Channel, CleanEnd, ConnectionLost
from securedrop_ftp.ftps.facts import FACTS
from securedrop_ftp.ftps.parking import Waiter, settle_from
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.ftps.wire import Command, LineParser, Violation
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply

if TYPE_CHECKING:
    from securedrop_ftp.ftps.passive import PassiveListener
    from securedrop_ftp.ftps.transfer import Transfer

logger = get_logger(__name__)

T = TypeVar("T")

#: How long a closed session waits for the peer to have read our last reply.
LINGER = 2.0
#: A reply that the peer does not take for so long ends the session.
OUTPUT_STALL = 60.0


@dataclass
class Act:
    """What an audited verb is about to answer."""

    reply: Reply = replies.ACTION_OK


class Session(Channel):
    """See the module's docstring. Public attributes are the session's state, used by the verbs."""

    def __init__(self, runtime: Runtime, sock: socket.socket, remote_ip: str, slot: int) -> None:
        super().__init__(runtime.loop, sock)
        self.runtime = runtime
        self.conf = runtime.conf
        self.id = uuid.uuid4().hex
        self.remote_ip = remote_ip
        self.slot = slot
        self.local_ip = sock.getsockname()[0]

        self.context: SSL.Context | None = None
        self.principal: Principal | None = None
        self.fs: StorageFS | None = None
        self.username = ""
        self.failed_logins = 0
        self.protection_size_set = False
        self.data_protected = False
        self.epsv_all = False
        self.passive: PassiveListener | None = None
        self.transfer: Transfer | None = None
        self.bytes_before = 0  # of transfers that have ended
        self.restart_at = 0
        self.announced: int | None = None
        self.rename_from: str | None = None
        self.own_files: set[str] = set()
        self.told_lengths: dict[str, int] = {}  # of suspended uploads, for APPE
        self.binary = False
        self.facts: tuple[str, ...] = FACTS

        self.started = self.last_activity = time.monotonic()
        self.doing = ""
        self.last_reply = ""
        self._handshake_started = 0.0
        self._parser = LineParser(self.conf.max_line_length)
        self._queue: deque[Command | Violation] = deque()
        self._output = bytearray()
        self._output_moved = self.started
        self._verb: greenlet.greenlet | None = None
        self._verb_since = 0.0
        self._waiter: Waiter[Any] | None = None
        self._bad_commands = 0
        self._ending = ""  # why: replies are flushed, then the socket is closed
        self._linger_until = 0.0
        self._after_flush: Callable[[], None] | None = None
        self._variables = contextvars.copy_context()
        self._variables.run(
            structlog.contextvars.bind_contextvars, session=self.id, remote_ip=remote_ip
        )

    # --- life ------------------------------------------------------------------------

    def greet(self) -> None:
        """Begin: say 220 and listen."""
        sock = self.socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.record(Event("session.opened"))
        self.reply(replies.GREETING)
        self._update_interest()

    def end(self, reply: Reply | None, reason: str) -> None:
        """Say a last word, let the peer read it, then close."""
        if self.closed or self._ending:
            return
        self._queue.clear()
        self._parser.clear()
        if reply is not None:
            self.reply(reply)
        self._ending = reason
        if self.transfer is not None:
            self.transfer.cancel(Cancelled(reason))
        self._flush()
        self._update_interest()

    def close(self, reason: str = "") -> None:
        """Release everything. A verb that is parked ends with SessionGone."""
        if self.closed:
            return
        reason = self._ending or reason or "connection lost"
        self.send_close_notify()
        super().close()
        self._queue.clear()
        self._parser.clear()
        self._output.clear()
        if self.passive is not None:
            self.passive.close()
            self.passive = None
        self.record(Event("session.closed", reason=reason, extra={"seconds": self.age}))
        self.runtime.session_closed(self)
        waiter = self._waiter
        if waiter is not None and greenlet.getcurrent() is not self._verb:
            waiter.fail(SessionGone())

    @property
    def age(self) -> float:
        """Seconds since the connection was accepted."""
        return time.monotonic() - self.started

    @property
    def bytes_moved(self) -> int:
        """Payload of all transfers, the running one included."""
        return self.bytes_before + (self.transfer.moved if self.transfer is not None else 0)

    @property
    def busy(self) -> bool:
        """Whether a verb runs."""
        return self._verb is not None

    def check_deadlines(self, now: float) -> None:
        """Called about once a second (rows 16 and 17)."""
        conf = self.conf
        if self._linger_until:
            if now > self._linger_until:
                self.close()
        elif self._output and now - self._output_moved > OUTPUT_STALL:
            self.close("the peer does not read its replies")
        elif self._ending:
            if now - self._output_moved > LINGER:
                self.close()
        elif self.handshaking:
            if now - self._handshake_started > conf.handshake_timeout:
                self.close("TLS handshake timed out")
        elif self.principal is None and now - self.started > conf.login_timeout:
            self.end(replies.TIMED_OUT.but("No login in time; closing."), "login timed out")
        elif self.transfer is not None and self._verb is not None:
            self.transfer.check_deadlines(now)
        elif self._verb is not None:
            if now - self._verb_since > conf.operation_timeout:
                self.end(
                    replies.TIMED_OUT.but("The operation took too long."), "operation timed out"
                )
        elif now - self.started > conf.max_session_age:
            self.end(
                replies.TIMED_OUT.but("The session is too old; log in again."), "session too old"
            )
        elif self.runtime.draining:
            self.end(replies.DRAINING, "shutdown")
        elif now - self.last_activity > conf.idle_timeout:
            self.end(replies.TIMED_OUT, "idle")

    # --- records ---------------------------------------------------------------------

    def event_fields(self) -> dict[str, Any]:
        """Who and from where, for an event."""
        return {
            "partner": self.principal.partner if self.principal else "",
            "account": self.principal.username if self.principal else "",
            "remote_ip": self.remote_ip,
            "session": self.id,
        }

    def record(self, event: Event) -> None:
        """Complete the event with who and from where, and hand it over."""
        self.runtime.record(self._completed(event))

    def _completed(self, event: Event) -> Event:
        extra = dict(event.extra)
        certificate = self.principal.certificate if self.principal else None
        if certificate is not None:
            extra |= {
                "certificate": certificate.fingerprint,
                "certificate_subject": certificate.subject,
            }
        return event.but(**self.event_fields(), extra=extra)

    @contextmanager
    def audited(self, name: str, path: str) -> Iterator[Act]:
        """An act on a file or a directory: one row when it is done or has failed, durable before
        the client has its reply. The verb sets ``act.reply``."""
        act = Act()
        try:
            yield act
        except SessionGone:
            raise
        except Exception as exc:
            reply = exc.reply if isinstance(exc, SecureDropError) else replies.LOCAL_ERROR
            self._record_durably(
                Event(name, outcome="failure", path=path, reason=str(exc), reply=str(reply))
            )
            raise
        self._record_durably(Event(name, path=path, reply=str(act.reply)))

    def _record_durably(self, event: Event) -> None:
        self.outcome(self.runtime.record(self._completed(event)))

    def may(self, permission: Permission) -> bool:
        """Whether the account has a permission."""
        return self.principal is not None and self.principal.may(permission)

    def bind_principal(self) -> None:
        """After the login: who it is stands in every log line of the session. Runs in the verb's
        own context, which is the session's."""
        assert self.principal is not None
        structlog.contextvars.bind_contextvars(
            partner=self.principal.partner, account=self.principal.username
        )
        certificate = self.principal.certificate
        if certificate is not None:
            structlog.contextvars.bind_contextvars(
                certificate=certificate.fingerprint, certificate_subject=certificate.subject
            )

    # --- replies ---------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Queue one reply and send what the socket takes."""
        self._send(reply.line(), str(reply))

    def reply_lines(self, code: int, first: str, lines: list[str], last: str) -> None:
        """A multi-line reply (RFC 959 §4.2): ``code-first``, indented lines, ``code last``."""
        body = "".join(f" {line}\r\n" for line in lines)
        self._send(f"{code}-{first}\r\n{body}{code} {last}\r\n".encode(), f"{code} {last}")

    def _send(self, data: bytes, text: str) -> None:
        if self.closed or self._ending:
            return
        self.last_reply = text
        if not self._output:
            self._output_moved = time.monotonic()
        self._output += data
        if len(self._output) > self.conf.max_queued_output:
            self.close("the peer does not read its replies")
            return
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
        if self._ending and not self._linger_until:
            self._linger()

    def _linger(self) -> None:
        # Closing with unread input makes the kernel send RST, which may destroy the last reply.
        self._linger_until = time.monotonic() + LINGER
        self.send_close_notify()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.loop.call_soon(self.close)

    # --- input -----------------------------------------------------------------------

    def _update_interest(self) -> None:
        if self.closed or self.handshaking:
            return
        # Between the reply to AUTH and the handshake no plaintext is read.
        room = len(self._queue) < self.conf.max_queued_lines and self._after_flush is None
        self.watch(read=room or bool(self._linger_until), write=bool(self._output))

    def handle_write_event(self) -> None:
        """Replies go on."""
        if self.handshaking:
            self._handshake()
            return
        self._flush()
        self._update_interest()

    def handle_close(self) -> None:
        """RST or both directions shut."""
        self.close("connection lost")

    def handle_read_event(self) -> None:
        """Commands come."""
        if self.handshaking:
            self._handshake()
            return
        if self._linger_until:
            self._discard()
            return
        try:
            data = self.receive(RECORD)
        except CleanEnd:
            self.close("closed by the client")
            return
        except ConnectionLost as exc:
            self.close(f"connection lost: {exc}")
            return
        if data is not None:
            self._parser.feed(data)
            self._take_lines()

    def _discard(self) -> None:
        if self.tls is not None:
            # After our close_notify nothing of the peer's matters; read below TLS.
            self.tls = None
        try:
            while self.receive(RECORD) is not None:
                pass
        except (CleanEnd, ConnectionLost):
            self.close()

    def _handshake(self) -> None:
        try:
            done = self.step_handshake()
        except ConnectionLost as exc:
            self.close(f"TLS handshake failed: {exc}")
            return
        if done:
            self.last_activity = time.monotonic()
            self._update_interest()
            self._more_input()

    def _more_input(self) -> None:
        # Decrypted bytes inside OpenSSL raise no event.
        if self.tls is not None and not self.closed and self.tls.pending():
            self.loop.call_soon(self._read_pending)

    def _read_pending(self) -> None:
        if not self.closed and not self.handshaking and not self._linger_until:
            self.handle_read_event()

    def _take_lines(self) -> None:
        while (
            not self._ending and not self.closed and len(self._queue) < self.conf.max_queued_lines
        ):
            item = self._parser.next()
            if item is None:
                break
            if not self._passes_queue(item):
                self._queue.append(item)
        self._pump()
        self._update_interest()
        if len(self._queue) < self.conf.max_queued_lines:
            self._more_input()

    def _passes_queue(self, item: Command | Violation) -> bool:
        """What is answered at once, in the middle of a transfer."""
        transfer = self.transfer
        if transfer is None or isinstance(item, Violation):
            return False
        if item.verb == "ABOR":
            transfer.cancel(Cancelled("ABOR"))
            self._queue.appendleft(item)  # its own reply follows the transfer's
            return True
        if item.verb == "STAT" and not item.argument:
            self.reply(transfer.status())
            return True
        found = policy.VERBS.get(item.verb)
        if found is not None and found.data and transfer.moving:
            self.reply(replies.TRANSFER_RUNNING)
            return True
        return False

    def drop_input(self) -> None:
        """Forget everything that was pipelined (a login failed: row 5)."""
        self._queue.clear()
        self._parser.clear()

    @property
    def input_pending(self) -> bool:
        """Whether any input waits behind the running command."""
        return bool(self._queue) or self._parser.pending

    def begin_tls(self, context: SSL.Context) -> None:
        """Start the handshake once the reply to AUTH is out."""

        def start() -> None:
            self.context = context
            self.start_tls(context)
            self._handshake_started = time.monotonic()
            self.watch(read=True, write=False)

        self._after_flush = start

    def count_bad_command(self) -> None:
        """Ten of them close the session (row 23)."""
        self._bad_commands += 1
        if self._bad_commands >= self.conf.max_bad_commands:
            self.end(
                replies.SERVICE_UNAVAILABLE.but("Too many errors."),
                "too many bad commands",
            )

    # --- verbs -----------------------------------------------------------------------

    def _pump(self) -> None:
        """Start the next command; runs on the loop's own greenlet."""
        while self._queue and self._verb is None and not self.closed and not self._ending:
            if self.handshaking or self._after_flush is not None:
                return
            item = self._queue.popleft()
            self._verb = runner = greenlet.greenlet(self._run)
            runner.gr_context = self._variables
            self._verb_since = self.last_activity = time.monotonic()
            runner.switch(item)
        if not self.closed and len(self._queue) < self.conf.max_queued_lines:
            self._update_interest()

    def _run(self, item: Command | Violation) -> None:
        try:
            if isinstance(item, Violation):
                self._refuse(item)
                return
            self.doing = item.verb
            reply = policy.dispatch(self, item)
            if reply is not None:
                self.reply(reply)
        except SessionGone:
            pass
        except SecureDropError as exc:
            self.reply(exc.reply)
        except Exception:
            logger.exception("verb failed", verb=getattr(item, "verb", ""))
            self.reply(replies.LOCAL_ERROR)
        finally:
            self._verb = None
            self.doing = ""
            self.last_activity = time.monotonic()
            self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        if not self.closed and not self._ending:
            self._take_lines()

    def _refuse(self, violation: Violation) -> None:
        if violation.fatal:
            self.end(violation.reply, "protocol violation")
            return
        self.count_bad_command()
        self.reply(violation.reply)

    # --- waiting (inside a verb) -----------------------------------------------------

    def wait(self, waiter: Waiter[T]) -> T:
        """Park the verb. Raises SessionGone if the session has closed or closes meanwhile."""
        if self.closed:
            raise SessionGone
        self._waiter = waiter
        try:
            return waiter.wait()
        finally:
            self._waiter = None

    def outcome(self, future: Future[T], orphan: Callable[[T], Any] | None = None) -> T:
        """Park until a future is done. If the session goes first, ``orphan`` gets its result."""
        waiter: Waiter[T] = Waiter()
        settle_from(future, waiter, self.loop.call_soon_threadsafe)
        try:
            return self.wait(waiter)
        except SessionGone:
            if orphan is not None:
                _hand_over(future, orphan)
            raise

    def sleep_until(self, moment: float) -> None:
        """Park until a moment of :func:`time.monotonic`."""
        delay = moment - time.monotonic()
        if delay > 0:
            waiter: Waiter[None] = Waiter()
            self.loop.call_later(delay, waiter.set, None)
            self.wait(waiter)

    def accounts(self, function: Callable[..., T], *args: Any) -> T:
        """Call it in the accounts pool and wait."""
        future: Future[T] = self.runtime.accounts(function, *args)
        return self.outcome(future)

    def storage(
        self, function: Callable[..., T], *args: Any, orphan: Callable[[T], Any] | None = None
    ) -> T:
        """Call it in the storage pool, on the partner's share, and wait."""
        assert self.principal is not None
        future: Future[T] = self.runtime.storage(self.principal.partner, function, *args)
        return self.outcome(future, orphan)


def _hand_over(future: Future[T], orphan: Callable[[T], Any]) -> None:
    def done(finished: Future[T]) -> None:
        if finished.exception() is None:
            orphan(finished.result())

    future.add_done_callback(done)
