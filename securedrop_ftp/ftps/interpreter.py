"""The protocol interpreter (RFC 959 §2.3): what a line means, and the verb that runs.

One verb runs at a time, in a greenlet (:mod:`~securedrop_ftp.ftps.parking`). ABOR and STAT pass
the queue while a transfer runs (RFC 959 §4.1.3), and verbs that would open another data channel
are refused at once; every other command waits for the reply before it, so that replies come in
the order of the commands.
"""

from __future__ import annotations

import contextvars
import socket
import time
from typing import Final

import greenlet

from securedrop_ftp import causes, replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import DatabaseUnavailable, SecureDropError, SessionGone
from securedrop_ftp.ftps import attempts
from securedrop_ftp.ftps.answers import Stopped, answer
from securedrop_ftp.ftps.client import Client
from securedrop_ftp.ftps.control import ControlChannel
from securedrop_ftp.ftps.course import Course, counts
from securedrop_ftp.ftps.dialogue import Dialogue
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.offload import Offload
from securedrop_ftp.ftps.registry import VERBS, Verb
from securedrop_ftp.ftps.runtime import Runtime
from securedrop_ftp.ftps.trail import Trail
from securedrop_ftp.ftps.transfer import DataSide
from securedrop_ftp.ftps.wire import Command, Violation
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply

logger = get_logger(__name__)

#: What a health check may say and still leave no row.
CHECK_VERBS: Final = frozenset({"NOOP", "QUIT"})


