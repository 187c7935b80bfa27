"""What must be true before a verb runs: policy wraps the verbs and is not repeated in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.ftps.answers import Denied
from securedrop_ftp.ftps.wire import Command
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply

if TYPE_CHECKING:
    from securedrop_ftp.ftps.session import Session

Run = Callable[["Session", str], Reply | None]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its conditions.

    Attributes:
        clear: answered before TLS (invariant 5).
        login: needs a login.
        argument: ``True`` needed, ``False`` refused, ``None`` either.
        permission: any one of these is needed; empty: none.
        words: the argument is made of words and numbers: a blank behind them means nothing. A
            blank behind a name or a password belongs to it.
        data: opens a data channel or moves data: refused while a transfer runs.
        prepares: sets the next transfer up, or does nothing: what REST and ALLO said stands on.
    """

    name: str
    run: Run
    clear: bool = False
    login: bool = True
    argument: bool | None = None
    permission: tuple[Permission, ...] = ()
    words: bool = False
    data: bool = False
    prepares: bool = False
    syntax: str = ""


@dataclass(slots=True)
class Said:
    """What commands say of the one that follows them.

    Attributes:
        restart_at: where the transfer begins, bytes (REST).
        announced: bytes that will come (ALLO).
        rename_from: an absolute FTP path (RNFR).
    """

    restart_at: int = 0
    announced: int | None = None
    rename_from: str | None = None


VERBS: Final[dict[str, Verb]] = {}


def verb(
    *names: str,
    clear: bool = False,
    login: bool = True,
    argument: bool | None = None,
    permission: tuple[Permission, ...] = (),
    words: bool = False,
    data: bool = False,
    prepares: bool = False,
    syntax: str = "",
) -> Callable[[Run], Run]:
    """Register a function as the implementation of one or more verbs."""

    def register(run: Run) -> Run:
        for name in names:
            VERBS[name] = Verb(
                name, run, clear, login, argument, permission, words, data, prepares, syntax
            )
        return run

    return register


def dispatch(session: Session, command: Command) -> Reply | None:
    """Check the conditions in the order in which a client can mend them, then run."""
    found = VERBS.get(command.verb)
    hand_on(session, command.verb, found)
    if found is None:
        session.count_bad_command()
        return replies.NOT_UNDERSTOOD
    session.bad_commands = 0
    if session.tls is None and not found.clear:
        return replies.TLS_REQUIRED
    if found.login and session.principal is None:
        return replies.LOG_IN_FIRST
    argument = _given(found, command.argument)
    if found.argument is True and not argument:
        return replies.BAD_ARGUMENT.but(f"{command.verb} needs an argument.")
    if found.argument is False and argument:
        return replies.BAD_ARGUMENT.but(f"{command.verb} takes no argument.")
    if found.permission and not any(session.may(p) for p in found.permission):
        deny(session, command.verb, argument)
    return found.run(session, argument)


def _given(found: Verb, argument: str) -> str:
    """Blanks alone are no argument, but for a password; several clients send ``LIST`` with one."""
    if found.words or found.argument is False or (found.login and not argument.strip(" ")):
        return argument.rstrip(" ")
    return argument


def hand_on(session: Session, verb_name: str, found: Verb | None) -> None:
    """What REST, ALLO and RNFR said is for the command that they precede, whatever becomes of it.

    REST is the last command before its transfer (RFC 3659 §5.3), ALLO stands before STOR or APPE
    and RNFR before RNTO (RFC 959 §4.1.3). Between REST or ALLO and the transfer clients send the
    transfer's parameters, and NOOP affects nothing that was sent before it (§4.1.3).
    """
    if found is None or not found.prepares:
        session.said, session.said_next = session.said_next, Said()
    elif verb_name != "NOOP":
        session.said_next.rename_from = None


def deny(session: Session, verb_name: str, argument: str) -> NoReturn:
    """Record the attempt, wait until the row is kept (who goes on asking is held back by it), and
    refuse.

    Raises:
        Denied: always.
    """
    refusal = replies.NO_PERMISSION.but(f"This account may not use {verb_name} here.")
    session.record_durably(
        Event(
            "access.denied",
            outcome="denied",
            path=argument,
            reason=f"{verb_name} is not permitted",
            reply=str(refusal),
        )
    )
    raise Denied(refusal)
