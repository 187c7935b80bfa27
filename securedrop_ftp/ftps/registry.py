"""The table of the verbs, and the conditions under which each is run.

Verbs are functions below :mod:`securedrop_ftp.ftps.verbs`, entered here by :func:`verb`. One that
needs a login gets the logged-in session (:class:`~securedrop_ftp.ftps.logged_in.LoggedIn`), the
others get the :class:`~securedrop_ftp.ftps.session.Session` itself. The interpreter checks the
conditions (:mod:`securedrop_ftp.ftps.interpreter`); no verb repeats them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply

Run = TypeVar("Run", bound=Callable[..., Reply | None])


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its conditions.

    Attributes:
        run: takes the session and the argument; gives the reply, ``None`` where it has replied.
        clear: answered before TLS (invariant 5).
        login: needs a login, and gets the logged-in session.
        argument: ``True`` needed, ``False`` refused, ``None`` either.
        permission: any one of these is needed; empty: none.
        words: the argument is made of words and numbers: a blank behind them means nothing. A
            blank behind a name or a password belongs to it.
        data: opens a data channel or moves data: refused while a transfer runs.
        prepares: sets the next transfer up, or does nothing: what REST and ALLO said stands on.
        syntax: for HELP; empty: not listed there.
        attempts: the audit event that it attempts: its row is written where the verb is refused
            before it has begun (invariant 8). Empty: it changes nothing and moves no file.
    """

    name: str
    run: Callable[[Any, str], Reply | None]
    clear: bool = False
    login: bool = True
    argument: bool | None = None
    permission: tuple[Permission, ...] = ()
    words: bool = False
    data: bool = False
    prepares: bool = False
    syntax: str = ""
    attempts: str = ""

    @property
    def is_about_a_name(self) -> bool:
        """Whether the argument is the name of a file or directory."""
        return self.login and self.argument is not False and not self.words

    @property
    def is_transfer(self) -> bool:
        """Whether it moves data over a data channel, and not only prepares that."""
        return self.data and not self.prepares


VERBS: Final[dict[str, Verb]] = {}


def attempted(name: str) -> str:
    """The audit event that a verb attempts (:attr:`Verb.attempts`), for a name as it was sent."""
    found = VERBS.get(name)
    return found.attempts if found is not None else ""


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
    attempts: str = "",
) -> Callable[[Run], Run]:
    """Register a function as the implementation of one or more verbs; see :class:`Verb`."""

    def register(run: Run) -> Run:
        for name in names:
            VERBS[name] = Verb(
                name,
                run,
                clear,
                login,
                argument,
                permission,
                words,
                data,
                prepares,
                syntax,
                attempts,
            )
        return run

    return register
