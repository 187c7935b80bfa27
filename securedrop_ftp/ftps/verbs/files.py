"""DELE, RNFR, RNTO (RFC 959 §4.1.3), SIZE, MDTM (RFC 3659 §3, §4), HASH and XSHA256."""

from __future__ import annotations

import re

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import NotFound
from securedrop_ftp.ftps import suspended, texts
from securedrop_ftp.ftps.answers import Refused
from securedrop_ftp.ftps.facts import timestamp
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.intake.stored_digest import digest_of_object
from securedrop_ftp.models import OverwritePolicy, Permission
from securedrop_ftp.replies import Reply


@verb("DELE", argument=True, syntax="DELE <file>", attempts="file.deleted")
def dele(session: LoggedIn, argument: str) -> Reply:
    """Delete a file; in every mode the owner may discard its own suspended upload."""
    path = session.fs.resolve_file(argument)
    discarded = session.may(Permission.RESUME) and _discard(session, path)
    if not session.may(Permission.DELETE):
        if not discarded:
            session.trail.deny("DELE", path)
        return replies.ACTION_OK.but("Suspended upload discarded.")
    try:
        with session.trail.audited("file.deleted", path) as act:
            session.fs.delete(path)
            act.reply = replies.ACTION_OK.but("File deleted.")
    except NotFound:
        if not discarded:
            raise
        return replies.ACTION_OK.but("Suspended upload discarded.")
    return act.reply


def _discard(session: LoggedIn, path: str) -> bool:
    if suspended.find(session, path) is None or not suspended.discard(session, path):
        return False
    session.trail.record_durably(
        Event("upload.aborted", path=path, reason="discarded by its owner", outcome="success")
    )
    return True


#: Finished files, or one's own suspended uploads.
_SEE = (Permission.LIST, Permission.RESUME)
_RENAME = (Permission.RENAME, Permission.RENAME_OWN)


@verb("RNFR", argument=True, permission=_RENAME, syntax="RNFR <old name>", attempts="file.renamed")
def rnfr(session: LoggedIn, argument: str) -> Reply:
    """The old name. Who may rename only what it stored itself, in this session, says so here."""
    path = session.fs.resolve(argument)
    if not session.may(Permission.RENAME) and path not in session.own_files:
        session.trail.deny("RNFR", path)
    if path == "/":
        return replies.NO_PERMISSION.but("The top directory stays.")
    session.fs.stat(path)
    session.dialogue.said_next.rename_from = path
    return replies.NEED_RNTO


@verb("RNTO", argument=True, permission=_RENAME, syntax="RNTO <new name>", attempts="file.renamed")
def rnto(session: LoggedIn, argument: str) -> Reply:
    """The new name. It follows the partner's overwrite policy like an upload."""
    source = session.dialogue.said.rename_from
    if source is None:
        return replies.BAD_SEQUENCE.but("Send RNFR first.")
    target = session.fs.resolve(argument)
    principal = session.principal
    replace = principal.overwrite == OverwritePolicy.REPLACE and session.may(Permission.OVERWRITE)
    with session.trail.audited("file.renamed", f"{source} -> {target}") as act:
        session.fs.rename(source, target, replace=replace)
        act.reply = replies.ACTION_OK.but("Renamed.")
    if source in session.own_files:
        session.own_files.discard(source)
        session.own_files.add(target)
    return act.reply


@verb("SIZE", argument=True, permission=_SEE, syntax="SIZE <file>")
def size(session: LoggedIn, argument: str) -> Reply:
    """The bytes that RETR would send, which depends on the type (RFC 3659 §4): where line ends are
    converted the file would have to be read for it."""
    if texts.is_text(session):
        return replies.NO_SIZE_IN_ASCII
    return Reply(213, str(suspended.stat_file(session, session.fs.resolve_file(argument)).size))


#: To ``MDTM 20260102030405 name``, by which some clients would set a time. By RFC 3659 §3.1 all of
#: it is a name.
_SETS_NO_TIME = replies.NO_SUCH_FILE.but(
    "No file of that whole name; MDTM tells when a file was stored and sets no time."
)


@verb("MDTM", argument=True, permission=_SEE, syntax="MDTM <file>")
def mdtm(session: LoggedIn, argument: str) -> Reply:
    """When it was stored, UTC."""
    try:
        modified = suspended.stat_file(session, session.fs.resolve_file(argument)).modified
    except NotFound:
        if re.match(r"[0-9]{14}(?:\.[0-9]+)? .", argument):
            raise Refused(_SETS_NO_TIME) from None
        raise
    if modified is None:
        return replies.NO_SUCH_FILE.but("The time is not known.")
    return Reply(213, timestamp(modified))


@verb("HASH", argument=True, permission=(Permission.DOWNLOAD,), syntax="HASH <file>")
def hash_(session: LoggedIn, argument: str) -> Reply:
    """draft-bryan-ftpext-hash-02 §3: SHA-256 of the whole file, as it was received."""
    path, size, digest = _digest(session, argument)
    return Reply(213, f"SHA-256 0-{size} {digest} {path}")


@verb("XSHA256", argument=True, permission=(Permission.DOWNLOAD,), syntax="XSHA256 <file>")
def xsha256(session: LoggedIn, argument: str) -> Reply:
    """What older automation asks."""
    return Reply(250, _digest(session, argument)[2])


def _digest(session: LoggedIn, argument: str) -> tuple[str, int, str]:
    """(path, size, digest): the digest that the ledger keeps, never one computed now."""
    path = session.fs.resolve_file(argument)
    entry = session.fs.stat_file(path)
    digest = session.accounts(digest_of_object, session.principal.storage, entry)
    if not digest:
        raise Refused(replies.BAD_PARAMETER.but("No digest is known of this file."))
    return path, entry.size, digest
