"""STOR, STOU, APPE, RETR, REST, ALLO, ABOR (RFC 959 §4.1.3, RFC 3659 §5)."""

from __future__ import annotations

import re
import uuid

from securedrop_ftp import replies
from securedrop_ftp.ftps import texts
from securedrop_ftp.ftps.downloads import download
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.ftps.uploads import upload
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply

_UPLOAD = (Permission.UPLOAD,)


@verb(
    "STOR",
    argument=True,
    permission=_UPLOAD,
    data=True,
    syntax="STOR <file>",
    attempts="upload.rejected",
)
def stor(session: LoggedIn, argument: str) -> Reply:
    """Store a file; after REST, go on with a suspended upload."""
    return _store(session, argument)


def _store(session: LoggedIn, argument: str) -> Reply:
    offset = session.dialogue.said.restart_at
    if offset and not session.may(Permission.RESUME):
        session.trail.deny("REST and STOR", argument)
    path = session.fs.resolve_file(argument)
    return upload(session, path, offset=offset or None, append=False)


@verb("STOU", permission=_UPLOAD, data=True, words=True, syntax="STOU", attempts="upload.rejected")
def stou(session: LoggedIn, _argument: str) -> Reply:
    """Store under a name that nobody has, and tell it before the data (RFC 1123 §4.1.2.9). What
    REST asked for is refused: the end of a file would be stored as a whole one (RFC 3659 §5.3)."""
    if session.dialogue.said.restart_at:
        return replies.BAD_OFFSET.but("STOU stores whole files; send REST 0.")
    name = f"{uuid.uuid4().hex}.dat"
    opening = replies.OPENING_DATA.but(f"FILE: {name}")
    path = session.fs.resolve_file(name)
    reply = upload(session, path, offset=None, append=False, opening=opening)
    if reply.is_error:
        return reply
    # The words in brackets are wu-ftpd's; Net::FTP's put_unique looks for them.
    return reply.but(f"FILE: {name}. {reply.text} (unique file name: {name})")


@verb(
    "APPE",
    argument=True,
    permission=_UPLOAD,
    data=True,
    syntax="APPE <file>",
    attempts="upload.rejected",
)
def appe(session: LoggedIn, argument: str) -> Reply:
    """Go on with a suspended upload at its durable length; a new file where there is none. After
    REST it is STOR (RFC 3659 §5.3)."""
    if session.dialogue.said.restart_at:
        return _store(session, argument)
    path = session.fs.resolve_file(argument)
    told = session.told_lengths.pop(path, None)
    return upload(session, path, offset=told, append=True)


@verb(
    "RETR",
    argument=True,
    permission=(Permission.DOWNLOAD,),
    data=True,
    syntax="RETR <file>",
    attempts="download.aborted",
)
def retr(session: LoggedIn, argument: str) -> Reply:
    """Send a file, from the offset of REST."""
    return download(session, session.fs.resolve_file(argument), session.dialogue.said.restart_at)


@verb("REST", argument=True, data=True, prepares=True, words=True, syntax="REST <offset>")
def rest(session: LoggedIn, argument: str) -> Reply:
    """Where the next transfer begins (RFC 3659 §5.3): ASCII digits, nothing else (row 27)."""
    if not re.fullmatch(r"[0-9]{1,19}", argument):
        return replies.BAD_ARGUMENT.but("REST needs a number of bytes.")
    if int(argument) and texts.is_text(session):
        return replies.NO_RESTART_IN_ASCII
    session.dialogue.said_next.restart_at = int(argument)
    return replies.RESTART_AT.but(f"Restarting at {int(argument)}.")


@verb("ALLO", argument=True, prepares=True, words=True, syntax="ALLO <bytes>")
def allo(session: LoggedIn, argument: str) -> Reply:
    """The size that will come; an upload that cannot be taken is refused early."""
    match = re.fullmatch(r"([0-9]{1,19})(?: R [0-9]{1,19})?", argument)
    if match is None:
        return replies.BAD_ARGUMENT.but("ALLO needs a number of bytes.")
    announced = int(match[1])
    limit = session.principal.max_file_size
    # Half of what comes under TYPE A may be CR, which is not stored.
    least = -(-announced // 2) if texts.is_text(session) else announced
    if limit is not None and least > limit:
        return replies.TOO_LARGE.but(f"The limit is {limit} bytes.")
    session.dialogue.said_next.announced = announced
    return replies.OK


@verb("ABOR", argument=False, syntax="ABOR")
def abor(session: LoggedIn, _argument: str) -> Reply:
    """Its part in the middle of a transfer is the interpreter's (``answer_out_of_turn``); this is
    the reply that follows the transfer's own."""
    if session.control.last_reply.startswith("4"):
        return replies.ABOR_DONE
    session.data.close_listener()
    return replies.ABORTED
