"""LIST, NLST (RFC 959 §4.1.3), MLSD, MLST (RFC 3659 §7)."""

from __future__ import annotations

from collections.abc import Iterator

from securedrop_ftp import replies
from securedrop_ftp.exceptions import NotADirectory
from securedrop_ftp.ftps import suspended
from securedrop_ftp.ftps.facts import Render, facts_of, list_lines, mlsd_lines, nlst_lines
from securedrop_ftp.ftps.listings import send_listing
from securedrop_ftp.ftps.policy import verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry

_LIST = (Permission.LIST,)


def _without_options(argument: str) -> str:
    """``LIST -la path``: options of ``ls`` are not RFC 959's, but clients send them."""
    while argument.startswith("-"):
        option, _, argument = argument.partition(" ")
        if not option[1:].isalpha():
            return f"{option} {argument}".rstrip()
    return argument


def _pages(session: Session, path: str) -> Iterator[list[Entry]]:
    """Blocking: a directory's pages, or the one file that the path names."""
    assert session.fs is not None
    try:
        yield from session.fs.pages(path)
    except NotADirectory:
        yield [session.fs.storage.stat(session.fs.key(path))]


def _list(session: Session, argument: str, render: Render) -> Reply:
    assert session.fs is not None
    path = session.fs.resolve(_without_options(argument))
    own = suspended.under(session, path)
    return send_listing(session, path, suspended.merged(_pages(session, path), own), render)


@verb("LIST", permission=_LIST, data=True, syntax="LIST [<path>]")
def list_(session: Session, argument: str) -> Reply:
    """A directory for people. No globbing: a pattern is a name (its cost stays constant)."""
    return _list(session, argument, list_lines)


@verb("NLST", permission=_LIST, data=True, syntax="NLST [<path>]")
def nlst(session: Session, argument: str) -> Reply:
    """A directory's names."""
    return _list(session, argument, nlst_lines)


@verb("MLSD", permission=_LIST, data=True, syntax="MLSD [<directory>]")
def mlsd(session: Session, argument: str) -> Reply:
    """A directory for machines; 501 for a file (RFC 3659 §7.2.1)."""
    assert session.fs is not None
    path = session.fs.resolve(argument)
    render = mlsd_lines(session.facts, session.may)
    own = suspended.under(session, path)
    try:
        return send_listing(session, path, suspended.merged(session.fs.pages(path), own), render)
    except NotADirectory:
        return replies.BAD_ARGUMENT.but("Not a directory.")


@verb("MLST", permission=(*_LIST, Permission.RESUME), syntax="MLST [<path>]")
def mlst(session: Session, argument: str) -> None:
    """One entry, on the control channel."""
    assert session.fs is not None
    path = session.fs.resolve(argument)
    entry = suspended.stat(session, path)
    session.reply_lines(
        250, "Listing", [f"{facts_of(entry, session.facts, session.may)} {path}"], "End"
    )
