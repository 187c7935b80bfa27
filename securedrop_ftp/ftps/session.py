"""One session: who it is, what it does, the verb that runs, and its end.

One verb runs at a time, in a greenlet (:mod:`~securedrop_ftp.ftps.parking`). ABOR and STAT pass
the queue while a transfer runs (RFC 959 §4.1.3), and verbs that would open another data channel
are refused at once; every other command waits for the reply before it, so that replies come in
the order of the commands.
"""

from __future__ import annotations

import contextvars
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import greenlet
import structlog
from OpenSSL import SSL

from securedrop_ftp import causes, keys, reasons, replies
from securedrop_ftp.access import network
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.causes import Cause
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Cancelled, SecureDropError, SessionGone
from securedrop_ftp.ftps import attempts, policy
from securedrop_ftp.ftps.answers import Stopped, answer
from securedrop_ftp.ftps.channel import ConnectionLost
from securedrop_ftp.ftps.control import ControlChannel
from securedrop_ftp.ftps.course import Course, counts, is_about_a_name, is_transfer
from securedrop_ftp.ftps.facts import FACTS
from securedrop_ftp.ftps.kinship import Member
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.parking import Waiter, settle_from
from securedrop_ftp.ftps.rights import Rights
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.ftps.storage_fs import StorageFS
from securedrop_ftp.ftps.wire import Command, Violation
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Permission
from securedrop_ftp.refusals import of_address, of_partner, refusals
from securedrop_ftp.replies import Reply
from securedrop_ftp.tls.contexts import WrongProtocol

if TYPE_CHECKING:
    from securedrop_ftp.ftps.passive import PassiveListener
    from securedrop_ftp.ftps.transfer import Transfer

logger = get_logger(__name__)

T = TypeVar("T")

#: What a health check may say and still leave no row.
CHECK_VERBS: Final = frozenset({"NOOP", "QUIT"})
#: A refusal that leaves no row of its own is answered so much later, seconds: who goes on asking
#: is held back, as by waiting for a row.
HELD_BACK = 0.05
#: Uploads that were refused leave a row each, whatever their number: the next reply of a partner
#: comes when it may have one more (rows at once, a second).
REFUSED_UPLOADS = 20
REFUSED_UPLOADS_PER_SECOND = 3.0


@dataclass
class Act:
    """What an audited verb is about to answer."""

    reply: Reply = replies.ACTION_OK


