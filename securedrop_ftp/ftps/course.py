"""How a session went, for its last row: what client it was, what went through, what did not and
why (``session.closed``; docs/reference/audit.md)."""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL

from securedrop_ftp import causes
from securedrop_ftp.causes import Cause, Troubles
from securedrop_ftp.ftps.registry import VERBS, attempted
from securedrop_ftp.tls.fingerprint import Fingerprint

#: Characters kept of what a client calls itself.
MAX_CLIENT: Final = 100
#: How sessions end that may have done all that they wanted: told, and no failure by itself. A
#: transfer that is cut by it has failed.
_ENDS: Final = (
    causes.IDLE,
    causes.TOO_OLD,
    causes.SERVICE_ENDED,
    causes.ENDED_BY_OPERATOR,
    causes.CONTROL_LOST,
)
#: Causes told in one row; the rest is a count.
MAX_TOLD: Final = 5


class Course:
    """Small, whatever a client does: some texts of bounded length, and a count for each cause."""

    __slots__ = (
        "_gave_up_on",
        "_only_looked",
        "cipher",
        "client",
        "failed",
        "right",
        "tls",
        "troubles",
    )

    def __init__(self) -> None:
        self.client = ""  # what CLNT said
        self.tls = self.cipher = ""  # of the control connection
        self.right = self.failed = 0  # transfers
        self.troubles = Troubles()
        # The last answer about a name, where that was no: the client may have given up for it.
        self._gave_up_on: Cause | None = None
        self._only_looked = False

    def note_tls(self, tls: SSL.Connection) -> None:
        """The handshake is done."""
        self.tls, self.cipher = tls.get_protocol_version_name(), tls.get_cipher_name() or ""

    def ended(self, *, well: bool) -> None:
        """A transfer, or the attempt of one, is over."""
        if well:
            self.right += 1
        else:
            self.failed += 1

    def answered(self, doing: str, cause: Cause | None) -> None:
        """A verb about a name was answered, with ``cause`` if that was a refusal."""
        self._gave_up_on = cause
        self._only_looked = not attempted(doing) and doing not in ("CWD", "XCWD")

    def over(self) -> None:
        """The session ends. Where nothing was transferred, the last refusal is why: curl gives up
        on a CWD, or a SIZE, and never comes to the transfer."""
        if self._gave_up_on is not None and not (self.right or self.failed):
            self.troubles.add(self._gave_up_on)
        else:
            self._gave_up_on = None

    def outcome(self, *, logged_in: bool) -> str:
        """Of the session as a whole. A client that tries the wrong thing first and gets through all
        the same (PROT C, then PROT P) did well; refused by permissions alone is ``denied``."""
        asked = self._gave_up_on if self._only_looked else None  # and was told: no failure
        met = [c for c, _ in self.troubles.most_common() if c not in _ENDS and c is not asked]
        if logged_in and not self.failed:
            met = [] if self.right else [c for c in met if not _before_the_login(c)]
        if not met and not self.failed:
            return "success"
        return "denied" if met and all(c is causes.NOT_PERMITTED for c in met) else "failure"

    def details(self, fingerprint: Fingerprint | None) -> dict[str, Any]:
        """What the row keeps as JSON: client, TLS, transfers, troubles with their remedies."""
        told: dict[str, Any] = {}
        if self.client:
            told["client"] = self.client
        if fingerprint is not None:
            told |= {
                "library": fingerprint.library or "unknown",
                "ja4": fingerprint.ja4,
            }
        if self.tls:
            told |= {"tls": self.tls, "cipher": self.cipher}
        if self.right or self.failed:
            told |= {"transfers": self.right, "failed": self.failed}
        if self.troubles:
            told["troubles"] = [
                {"cause": c.name, "count": n, "happened": c.happened, "remedy": c.remedy}
                for c, n in self.troubles.most_common(MAX_TOLD)
            ]
        return told

    def said(self, reason: str) -> str:
        """``reason`` with what did not go through, the most frequent cause first."""
        told = [reason] if reason else []
        if self.failed:
            told.append(f"{self.failed} of {self.right + self.failed} transfers failed")
        told += [f"{cause.name} {count}" for cause, count in self.troubles.most_common(3)]
        return "; ".join(told)


def _before_the_login(cause: Cause) -> bool:
    """Met on the way in: who has logged in has got over it."""
    return cause.area in ("tls", "login") or cause is causes.NO_AUTH_TLS


def counts(doing: str, cause: Cause) -> bool:
    """Whether the cause of a reply to the verb ``doing`` is a trouble, or an answer as good as
    another: clients ask for the SIZE of a file that is not there yet, and make directories that
    are."""
    found = VERBS.get(doing)
    if cause.area != "transfer" or (found is not None and found.data):
        return True
    refused = cause is causes.NOT_PERMITTED and bool(attempted(doing))
    return refused or cause is causes.TOO_LARGE  # ALLO says so beforehand
