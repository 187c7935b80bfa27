"""LIST, NLST (RFC 959 §4.1.3), MLSD, MLST (RFC 3659 §7)."""

from __future__ import annotations

from collections.abc import Iterable

from securedrop_ftp import replies
from securedrop_ftp.exceptions import NotADirectory
from securedrop_ftp.ftps import suspended
from securedrop_ftp.ftps.facts import Render, facts_of, list_lines, mlsd_lines, name_lines
from securedrop_ftp.ftps.listed import Listed, meant, names_to_send_back, pages_of
from securedrop_ftp.ftps.listings import send_listing
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Entry

_LIST = (Permission.LIST,)


def _list(session: LoggedIn, listed: Listed, render: Render) -> Reply:
    return send_listing(session, listed.path, pages_of(session, listed), render)


@verb("LIST", permission=_LIST, data=True, syntax="LIST [<path or pattern>]")
def list_(session: LoggedIn, argument: str) -> Reply:
    """A directory for people, by name."""
    return _list(session, meant(session, argument), list_lines)


@verb("NLST", permission=_LIST, data=True, syntax="NLST [<path or pattern>]")
def nlst(session: LoggedIn, argument: str) -> Reply:
    """A directory's names, by name; RETR takes them as they are (RFC 1123 §4.1.2.7)."""
    listed = meant(session, argument)

    def render(entries: Iterable[Entry]) -> bytes:
        return name_lines(names_to_send_back(session, listed, entries))

    return _list(session, listed, render)


@verb("MLSD", permission=_LIST, data=True, syntax="MLSD [<directory>]")
def mlsd(session: LoggedIn, argument: str) -> Reply:
    """A directory for machines; 501 for a file (RFC 3659 §7.2.1). Neither options nor patterns: the
    argument is a path (§7.2), in which ``*`` is a character like others (TVFS, §6)."""
    path = session.fs.spelled(session.fs.resolve(argument))
    render = mlsd_lines(session.dialogue.facts, session.rights(path))
    own = suspended.under(session, path)
    pages = suspended.merged(session, session.fs.pages(path), own)
    try:
        return send_listing(session, path, pages, render)
    except NotADirectory:
        return replies.BAD_ARGUMENT.but("Not a directory.")


@verb("MLST", permission=(*_LIST, Permission.RESUME), syntax="MLST [<path>]")
def mlst(session: LoggedIn, argument: str) -> None:
    """One entry, on the control channel."""
    path, entry = suspended.seen(session, session.fs.resolve(argument))
    if path == "/":
        entry = session.fs.root_entry(session.principal.since)
    rights = session.rights(path.rpartition("/")[0] or "/")
    session.reply_lines(
        250,
        "Listing",
        [f"{facts_of(entry, session.dialogue.facts, rights)} {path}"],
        "End",
    )
