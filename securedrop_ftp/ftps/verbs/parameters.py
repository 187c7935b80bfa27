"""TYPE, MODE, STRU (RFC 959 §4.1.2), OPTS, FEAT (RFC 2389), HOST (RFC 7151)."""

from __future__ import annotations

from securedrop_ftp import replies
from securedrop_ftp.ftps.facts import FACTS
from securedrop_ftp.ftps.policy import verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.replies import Reply


@verb("TYPE", argument=True, prepares=True, syntax="TYPE A|I|L 8")
def type_(session: Session, argument: str) -> Reply:
    """A and I are accepted; either way bytes are stored as they were sent."""
    wanted = argument.upper()
    if wanted in ("I", "L 8", "L8"):
        session.binary = True
        return replies.OK.but("Type is binary.")
    if wanted in ("A", "A N"):
        session.binary = False
        return replies.OK.but("Type is ASCII; bytes are stored as sent.")
    return replies.BAD_PARAMETER


@verb("MODE", argument=True, prepares=True, syntax="MODE S")
def mode(_session: Session, argument: str) -> Reply:
    """Stream only."""
    return replies.OK if argument.upper() == "S" else replies.BAD_PARAMETER


@verb("STRU", argument=True, prepares=True, syntax="STRU F")
def stru(_session: Session, argument: str) -> Reply:
    """File only."""
    return replies.OK if argument.upper() == "F" else replies.BAD_PARAMETER


@verb("OPTS", clear=True, login=False, argument=True, syntax="OPTS UTF8 ON | OPTS MLST <facts>")
def opts(session: Session, argument: str) -> Reply:
    """UTF-8 is always on; MLST chooses facts (RFC 3659 §7.9)."""
    name, _, value = argument.partition(" ")
    if name.upper() == "UTF8":
        if value.upper() in ("", "ON"):
            return replies.OK.but("UTF-8 is on.")
        return replies.BAD_PARAMETER.but("UTF-8 is always on.")
    if name.upper() == "MLST":
        wanted = {fact.lower() for fact in value.split(";") if fact}
        session.facts = tuple(fact for fact in FACTS if fact in wanted)
        return replies.OK.but("MLST OPTS " + "".join(f"{fact};" for fact in session.facts))
    return replies.BAD_ARGUMENT.but("No such option.")


@verb("FEAT", clear=True, login=False, argument=False, syntax="FEAT")
def feat(session: Session, _argument: str) -> None:
    """RFC 2389 §3."""
    facts = "".join(f"{fact}{'*' if fact in session.facts else ''};" for fact in FACTS)
    session.reply_lines(
        211,
        "Extensions:",
        [
            "AUTH TLS",
            "PBSZ",
            "PROT",
            "EPSV",
            "HASH SHA-256*",
            "MDTM",
            f"MLST {facts}",
            "REST STREAM",
            "SIZE",
            "TVFS",
            "UTF8",
        ],
        "End",
    )


@verb("HOST", clear=True, login=False, argument=True, syntax="HOST <name>")
def host(_session: Session, _argument: str) -> Reply:
    """One host is served, by whatever name the client reached it."""
    return replies.GREETING.but("Welcome.")
