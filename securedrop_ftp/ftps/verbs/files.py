"""DELE, RNFR, RNTO (RFC 959 §4.1.3), SIZE, MDTM (RFC 3659 §3, §4), HASH and XSHA256."""

from __future__ import annotations

import re
from functools import partial

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Exists, NotFound, OutcomeUnknown
from securedrop_ftp.ftps import suspended, texts
from securedrop_ftp.ftps.answers import Refused
from securedrop_ftp.ftps.facts import timestamp
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.intake.meaning import Meant, file_of
from securedrop_ftp.intake.naming import NameRequest, Renamed
from securedrop_ftp.intake.stored_digest import digest_of_object
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply


@verb("DELE", argument=True, syntax="DELE <file>", attempts="file.deleted")
def dele(session: LoggedIn, argument: str) -> Reply:
    """Delete a file; in every mode the owner may discard its own suspended upload."""
    path = session.fs.resolve_file(argument)
    discarded = _discard(session, path)
    if not session.may(Permission.DELETE):
        if not discarded:
            session.trail.deny("DELE", path)
        return replies.ACTION_OK.but("Suspended upload discarded.")
    reply = replies.ACTION_OK.but("File deleted.")
    try:
        with session.trail.failures_audited("file.deleted", path):
            found = _finished(session, path)
            request = _request(session, "file.deleted", found)
            session.storage(session.runtime.intake.naming.delete, request, str(reply))
    except NotFound:
        if not discarded:
            raise
        return replies.ACTION_OK.but("Suspended upload discarded.")
    except OutcomeUnknown as exc:
        raise Refused(replies.NAME_PENDING) from exc
    return reply


def _finished(session: LoggedIn, path: str, *, whose: bool = False) -> Meant:
    finished = partial(session.runtime.intake.meaning.finished, whose=whose)
    return session.storage(finished, session.principal, path)


def _request(session: LoggedIn, event: str, meant: Meant, target: str = "") -> NameRequest:
    return NameRequest(
        principal=session.principal,
        path=meant.path,
        key=meant.key,
        event=session.trail.completed(Event(event, path=meant.path)),
        pending=str(replies.NAME_PENDING),
        target_path=target,
        target_key=session.fs.key(target) if target else "",
    )


def _discard(session: LoggedIn, path: str) -> bool:
    if not (discarded := suspended.discard(session, path)):
        return False
    session.trail.record_durably(
        Event("upload.aborted", path=discarded, reason="discarded by its owner", outcome="success")
    )
    return True


#: Finished files, or one's own suspended uploads.
_SEE = (Permission.LIST, Permission.RESUME)
_RENAME = (Permission.RENAME, Permission.RENAME_OWN)


@verb("RNFR", argument=True, permission=_RENAME, syntax="RNFR <old name>", attempts="file.renamed")
def rnfr(session: LoggedIn, argument: str) -> Reply:
    """The old name. What an account stored it may rename for a day, in any session."""
    path = session.fs.resolve(argument)
    if path == "/":
        return replies.NO_PERMISSION.but("The top directory stays.")
    meant = _finished(session, path, whose=not session.may(Permission.RENAME))
    if not session.may(Permission.RENAME) and not meant.may_rename_own:
        session.trail.deny("RNFR", path)
    session.dialogue.said_next.rename_from = meant
    return replies.NEED_RNTO


@verb("RNTO", argument=True, permission=_RENAME, syntax="RNTO <new name>", attempts="file.renamed")
def rnto(session: LoggedIn, argument: str) -> Reply:
    """The new name. It follows the partner's overwrite policy as an upload does."""
    source = session.dialogue.said.rename_from
    if source is None:
        return replies.BAD_SEQUENCE.but("Send RNFR first.")
    target = session.fs.resolve(argument)
    request = _request(session, "file.renamed", source, target)
    try:
        with session.trail.failures_audited("file.renamed", f"{source.path} -> {target}"):
            renamed = _rename(session, request)
    except OutcomeUnknown as exc:
        raise Refused(replies.NAME_PENDING) from exc
    return _renamed(renamed)


def _rename(session: LoggedIn, request: NameRequest) -> Renamed:
    try:
        return session.storage(session.runtime.intake.naming.rename, request, _told)
    except Exists as exc:
        raise Refused(replies.TARGET_EXISTS) from exc


def _renamed(renamed: Renamed) -> Reply:
    if not renamed.version_of:
        return replies.ACTION_OK.but("Renamed.")
    return replies.ACTION_OK.but(f"Renamed; stored as {renamed.path.rpartition('/')[2]}.")


def _told(renamed: Renamed) -> str:
    return str(_renamed(renamed))


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


#: What one may read, and for some minutes what one has just sent.
_DIGEST = (Permission.DOWNLOAD, Permission.UPLOAD)


@verb("HASH", argument=True, permission=_DIGEST, syntax="HASH <file>")
def hash_(session: LoggedIn, argument: str) -> Reply:
    """draft-bryan-ftpext-hash-02 §3: SHA-256 of the whole file, as it was received."""
    path, size, digest = _digest(session, argument)
    return Reply(213, f"SHA-256 0-{size} {digest} {path}")


@verb("XSHA256", argument=True, permission=_DIGEST, syntax="XSHA256 <file>")
def xsha256(session: LoggedIn, argument: str) -> Reply:
    """What older automation asks."""
    return Reply(250, _digest(session, argument)[2])


def _digest(session: LoggedIn, argument: str) -> tuple[str, int, str]:
    """(path, size, digest): the digest that the ledger keeps, never one computed now."""
    path = session.fs.resolve_file(argument)
    meant = _finished(session, path, whose=not session.may(Permission.DOWNLOAD))
    entry = file_of(meant)
    if not session.may(Permission.DOWNLOAD) and not meant.is_shown:
        session.trail.deny("HASH", path)
    digest = session.accounts(digest_of_object, session.principal.storage, entry)
    if not digest:
        raise Refused(replies.BAD_PARAMETER.but("No digest is known of this file."))
    return meant.path, entry.size, digest
