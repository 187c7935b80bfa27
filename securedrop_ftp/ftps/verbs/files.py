"""DELE, RNFR, RNTO (RFC 959 §4.1.3), SIZE, MDTM (RFC 3659 §3, §4), HASH and XSHA256."""

from __future__ import annotations

from securedrop_ftp import replies
from securedrop_ftp.exceptions import IsADirectory
from securedrop_ftp.ftps import policy
from securedrop_ftp.ftps.facts import timestamp
from securedrop_ftp.ftps.policy import verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.replies import Reply


@verb("DELE", argument=True, permission=(Permission.DELETE,), syntax="DELE <file>")
def dele(session: Session, argument: str) -> Reply:
    """Delete a file."""
    assert session.fs is not None
    path = session.fs.resolve(argument)
    if path == "/":
        raise IsADirectory
    with session.audited("file.deleted", path) as act:
        session.fs.delete(path)
        act.reply = replies.ACTION_OK.but("File deleted.")
    return act.reply


_RENAME = (Permission.RENAME, Permission.RENAME_OWN)


@verb("RNFR", argument=True, permission=_RENAME, syntax="RNFR <old name>")
def rnfr(session: Session, argument: str) -> Reply:
    """The old name. Who may rename only what it stored itself, in this session, says so here."""
    assert session.fs is not None
    path = session.fs.resolve(argument)
    if not session.may(Permission.RENAME) and path not in session.own_files:
        policy.deny(session, "RNFR", path)
    if path == "/":
        return replies.NO_PERMISSION.but("The top directory stays.")
    session.fs.stat(path)
    session.rename_from = path
    return replies.NEED_RNTO


@verb("RNTO", argument=True, permission=_RENAME, syntax="RNTO <new name>")
def rnto(session: Session, argument: str) -> Reply:
    """The new name. It follows the partner's overwrite policy like an upload."""
    assert session.fs is not None
    assert session.principal is not None
    source, session.rename_from = session.rename_from, None
    if source is None:
        return replies.BAD_SEQUENCE.but("Send RNFR first.")
    target = session.fs.resolve(argument)
    principal = session.principal
    replace = principal.overwrite == OverwritePolicy.REPLACE and session.may(Permission.OVERWRITE)
    with session.audited("file.renamed", f"{source} -> {target}") as act:
        session.fs.rename(source, target, replace=replace)
        act.reply = replies.ACTION_OK.but("Renamed.")
    if source in session.own_files:
        session.own_files.discard(source)
        session.own_files.add(target)
    return act.reply


@verb("SIZE", argument=True, permission=(Permission.LIST,), syntax="SIZE <file>")
def size(session: Session, argument: str) -> Reply:
    """The length in bytes, whatever the TYPE: stored bytes are sent as they are."""
    assert session.fs is not None
    return Reply(213, str(session.fs.stat_file(session.fs.resolve(argument)).size))


@verb("MDTM", argument=True, permission=(Permission.LIST,), syntax="MDTM <file>")
def mdtm(session: Session, argument: str) -> Reply:
    """When it was stored, UTC."""
    assert session.fs is not None
    modified = session.fs.stat_file(session.fs.resolve(argument)).modified
    if modified is None:
        return replies.NO_SUCH_FILE.but("The time is not known.")
    return Reply(213, timestamp(modified))
