"""Uploads whose data channel ends with FIN alone, without TLS close_notify (invariant 3).

Anybody on the way can send a FIN, so it is no end (RFC 8446 §6.1). A partner may be let off by name
where something else that nobody on the way can forge says that the file is whole: ALLO on the
control channel, of exactly the bytes that came.

That holds only where there is one way to read ALLO's number: under TYPE I and from the first byte.
Clients announce the file's size, which is less than what they send under TYPE A, and nothing says
whether they count what was sent before a restart: an attacker who cuts at that number would have
his cut taken for the end.
"""

from __future__ import annotations

from typing import Final

from securedrop_ftp import causes, replies
from securedrop_ftp.exceptions import SecureDropError
from securedrop_ftp.ftps.answers import CutShort
from securedrop_ftp.ftps.data import JudgeFin
from securedrop_ftp.ftps.logged_in import LoggedIn

#: The cause comes first: clients show the head of a long reply.
_REPLY: Final = replies.TRANSFER_ABORTED.because(causes.NO_CLOSE_NOTIFY)
_NO_END: Final = "The data channel ended without TLS close_notify, as if it were cut"


def judge(session: LoggedIn, *, whole: bool) -> JudgeFin:
    """For the upload that begins. ``whole``: it begins at the first byte."""
    announced, binary = session.dialogue.said.announced, not session.dialogue.type_a

    def ended(received: int) -> SecureDropError | None:
        if not session.principal.accept_missing_close_notify:  # as the operator has it now
            return _refused(
                "close TLS before the socket, or ask the operator to accept its absence with ALLO",
                "FIN without close_notify",
            )
        if not binary or not whole:
            return _refused(
                "without it only a whole file under TYPE I is taken",
                "FIN without close_notify; not a whole file under TYPE I",
            )
        if announced is None:
            return _refused(
                "without it the size must be announced: send ALLO before STOR",
                "FIN without close_notify; no ALLO",
            )
        if announced != received:
            return _refused(
                f"ALLO announced {announced} bytes, {received} came",
                f"FIN without close_notify; ALLO {announced}, received {received}",
            )
        return None

    return ended


def _refused(why: str, reason: str) -> CutShort:
    text = f"{_NO_END}; nothing was stored: {why}."
    return CutShort(_REPLY.but(text), reason)
