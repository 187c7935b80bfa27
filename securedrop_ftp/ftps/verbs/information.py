"""NOOP, HELP, STAT, SYST (RFC 959 §4.1.3)."""

from __future__ import annotations

from collections.abc import Iterator

from securedrop_ftp import replies
from securedrop_ftp.ftps import suspended
from securedrop_ftp.ftps.facts import list_lines
from securedrop_ftp.ftps.listed import meant, pages_of
from securedrop_ftp.ftps.listings import first_page, next_page
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import VERBS, verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry

#: STAT of a directory goes over the control channel, so it is short; LIST has it all.
STAT_ENTRIES = 100


@verb("NOOP", clear=True, login=False, prepares=True, words=True, syntax="NOOP")
def noop(_session: Session, _argument: str) -> Reply:
    """Say that we are here; nothing changes."""
    return replies.NOOP_OK


@verb("SYST", clear=True, login=False, argument=False, syntax="SYST")
def syst(_session: Session, _argument: str) -> Reply:
    """What every client expects."""
    return Reply(215, "UNIX Type: L8")


@verb("HELP", clear=True, login=False, words=True, syntax="HELP [<verb>]")
def help_(session: Session, argument: str) -> Reply | None:
    """The verbs, or one verb's syntax."""
    if argument:
        found = VERBS.get(argument.upper())
        return Reply(214, found.syntax) if found and found.syntax else replies.NOT_IMPLEMENTED
    names = sorted(name for name, v in VERBS.items() if v.syntax)
    lines = [" ".join(names[i : i + 10]) for i in range(0, len(names), 10)]
    session.reply_lines(214, "Verbs:", lines, "End")
    return None


@verb("STAT", syntax="STAT [<path or pattern>]")
def stat(session: LoggedIn, argument: str) -> Reply | None:
    """The session's state, or the head of a listing on the control channel."""
    if argument:
        return _stat_path(session, argument)
    session.reply_lines(
        211,
        "Status:",
        [
            f"Logged in as {session.principal.username} of {session.principal.partner}",
            f"Working directory {session.fs.cwd}",
            "TLS on the control channel and on data channels",
        ],
        "End",
    )
    return None


def _stat_path(session: LoggedIn, argument: str) -> Reply | None:
    if not session.may(Permission.LIST):
        session.trail.deny("STAT", argument)
    listed = meant(session, argument)
    named = suspended.stat(session, listed.path) if listed.pattern is None else None
    if named is not None and not named.is_dir:  # one storage request, where a listing takes three
        session.reply_lines(213, "Status:", list_lines([named]).decode().splitlines(), "End")
        return None
    entries, more = session.storage(_head, pages_of(session, listed))
    lines = list_lines(entries).decode().splitlines()
    last = f"These are the first {len(entries)}; LIST has all of them." if more else "End"
    session.reply_lines(212, "Status:", lines, last)
    return None


def _head(pages: Iterator[list[Entry]]) -> tuple[list[Entry], bool]:
    """The first entries, and whether there are more; blocking."""
    first = first_page(pages)
    return first[:STAT_ENTRIES], len(first) > STAT_ENTRIES or next_page(pages) is not None