class Interpreter(ControlChannel):
    """A control channel whose lines are run as commands."""

    def __init__(self, runtime: Runtime, sock: socket.socket, client: Client) -> None:
        super().__init__(runtime.loop, sock, runtime.conf)
        #: The worker.
        self.runtime = runtime
        #: Who is at the other end.
        self.client = client
        #: Parks the verb that runs.
        self.offload = Offload(runtime)
        #: Rows of the audit trail.
        self.trail = Trail(runtime, client, self.offload)
        #: What earlier commands said.
        self.dialogue = Dialogue()
        #: Data channels, and the transfer that runs.
        self.data = DataSide()
        #: How the session goes, for its last row.
        self.course = Course()
        #: What verbs behind the login get; ``None`` before it.
        self.logged_in: LoggedIn | None = None
        #: The verb that runs; ``""`` between commands.
        self.doing = ""
        #: When a command last began or ended.
        self.last_activity = client.started
        #: Log lines of the verbs have these variables bound.
        self.variables = contextvars.copy_context()
        self._is_check = client.origin.is_check  # until it says more than a health check does
        self._hangs_up_on = False  # whether the last reply was a refusal
        self._transferring = False  # a command that moves data has no outcome yet
        self._verb: greenlet.greenlet | None = None  # that runs
        self._verb_since = 0.0
        self._served = 0.0  # seconds that commands took us

    # --- the lines of the control channel ----------------------------------------------

    def answer_out_of_turn(self, item: Command | Violation) -> bool:
        """What is answered at once, in the middle of a transfer."""
        transfer = self.data.transfer
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
        found = VERBS.get(item.verb)
        if found is not None and found.data and transfer.moving:
            event = self._refused_attempt(item, replies.TRANSFER_RUNNING)
            if event is not None:
                self.trail.record_soon(event)
            self.reply(replies.TRANSFER_RUNNING)
            return True
        return False

    def transferring(self) -> bool:
        """Whether a transfer runs: from its command to the last act before its reply."""
        return self.data.transfer is not None

    def overrun(self) -> None:
        """The session ends, and the transfer with it."""
        self.end(
            replies.SERVICE_UNAVAILABLE.but("Too many commands wait behind the transfer.").because(
                causes.NOT_READING
            ),
            "too many commands behind a transfer",
        )

    def is_abor(self, item: Command | Violation) -> bool:
        """Whether a line is ABOR (RFC 959 §4.1.3)."""
        return isinstance(item, Command) and item.verb == "ABOR"

    def moves_data(self, item: Command | Violation) -> bool:
        """Whether a line asks for a transfer, by the table of the verbs."""
        found = VERBS.get(item.verb) if isinstance(item, Command) else None
        return found is not None and found.data

    def idle(self) -> bool:
        """Whether no verb runs; there is one at a time."""
        return self._verb is None

    # --- the verb that runs ----------------------------------------------------------

    def start(self, item: Command | Violation) -> None:
        """Run a command in a greenlet of its own, until it parks or is done."""
        if self._is_check and getattr(item, "verb", "") not in CHECK_VERBS:
            self._is_check = False
        self._verb = runner = greenlet.greenlet(self._run)
        runner.gr_context = self.variables
        self._verb_since = self.last_activity = time.monotonic()
        runner.switch(item)

    def _run(self, item: Command | Violation) -> None:
        self.trail.command_has_row = False
        reason = ""
        try:
            try:
                reply = self._execute(item)
            except SecureDropError as exc:
                reply, reason = answer(exc), str(exc)
                if isinstance(exc, DatabaseUnavailable):
                    logger.warning("command.database_unavailable", verb=self.doing, reason=reason)
            if reply is not None:
                if self._transferring:
                    self._transfer_ended(well=not reply.is_error)
                if reply.is_error and not self.trail.command_has_row:
                    self._note_refusal(item, reply, reason)
                self.reply(reply)
        except SessionGone:
            pass
        except Exception:
            logger.exception("command.internal_error", verb=getattr(item, "verb", ""))
            self.reply(replies.LOCAL_ERROR)
        finally:
            self._verb = None
            self.doing = ""
            self._transferring = False
            self.last_activity = time.monotonic()
            self._served += self.last_activity - self._verb_since
            if self.closed:
                self.logged_in = None  # it holds this session
            self.go_on_soon()

    def _execute(self, item: Command | Violation) -> Reply | None:
        if isinstance(item, Violation):
            self.doing = item.verb if item.verb in VERBS else ""
            self._transferring = _is_transfer(self.doing)
            return self._refuse(item)
        self.doing = item.verb
        self._transferring = _is_transfer(item.verb)
        return self.dispatch(item)

    def dispatch(self, command: Command) -> Reply | None:
        """Check the conditions in the order in which a client can mend them, then run."""
        found = VERBS.get(command.verb)
        self.dialogue.hand_on(command.verb, found)
        if found is None:
            self.count_bad_command()
            return replies.NOT_UNDERSTOOD
        self.dialogue.bad_commands = 0
        if self.tls is None and not found.clear:
            return replies.TLS_REQUIRED
        if not found.login:
            argument = _given(found, command.argument)
            return _misses(found, command.verb, argument) or found.run(self, argument)
        session = self.logged_in
        if session is None:
            return replies.LOG_IN_FIRST
        argument = _given(found, command.argument)
        missed = _misses(found, command.verb, argument)
        if missed is not None:
            return missed
        if found.permission and not any(session.may(p) for p in found.permission):
            self.trail.deny(command.verb, argument)
        return found.run(session, argument)

    def _refuse(self, violation: Violation) -> Reply | None:
        if violation.fatal:
            self._note_refusal(violation, violation.reply)
            cause = violation.reply.cause
            self.end(violation.reply, cause.happened if cause else "protocol violation")
            return None
        self.dialogue.hand_on("", None)
        self.count_bad_command()
        return violation.reply

    def count_bad_command(self) -> None:
        """Ten of them in a row close the session (row 23)."""
        self.dialogue.bad_commands += 1
        if self.dialogue.bad_commands >= self.conf.max_bad_commands:
            errors = replies.SERVICE_UNAVAILABLE.but("Too many errors.")
            self.end(errors.because(causes.BAD_COMMANDS), "too many bad commands")

    # --- how it goes -----------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Queue one reply, and count its cause."""
        if not (self.closed or self.ending):
            self._note(reply)
        super().reply(reply)

    def _note(self, reply: Reply) -> None:
        self._hangs_up_on = reply.code >= 400
        found = VERBS.get(self.doing)
        if reply.cause is not None and counts(self.doing, reply.cause):
            self.course.troubles.add(reply.cause)
        elif found is not None and found.is_about_a_name:
            self.course.answered(self.doing, reply.cause)

    def _note_refusal(self, item: Command | Violation, reply: Reply, reason: str = "") -> None:
        """The row of an attempt that was refused before its verb left one."""
        event = self._refused_attempt(item, reply, reason)
        if event is not None:
            self.trail.record_durably(event)

    def _refused_attempt(
        self, item: Command | Violation, reply: Reply, reason: str = ""
    ) -> Event | None:
        fs = self.logged_in.fs if self.logged_in is not None else None
        return attempts.refused(item, reply, reason, dialogue=self.dialogue, fs=fs)

    def _transfer_ended(self, *, well: bool) -> None:
        """The transfer, or the attempt of one, is counted once."""
        self._transferring = False
        self.course.ended(well=well)

    def owed(self, now: float) -> float:
        """Seconds of this session in which the client was to act: all but those that its commands
        took us. Deadlines for what a client owes are moments of this clock."""
        running = now - self._verb_since if self._verb is not None else 0.0
        return now - self.client.started - self._served - running


def _is_transfer(verb: str) -> bool:
    found = VERBS.get(verb)
    return found is not None and found.is_transfer


def _misses(found: Verb, verb: str, argument: str) -> Reply | None:
    """What is wrong with the argument; ``None``: nothing."""
    if found.argument is True and not argument:
        return replies.BAD_ARGUMENT.but(f"{verb} needs an argument.")
    if found.argument is False and argument:
        return replies.BAD_ARGUMENT.but(f"{verb} takes no argument.")
    return None


def _given(found: Verb, argument: str) -> str:
    """Blanks alone are no argument, but for a password; several clients send ``LIST`` with one."""
    if found.words or found.argument is False or (found.login and not argument.strip(" ")):
        return argument.rstrip(" ")
    return argument