class Session(ControlChannel):
    """See the module's docstring. Public attributes are the session's state, used by the verbs."""

    def __init__(self, runtime: Runtime, sock: socket.socket, origin: Origin, slot: int) -> None:
        super().__init__(runtime.loop, sock, runtime.conf)
        self.runtime = runtime
        self.id = uuid.uuid4().hex
        self.origin = origin
        self.remote_ip = origin.client
        self.slot = slot
        self.data_ip = ""  # where a data channel that proved to be the client's came from
        self.local_ip = origin.reached or network.canonical(sock.getsockname()[0])
        self._is_check = origin.is_check  # until it says more than a health check does

        self.member: Member | None = None  # whose TLS session its data channels resume
        self.principal: Principal | None = None
        self.fs: StorageFS | None = None
        self.username = ""
        self.login_place: Any = None  # counts for its address while a login goes on
        self.failed_logins = 0
        self.protection_size_set = False
        self.data_protected = False
        self.epsv_all = False
        self.passive: PassiveListener | None = None
        self.retired: PassiveListener | None = None
        self.transfer: Transfer | None = None
        self.bytes_before = 0  # of transfers that have ended
        self.said = policy.Said()  # of the command that runs
        self.said_next = policy.Said()  # of the one to come
        self.own_files: set[str] = set()
        self.told_lengths: dict[str, int] = {}  # of suspended uploads, for APPE
        self.binary = False
        self.facts: tuple[str, ...] = FACTS

        self.row_left = False  # of the command that runs
        self.course = Course()
        balancer = {"balancer": origin.balancer} if origin.balancer else {}
        self._opened: Event | None = Event("session.opened", extra=balancer)  # until it is told
        self.started = self.last_activity = time.monotonic()
        self.doing = ""
        self._hangs_up_on = False  # whether the last reply was a refusal
        self._transferring = False  # a command that moves data has no outcome yet
        self._verb: greenlet.greenlet | None = None
        self._verb_since = 0.0
        self._served = 0.0  # seconds that commands took us
        self._waiter: Waiter[Any] | None = None
        self.bad_commands = 0  # in a row
        self._variables = contextvars.copy_context()
        bound = {"session": self.id, "remote_ip": self.remote_ip}
        if origin.balancer:
            bound["balancer"] = origin.balancer
        self._variables.run(structlog.contextvars.bind_contextvars, **bound)

    # --- life ------------------------------------------------------------------------

    def greet(self) -> None:
        """Begin: say 220 and listen."""
        sock = self.socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.reply(replies.GREETING)

    def announce(self) -> None:
        """Tell that the session was opened, once: when it logs in, or when it ends."""
        opened, self._opened = self._opened, None
        if opened is not None:
            self.record(opened)

    def secure(self) -> None:
        """Begin TLS once the reply to AUTH is out."""

        def connect(suits_tls13: bool) -> SSL.Connection:
            context, tls13 = self.runtime.tls_context(suits_tls13)
            made, self.member = self.runtime.kinship.accept_control(
                self.socket, context, self.conf.max_session_age, tls13=tls13
            )
            return made

        self.begin_tls(connect)

    def end(self, reply: Reply | None, reason: str) -> None:
        """Say a last word, let the peer read it, then close."""
        if self.closed or self.ending:
            return
        self.runtime.kinship.leave(self.slot)
        self.finish(reply, reason)
        if self.transfer is not None:
            self.transfer.gone = reason
            self.transfer.cancel(Cancelled(reason))

    def cut(self) -> None:
        """The worker's time is over: the transfer, if one runs, ends with its reply. An upload that
        is being published goes on."""
        if self.transfer is not None:
            self.transfer.cancel(Stopped(replies.CUT, "shutdown"))

    def close(self, reason: str = "", cause: Cause | None = None) -> None:
        """Release everything. A verb that is parked ends with SessionGone."""
        if self.closed:
            return
        reason = self.ending or reason or "connection lost"
        self.runtime.kinship.leave(self.slot)
        if not self.ending:
            self._note_loss(cause)
        elif self._transferring:
            self._transfer_ended(well=False)
        super().close()
        self.close_listeners()
        if not self._is_check:
            self._tell_end(self._closed_row(reason))
        self.end_login(good=False)
        self.runtime.session_closed(self)
        waiter = self._waiter
        if waiter is not None and greenlet.getcurrent() is not self._verb:
            waiter.fail(SessionGone())

    def _note_loss(self, cause: Cause | None) -> None:
        """It ends without a last word."""
        if self.transfer is not None and self.transfer.moving:
            self._transfer_ended(well=False)
            trouble = self.transfer.trouble
            self.troubled(trouble or causes.CUT_BY_CONTROL)
            if trouble is not None:  # the client did not wait for the reply that would have said so
                self.transfer.gone += f"; before that: {trouble.happened}"
        elif cause is causes.CONTROL_LOST and (self.principal is None or self._hangs_up_on):
            pass  # a client that ends so behind a refusal (Python's ftplib) has lost nothing
        elif cause is not None:
            self.troubled(cause)

    def _transfer_ended(self, *, well: bool) -> None:
        """The transfer, or the attempt of one, is counted once."""
        self._transferring = False
        self.course.ended(well=well)

    def handshake_failed(self, error: ConnectionLost) -> None:
        """On the control connection."""
        wrong = isinstance(error.__cause__, WrongProtocol)
        cause = causes.TLS_ALPN if wrong else reasons.of_handshake(str(error))
        self.close(f"TLS handshake failed: {error}", cause)

    def handshake_done(self) -> None:
        """On the control connection."""
        assert self.tls is not None
        assert self.member is not None
        self.course.note_tls(self.tls)
        # Data channels may resume its TLS session from now on.
        self.member = self.runtime.kinship.join(self.slot, self.remote_ip, self.member, self.tls)

    def _closed_row(self, reason: str) -> Event:
        course = self.course
        course.over()
        return Event(
            "session.closed",
            outcome=course.outcome(logged_in=self.principal is not None),
            reason=course.said(reason),
            extra={"seconds": self.age},
            details=course.details(self.fingerprint),
        )

    def _tell_end(self, closed: Event) -> None:
        """A session that never logged in is a stranger's: its rows have a bound, and come after
        those of uploads."""
        if self.principal is not None:
            self.record(closed)
            return
        rows = [self._completed(event) for event in (self._opened, closed) if event is not None]
        self._opened = None
        kind = "connection without a login" if len(rows) > 1 else "session.closed"
        for cause, _ in self.course.troubles.most_common(1):
            kind += f" ({cause.name})"
        if refusals.admit(self._bucket(), rows[-1], rows=len(rows), kind=kind):
            for row in rows:
                self.runtime.record(row, later=True)

    def close_listeners(self) -> None:
        """Give up every passive port of the session's."""
        for listener in (self.passive, self.retired):
            if listener is not None:
                listener.close()
        self.passive = self.retired = None

    @property
    def age(self) -> float:
        """Seconds since the connection was accepted."""
        return time.monotonic() - self.started

    def owed(self, now: float) -> float:
        """Seconds of this session in which the client was to act: all but those that its commands
        took us. Deadlines for what a client owes are moments of this clock."""
        running = now - self._verb_since if self._verb is not None else 0.0
        return now - self.started - self._served - running

    @property
    def bytes_moved(self) -> int:
        """Payload of all transfers, the running one included."""
        return self.bytes_before + (self.transfer.moved if self.transfer is not None else 0)

    def check_deadlines(self, now: float) -> None:
        """Called about once a second (rows 16 and 17)."""
        if self.output_overdue(now):
            self.close("the peer does not read its replies", causes.NOT_READING)
        elif self.ending:
            pass
        elif self.handshaking:
            if now - self.handshake_started > self.conf.handshake_timeout:
                self.close("TLS handshake timed out", causes.TLS_TIMEOUT)
        elif self._verb is not None and self.transfer is not None:
            self.transfer.check_deadlines(now)
        else:
            overdue = self._overdue(now)
            if overdue is not None:
                self.end(*overdue)

    def _overdue(self, now: float) -> tuple[Reply, str] | None:
        conf = self.conf
        if self.principal is None and self.owed(now) > conf.login_timeout:
            late = replies.TIMED_OUT.but("No login in time; closing.")
            return late.because(causes.NO_LOGIN_IN_TIME), "login timed out"
        if self._verb is not None:
            if now - self._verb_since > conf.operation_timeout:
                return replies.OPERATION_TIMED_OUT, "operation timed out"
            return None
        if now - self.started > conf.max_session_age:
            old = replies.TIMED_OUT.but("The session is too old; log in again.")
            return old.because(causes.TOO_OLD), "session too old"
        if self._is_drained(now):
            return replies.DRAINING, "shutdown"
        if now - self.last_activity > conf.idle_timeout:
            return replies.TIMED_OUT, "idle"
        return None

    def _is_drained(self, now: float) -> bool:
        draining = self.runtime.draining
        return draining is not None and draining.ends(
            now, logged_in=self.principal is not None, rested=now - self.last_activity
        )

    # --- records ---------------------------------------------------------------------

    def troubled(self, cause: Cause) -> None:
        """Count why something did not go through, for the session's last row. A reply that has a
        cause has it counted when it is sent."""
        self.course.troubles.add(cause)

    def reply(self, reply: Reply) -> None:
        """Queue one reply, and count its cause."""
        if not (self.closed or self.ending):
            self._note(reply)
        super().reply(reply)

    def _note(self, reply: Reply) -> None:
        self._hangs_up_on = reply.code >= 400
        if reply.cause is not None and counts(self, reply.cause):
            self.troubled(reply.cause)
        elif is_about_a_name(policy.VERBS.get(self.doing)):
            self.course.answered(self.doing, reply.cause)

    def event_fields(self) -> dict[str, Any]:
        """Who and from where, for an event."""
        return {
            "partner": self.principal.partner if self.principal else "",
            "partner_id": self.principal.partner_id if self.principal else None,
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
        fields = self.event_fields()
        if self.principal is None:
            fields["account"] = event.account  # the name that was sent
        return event.but(**fields, extra=extra)

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
            reply = answer(exc)
            self.record_durably(
                Event(name, outcome="failure", path=path, reason=str(exc), reply=str(reply))
            )
            raise
        self.record_durably(Event(name, path=path, reply=str(act.reply)))

    def record_durably(self, event: Event) -> None:
        """:meth:`record`, and wait until the row is kept; where the session is gone nobody waits
        for it. Refusals by which nothing was moved have a bound
        (:mod:`securedrop_ftp.refusals`)."""
        self.row_left = True
        whole = self._completed(event)
        bounded = event.outcome != "success" and not event.size
        if bounded and not refusals.admit(self._bucket(), whole):
            if not self.closed:
                self.sleep_until(time.monotonic() + HELD_BACK)
            return
        kept = self.runtime.record(whole)
        if not self.closed:
            self.outcome(kept)

    def note_refusal(
        self, item: Command | Violation, reply: Reply, reason: str = "", *, wait: bool = True
    ) -> None:
        """The row of an attempt that was refused before its verb left one; ``wait`` inside a
        verb's greenlet only."""
        event = attempts.refused(self, item, reply, reason)
        if event is None:
            return
        if wait:
            self.record_durably(event)
            return
        whole = self._completed(event)
        if refusals.admit(self._bucket(), whole):
            self.runtime.record(whole)

    def pace_refused_uploads(self) -> None:
        """After one: wait until its partner may have the next one refused."""
        while not refusals.paced(self._bucket(), REFUSED_UPLOADS, REFUSED_UPLOADS_PER_SECOND):
            self.sleep_until(time.monotonic() + 1 / REFUSED_UPLOADS_PER_SECOND)

    def spend_row(self) -> None:
        """A row was left whatever the bound: it leaves less for the session's others."""
        refusals.spend(self._bucket())

    def _bucket(self) -> str:
        if self.principal is not None:
            return of_partner(self.principal.partner)
        return of_address(network.source_of(self.remote_ip))

    def may(self, permission: Permission) -> bool:
        """Whether the account has a permission."""
        return self.principal is not None and self.principal.may(permission)

    def rights(self) -> Rights:
        """What the account may do with what a listing shows it now."""
        assert self.principal is not None
        return Rights(self.principal, self._stored_here)

    def _stored_here(self, key: str) -> bool:
        assert self.fs is not None
        return keys.path_for(self.fs.root, key) in self.own_files

    def claim_place(self, principal: Principal) -> str:
        """A place among its partner's sessions for who has shown the right credentials, or why
        there is none. From a thread of the accounts pool."""
        return self.runtime.assign_partner(self.slot, principal.partner_id, principal.max_sessions)

    def end_login(self, *, good: bool) -> None:
        """The attempt that was counted for the address, if one was, is over."""
        place, self.login_place = self.login_place, None
        if place is not None:
            self.runtime.login_ended(place, good=good)

    def bind_principal(self) -> None:
        """After the login: who it is stands in every log line of the session. Runs in the verb's
        own context, which is the session's."""
        assert self.principal is not None
        if not (self.closed or self.ending):
            self.runtime.kinship.prove(self.slot, self.principal.account_id)
        structlog.contextvars.bind_contextvars(
            partner=self.principal.partner, account=self.principal.username
        )
        certificate = self.principal.certificate
        if certificate is not None:
            structlog.contextvars.bind_contextvars(
                certificate=certificate.fingerprint, certificate_subject=certificate.subject
            )

    def become(self, principal: Principal) -> None:
        """What an operator changed takes effect in this session: the limits of an upload that
        runs, and everything that begins after."""
        self.principal = principal
        if self.transfer is not None and self.transfer.narrow is not None:
            self.transfer.narrow(principal.max_file_size)

    # --- commands --------------------------------------------------------------------

    def passes_queue(self, item: Command | Violation) -> bool:
        """What is answered at once, in the middle of a transfer."""
        transfer = self.transfer
        if transfer is None or isinstance(item, Violation):
            return False
        if item.verb == "ABOR":
            aborted = replies.TRANSFER_ABORTED.because(causes.ABORTED)
            transfer.cancel(Stopped(aborted, "ABOR"))
            self.answer_next(item)  # its own reply follows the transfer's
            return True
        if item.verb == "STAT" and not item.argument.strip(" "):
            self.reply(transfer.status())
            return True
        found = policy.VERBS.get(item.verb)
        if found is not None and found.data and transfer.moving:
            self.note_refusal(item, replies.TRANSFER_RUNNING, wait=False)
            self.reply(replies.TRANSFER_RUNNING)
            return True
        return False

    def transferring(self) -> bool:
        """From the transfer's command to the last act before its reply."""
        return self.transfer is not None

    def overrun(self) -> None:
        """The session ends, and the transfer with it."""
        self.end(
            replies.SERVICE_UNAVAILABLE.but("Too many commands wait behind the transfer.").because(
                causes.NOT_READING
            ),
            "too many commands behind a transfer",
        )

    def is_abor(self, item: Command | Violation) -> bool:
        """RFC 959 §4.1.3."""
        return isinstance(item, Command) and item.verb == "ABOR"

    def moves_data(self, item: Command | Violation) -> bool:
        """By the verbs' table."""
        found = policy.VERBS.get(item.verb) if isinstance(item, Command) else None
        return found is not None and found.data

    def idle(self) -> bool:
        """One verb at a time."""
        return self._verb is None

    def start(self, item: Command | Violation) -> None:
        """Run a command in a greenlet of its own, until it parks or is done."""
        if self._is_check and getattr(item, "verb", "") not in CHECK_VERBS:
            self._is_check = False
        self._verb = runner = greenlet.greenlet(self._run)
        runner.gr_context = self._variables
        self._verb_since = self.last_activity = time.monotonic()
        runner.switch(item)

    def _run(self, item: Command | Violation) -> None:
        self.row_left = False
        reason = ""
        try:
            try:
                reply = self._execute(item)
            except SecureDropError as exc:
                reply, reason = answer(exc), str(exc)
            if reply is not None:
                if self._transferring:
                    self._transfer_ended(well=not reply.is_error)
                if reply.is_error and not self.row_left:
                    self.note_refusal(item, reply, reason)
                self.reply(reply)
        except SessionGone:
            pass
        except Exception:
            logger.exception("verb failed", verb=getattr(item, "verb", ""))
            self.reply(replies.LOCAL_ERROR)
        finally:
            self._verb = None
            self.doing = ""
            self._transferring = False
            self.last_activity = time.monotonic()
            self._served += self.last_activity - self._verb_since
            self.go_on_soon()

    def _execute(self, item: Command | Violation) -> Reply | None:
        if isinstance(item, Violation):
            self.doing = item.verb if item.verb in policy.VERBS else ""
            self._transferring = is_transfer(policy.VERBS.get(self.doing))
            return self._refuse(item)
        self.doing = item.verb
        self._transferring = is_transfer(policy.VERBS.get(item.verb))
        return policy.dispatch(self, item)

    def _refuse(self, violation: Violation) -> Reply | None:
        if violation.fatal:
            self.note_refusal(violation, violation.reply)
            cause = violation.reply.cause
            self.end(violation.reply, cause.happened if cause else "protocol violation")
            return None
        policy.hand_on(self, "", None)
        self.count_bad_command()
        return violation.reply

    def count_bad_command(self) -> None:
        """Ten of them in a row close the session (row 23)."""
        self.bad_commands += 1
        if self.bad_commands >= self.conf.max_bad_commands:
            errors = replies.SERVICE_UNAVAILABLE.but("Too many errors.")
            self.end(errors.because(causes.BAD_COMMANDS), "too many bad commands")

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
