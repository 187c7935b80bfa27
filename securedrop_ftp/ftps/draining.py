"""How the sessions of a worker come to an end when it is to serve no longer.

First no new connection is taken and transfers go on, up to a limit. Then transfers are *cut*: each
ends with its reply, and an upload is suspended where it may be. What has not ended a short time
later is closed. A drain is *gentle* where another generation serves already: a session that is in
use goes on, so that a login, or a command between PASV and its transfer, is not cut in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Seconds without a command after which a gentle drain ends a session.
REST: Final = 5.0
#: Seconds that transfers have for their end and their replies once they are cut.
CUT_GRACE: Final = 10.0


@dataclass(slots=True)
class Drain:
    """Of one worker. Moments are those of :func:`time.monotonic`.

    Attributes:
        limit: when transfers are cut.
    """

    limit: float
    gentle: bool

    def hasten(self, limit: float) -> None:
        """The service stops while this drain goes on."""
        self.limit, self.gentle = min(self.limit, limit), False

    def cuts(self, now: float) -> bool:
        """Whether transfers are to end now."""
        return now > self.limit

    def is_over(self, now: float) -> bool:
        """Whether the worker ends, whatever its sessions do."""
        return now > self.limit + CUT_GRACE

    def ends(self, now: float, *, logged_in: bool, rested: float) -> bool:
        """Whether a session without a running command is to end that has had none for ``rested``
        seconds. One that has not logged in has the time that logins have."""
        if self.gentle and not self.cuts(now):
            return logged_in and rested >= REST
        return True
