"""One session from its greeting to its end: TLS, the login, deadlines, the last row.

What its commands mean is the :class:`~securedrop_ftp.ftps.interpreter.Interpreter`'s matter.
"""

from __future__ import annotations

import socket
import uuid
from typing import Any

import structlog
from OpenSSL import SSL

from securedrop_ftp import causes, reasons, replies
from securedrop_ftp.access import network
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.causes import Cause
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Cancelled
from securedrop_ftp.ftps.answers import Stopped
from securedrop_ftp.ftps.channel import ConnectionLost
from securedrop_ftp.ftps.client import Account, Client
from securedrop_ftp.ftps.interpreter import Interpreter
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.origin import Origin
from securedrop_ftp.ftps.passive import PassiveListener
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.ftps.transfer import Transfer
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.tls.contexts import WrongProtocol


class Session(Interpreter):
    """See the module's docstring. Verbs that need no login get it as it is."""

    def __init__(
        self, runtime: Runtime, sock: socket.socket, origin: Origin, connection_id: int
    ) -> None:
        reached = origin.reached or network.canonical(sock.getsockname()[0])
        super().__init__(runtime, sock, Client(uuid.uuid4().hex, origin, connection_id, reached))
        #: Counts for its address while a login goes on.
        self.login_place: Any = None
        #: Passwords that were wrong.
        self.failed_logins = 0
        bound = {"session": self.id, "remote_ip": self.remote_ip}
        if origin.balancer:
            bound["balancer"] = origin.balancer
        self.variables.run(structlog.contextvars.bind_contextvars, **bound)

    # --- for the worker --------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id by which rows and log lines name the session."""
        return self.client.session

    @property
    def remote_ip(self) -> str:
        """The client's address, in its one spelling."""
        return self.client.remote_ip

    @property
    def connection_id(self) -> int:
        """Its place in the table of connections."""
        return self.client.connection_id

    @property
    def age(self) -> float:
        """Seconds since the connection was accepted."""
        return self.client.age

    @property
    def principal(self) -> Principal | None:
        """Who has logged in."""
        return self.client.principal

    @property
    def transfer(self) -> Transfer | None:
        """The transfer that runs."""
        return self.data.transfer

    @property
    def passive(self) -> PassiveListener | None:
        """The port that waits for a data channel."""
        return self.data.listener

    @property
    def bytes_moved(self) -> int:
        """Payload of all transfers, the running one included."""
        return self.data.bytes_moved

    # --- life ------------------------------------------------------------------------

    def greet(self) -> None:
        """Begin: say 220 and listen."""
        sock = self.socket
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.reply(replies.GREETING)

    def secure(self) -> None:
        """Begin TLS once the reply to AUTH is out."""

        def connect(suits_tls13: bool) -> SSL.Connection:
            context, tls13 = self.runtime.tls_context(suits_tls13)
            made, self.client.member = self.runtime.kinship.accept_control(
                self.socket, context, self.conf.max_session_age, tls13=tls13
            )
            return made

        self.begin_tls(connect)

    def handshake_failed(self, error: ConnectionLost) -> None:
        """On the control connection."""
        wrong = isinstance(error.__cause__, WrongProtocol)
        cause = causes.TLS_ALPN if wrong else reasons.of_handshake(str(error))
        self.close(f"TLS handshake failed: {error}", cause)

    def handshake_done(self) -> None:
        """On the control connection: data channels may resume its TLS session from now on."""
        client, tls = self.client, self.connection
        self.course.note_tls(tls)
        if client.member is not None:
            client.member = self.runtime.kinship.join(
                client.connection_id, client.remote_ip, client.member, tls
            )

    def end(self, reply: Reply | None, reason: str) -> None:
        """Say a last word, let the peer read it, then close. A transfer is cancelled."""
        if self.closed or self.ending:
            return
        self.runtime.kinship.leave(self.connection_id)
        self.finish(reply, reason)
        transfer = self.data.transfer
        if transfer is not None:
            transfer.gone = reason
            transfer.cancel(Cancelled(reason))

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
        self.runtime.kinship.leave(self.connection_id)
        if not self.ending:
            self._note_loss(cause)
        elif self._transferring:
            self._transfer_ended(well=False)
        super().close()
        self.offload.gone = True
        self.data.close_listeners()
        if not self._is_check:
            self._tell_end(reason)
        self.end_login(good=False)
        self.runtime.session_closed(self)
        if self._verb is None:
            self.logged_in = None  # it holds this session
        self.offload.wake_with_session_gone()

    def _note_loss(self, cause: Cause | None) -> None:
        """It ends without a last word."""
        transfer, troubles = self.data.transfer, self.course.troubles
        if transfer is not None and transfer.moving:
            self._transfer_ended(well=False)
            trouble = transfer.trouble
            troubles.add(trouble or causes.CUT_BY_CONTROL)
            if trouble is not None:  # the client did not wait for the reply that would have said so
                transfer.gone += f"; before that: {trouble.happened}"
        elif cause is causes.CONTROL_LOST and (self.principal is None or self._hangs_up_on):
            pass  # a client that ends so behind a refusal (Python's ftplib) has lost nothing
        elif cause is not None:
            troubles.add(cause)

    def _tell_end(self, reason: str) -> None:
        course = self.course
        course.over()
        closed = Event(
            "session.closed",
            outcome=course.outcome(logged_in=self.principal is not None),
            reason=course.said(reason),
            extra={"seconds": self.age},
            details=course.details(self.fingerprint),
        )
        trouble = next((cause.name for cause, _ in course.troubles.most_common(1)), "")
        self.trail.tell_end(closed, trouble)

    # --- deadlines -------------------------------------------------------------------

    def check_deadlines(self, now: float) -> None:
        """Called about once a second (rows 16 and 17)."""
        transfer = self.data.transfer
        if self.output_overdue(now):
            self.close("the peer does not read its replies", causes.NOT_READING)
        elif self.ending:
            pass
        elif self.handshaking:
            if now - self.handshake_started > self.conf.handshake_timeout:
                self.close("TLS handshake timed out", causes.TLS_TIMEOUT)
        elif self._verb is not None and transfer is not None:
            transfer.check_deadlines(now)
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
        if now - self.client.started > conf.max_session_age:
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

    # --- the login -------------------------------------------------------------------

    def claim_place(self, principal: Principal) -> str:
        """A place among its partner's sessions for who has shown the right credentials, or why
        there is none. From a thread of the accounts pool."""
        return self.runtime.assign_partner(
            self.connection_id, principal.partner_id, principal.max_sessions
        )

    def end_login(self, *, good: bool) -> None:
        """The attempt that was counted for the address, if one was, is over."""
        place, self.login_place = self.login_place, None
        if place is not None:
            self.runtime.login_ended(place, good=good)

    def admit(self, account: Account, storage: ConfinedStorage) -> None:
        """Logged in: verbs get ``account`` and its files from now on. Runs in the verb's own
        context, which is the session's: who it is stands in every later log line."""
        self.client.account = account
        self.logged_in = LoggedIn(
            self.runtime,
            self,
            client=self.client,
            account=account,
            storage=storage,
            offload=self.offload,
            trail=self.trail,
            dialogue=self.dialogue,
            data=self.data,
        )
        principal = account.principal
        if not (self.closed or self.ending):
            self.runtime.kinship.prove(self.connection_id, principal.account_id)
        structlog.contextvars.bind_contextvars(
            partner=principal.partner, account=principal.username
        )
        if principal.certificate is not None:
            structlog.contextvars.bind_contextvars(
                certificate=principal.certificate.fingerprint,
                certificate_subject=principal.certificate.subject,
            )

    def become(self, principal: Principal) -> None:
        """What an operator changed takes effect in this session: the limits of an upload that
        runs, and everything that begins after."""
        if self.client.account is not None:
            self.client.account.principal = principal
        transfer = self.data.transfer
        if transfer is not None and transfer.narrow is not None:
            transfer.narrow(principal.max_file_size)
