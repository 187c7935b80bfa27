"""What we know and do not do: active mode, and verbs that would change what was promised.

They are answered with the RFC's code and do not count as bad commands.
"""

from __future__ import annotations

from securedrop_ftp import causes, replies
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.replies import Reply


@verb("PORT", "EPRT", "LPRT", "LPSV", prepares=True)
def active_mode(_session: LoggedIn, _argument: str) -> Reply:
    """The server never opens a connection (RFC 2577: bounce attacks)."""
    off = replies.NOT_IMPLEMENTED.but("Active mode is off; use EPSV or PASV.")
    return off.because(causes.ACTIVE_MODE)


@verb("CCC", "REIN", "SITE", "MFMT", "MFF", "SMNT", "ADAT", "MIC", "CONF", "ENC")
def refused(_session: LoggedIn, _argument: str) -> Reply:
    """What would change what was promised is off, on purpose."""
    return replies.NOT_IMPLEMENTED
