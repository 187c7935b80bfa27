"""What a client's commands have said that its later ones mean."""

from __future__ import annotations

from dataclasses import dataclass, field

from securedrop_ftp.ftps.facts import FACTS
from securedrop_ftp.ftps.registry import Verb
from securedrop_ftp.intake.meaning import Meant


@dataclass(slots=True)
class Said:
    """What commands say of the one that follows them.

    Attributes:
        restart_at: where the transfer begins, bytes (REST).
        announced: bytes that will come (ALLO).
        rename_from: what RNFR named, as it was found.
    """

    restart_at: int = 0
    announced: int | None = None
    rename_from: Meant | None = None


@dataclass(slots=True)
class Dialogue:
    """The parameters of a session that its commands set."""

    #: For the command that runs.
    said: Said = field(default_factory=Said)
    #: For the command to come.
    said_next: Said = field(default_factory=Said)
    #: The name that USER sent and that PASS has not used up.
    username: str = ""
    #: TYPE A or TYPE I; A until the client says otherwise (RFC 959 §5.1).
    type_a: bool = True
    #: The facts that MLST and MLSD tell (RFC 3659 §7.9).
    facts: tuple[str, ...] = FACTS
    #: Verbs in a row that are none.
    bad_commands: int = 0

    def hand_on(self, verb_name: str, found: Verb | None) -> None:
        """What REST, ALLO and RNFR said is for the command that they precede, whatever becomes of
        it.

        REST is the last command before its transfer (RFC 3659 §5.3), ALLO stands before STOR or
        APPE and RNFR before RNTO (RFC 959 §4.1.3). Between REST or ALLO and the transfer clients
        send the transfer's parameters, and NOOP affects nothing that was sent before it (§4.1.3).
        """
        if found is None or not found.prepares:
            self.said, self.said_next = self.said_next, Said()
        elif verb_name != "NOOP":
            self.said_next.rename_from = None
