"""CWD, CDUP, PWD, MKD, RMD and their X forms (RFC 959 §4.1.1, §4.1.3, RFC 1123 §4.1.3.1)."""

from __future__ import annotations

from securedrop_ftp import replies
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import OutcomeUnknown
from securedrop_ftp.ftps.answers import Refused
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.intake.naming import NameRequest
from securedrop_ftp.models import Permission
from securedrop_ftp.replies import Reply


def quoted(path: str) -> str:
    """A path in a 257 reply: quotes are doubled (RFC 959 appendix II)."""
    return '"' + path.replace('"', '""') + '"'


@verb("CWD", "XCWD", syntax="CWD <directory>")
def cwd(session: LoggedIn, argument: str) -> Reply:
    """Change the working directory."""
    return _change(session, argument or "/")


def _change(session: LoggedIn, argument: str) -> Reply:
    session.fs.change_directory(session.fs.resolve(argument))
    return replies.ACTION_OK.but(f"{quoted(session.fs.cwd)} is the working directory.")


@verb("CDUP", "XCUP", argument=False, syntax="CDUP")
def cdup(session: LoggedIn, _argument: str) -> Reply:
    """One directory up; at the top it stays there."""
    return _change(session, "..")


@verb("PWD", "XPWD", argument=False, syntax="PWD")
def pwd(session: LoggedIn, _argument: str) -> Reply:
    """Tell the working directory."""
    return Reply(257, f"{quoted(session.fs.cwd)} is the working directory.")


@verb(
    "MKD",
    "XMKD",
    argument=True,
    permission=(Permission.MKDIR,),
    syntax="MKD <directory>",
    attempts="directory.created",
)
def mkd(session: LoggedIn, argument: str) -> Reply:
    """Make the directory that the argument names."""
    path = session.fs.resolve(argument)
    with session.trail.audited("directory.created", path) as act:
        make = session.runtime.intake.directories.make
        act.path = session.storage(make, session.principal, path)
        act.reply = Reply(257, f"{quoted(act.path)} created.")
    return act.reply


@verb(
    "RMD",
    "XRMD",
    argument=True,
    permission=(Permission.RMDIR,),
    syntax="RMD <directory>",
    attempts="directory.removed",
)
def rmd(session: LoggedIn, argument: str) -> Reply:
    """Remove an empty directory."""
    path = session.fs.resolve(argument)
    if path == "/":
        return replies.NO_PERMISSION.but("The top directory stays.")
    reply = replies.ACTION_OK.but("Directory removed.")
    request = NameRequest(
        principal=session.principal,
        path=path,
        key=session.fs.key(path),
        event=session.trail.completed(Event("directory.removed", path=path)),
        pending=str(replies.NAME_PENDING),
    )
    try:
        with session.trail.failures_audited("directory.removed", path):
            session.storage(session.runtime.intake.naming.remove_directory, request, str(reply))
    except OutcomeUnknown as exc:
        raise Refused(replies.NAME_PENDING) from exc
    return reply
