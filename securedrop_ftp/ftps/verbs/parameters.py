"""TYPE, MODE, STRU (RFC 959 §4.1.2), OPTS, FEAT (RFC 2389), HOST (RFC 7151), CLNT."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from securedrop_ftp import replies
from securedrop_ftp.ftps.course import MAX_CLIENT
from securedrop_ftp.ftps.facts import FACTS
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.models import AsciiPolicy
from securedrop_ftp.replies import Reply

#: The one digest that the ledger keeps.
HASH_ALGORITHM: Final = "SHA-256"


_TYPE_A: Final = {
    AsciiPolicy.CONVERT: "Type is ASCII: CR LF is stored as LF. Use TYPE I for what is no text.",
    AsciiPolicy.REFUSE: "Type is ASCII, for listings; files go under TYPE I.",
    AsciiPolicy.AS_SENT: "Type is ASCII; bytes are stored as sent.",
}


@verb("TYPE", argument=True, prepares=True, words=True, syntax="TYPE A|I|L 8")
def type_(session: LoggedIn, argument: str) -> Reply:
    """I and A; what A means for files is the partner's choice."""
    wanted = " ".join(argument.upper().split())
    if wanted in ("I", "L 8", "L8"):
        session.dialogue.type_a = False
        return replies.OK.but("Type is binary.")
    if wanted in ("A", "A N"):
        session.dialogue.type_a = True
        return replies.OK.but(_TYPE_A[session.principal.ascii])
    return replies.BAD_PARAMETER


@verb("MODE", argument=True, prepares=True, words=True, syntax="MODE S")
def mode(_session: LoggedIn, argument: str) -> Reply:
    """The stream mode is the only one."""
    return replies.OK if argument.upper() == "S" else replies.BAD_PARAMETER


@verb("STRU", argument=True, prepares=True, words=True, syntax="STRU F")
def stru(_session: LoggedIn, argument: str) -> Reply:
    """The file structure is the only one."""
    return replies.OK if argument.upper() == "F" else replies.BAD_PARAMETER


@verb(
    "OPTS",
    clear=True,
    login=False,
    argument=True,
    words=True,
    syntax="OPTS UTF8 ON | OPTS MLST <facts> | OPTS HASH [SHA-256]",
)
def opts(session: Session, argument: str) -> Reply:
    """RFC 2389 §4: UTF-8 is always on; MLST chooses facts (RFC 3659 §7.9), HASH an algorithm."""
    name, _, value = argument.partition(" ")
    option = _OPTIONS.get(name.upper())
    if option is None:
        return replies.BAD_ARGUMENT.but("No such option.")
    return option(session, value.strip(" "))


def _utf8(_session: Session, value: str) -> Reply:
    if value.upper() in ("", "ON", "NLST"):
        return replies.OK.but("UTF-8 is on.")
    return replies.BAD_ARGUMENT.but("UTF-8 is always on.")


#: ``Type;Size;`` (RFC 3659 §7.9): no blank stands in a name or before its ``;``. Some clients put
#: one behind the ``;``, or leave the last ``;`` away.
_FACT_LIST: Final = re.compile(r"(?:[!-:<-~]+; *)*(?:[!-:<-~]+)?")


def _mlst(session: Session, value: str) -> Reply:
    if not _FACT_LIST.fullmatch(value):
        return replies.BAD_ARGUMENT.but("Invalid MLST options.")  # and the facts stay as they were
    wanted = {fact.strip(" ").lower() for fact in value.split(";")}
    session.dialogue.facts = tuple(fact for fact in FACTS if fact in wanted)
    return replies.OK.but("MLST OPTS " + "".join(f"{fact};" for fact in session.dialogue.facts))


def _hash(_session: Session, value: str) -> Reply:
    """draft-bryan-ftpext-hash-02: tells the algorithm that HASH uses, or chooses it."""
    if value.upper() in ("", HASH_ALGORITHM):
        return replies.OK.but(HASH_ALGORITHM)
    return replies.BAD_ARGUMENT.but(f"Unknown algorithm; {HASH_ALGORITHM} stays chosen.")


#: ``UTF-8`` is not in any RFC, but some clients write it so.
_OPTIONS: Final[dict[str, Callable[[Session, str], Reply]]] = {
    "UTF8": _utf8,
    "UTF-8": _utf8,
    "MLST": _mlst,
    "HASH": _hash,
}


@verb("FEAT", clear=True, login=False, argument=False, syntax="FEAT")
def feat(session: Session, _argument: str) -> None:
    """The extensions that we know (RFC 2389 §3)."""
    facts = "".join(f"{fact}{'*' if fact in session.dialogue.facts else ''};" for fact in FACTS)
    session.reply_lines(
        211,
        "Extensions:",
        [
            "AUTH TLS",
            "CLNT",
            "PBSZ",
            "PROT",
            "EPSV",
            f"HASH {HASH_ALGORITHM}*",
            "HOST",
            "MDTM",
            f"MLST {facts}",
            "REST STREAM",
            "SIZE",
            "TVFS",
            "UTF8",
        ],
        "End",
    )


@verb("CLNT", login=False, argument=True, prepares=True, syntax="CLNT <name of the client>")
def clnt(session: Session, argument: str) -> Reply:
    """In no RFC, but FileZilla, lftp, WinSCP and others say what they are where FEAT has it. It is
    kept for the session's last row."""
    session.course.client = argument[:MAX_CLIENT]
    return replies.OK.but("Noted.")


_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


@verb("HOST", clear=True, login=False, argument=True, words=True, syntax="HOST <name>")
def host(session: Session, argument: str) -> Reply:
    """One host is served, by whatever name the client reached it: but the one that it began TLS
    with (RFC 7151 §3.2.2). An address is not compared: behind NAT or a balancer the service does
    not know the one that the client used."""
    if session.logged_in is not None:
        return replies.BAD_SEQUENCE.but("HOST comes before the login.")
    literal = _is_address(argument)
    if not literal and not _HOST_NAME.fullmatch(argument):
        return replies.BAD_ARGUMENT.but("HOST needs a host name, without a port.")
    sent = session.tls.get_servername() if session.tls is not None else None
    name = argument.rstrip(".").lower().encode()
    if sent and not literal and sent.rstrip(b".").lower() != name:
        return replies.BAD_PARAMETER.but("TLS was begun for another host name.")
    return replies.GREETING.but("Welcome.")


def _is_address(text: str) -> bool:
    """``192.0.2.1`` or ``[2001:db8::1]`` (RFC 7151 §3.1)."""
    try:
        if text.startswith("[") and text.endswith("]"):
            ipaddress.IPv6Address(text[1:-1])
        else:
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
