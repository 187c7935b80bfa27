"""How many handshakes on data channels one partner may have for nothing, from one address.

A handshake that resumes the control channel's session is cheap and counts nothing. One that does
not may be computed in full, on the worker's loop, before it is refused: 17 100 in 15 seconds were
seen to hold up everybody's commands. Beyond the bound such connections are reset before anything is
computed for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Full handshakes that a partner may have at once from one address, and how soon one comes back.
BURST: Final = 20
SECONDS_EACH: Final = 1.0
#: Partners and addresses that are remembered; none of them is owed anything for long.
_REMEMBERED: Final = 4096


class HandshakeBudget:
    """Of one worker; for the loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[tuple[int, str], float] = {}  # when all that was spent has come back

    def allows(self, partner_id: int, address: str) -> bool:
        """Whether one more handshake may be computed, to be refused in words."""
        owed = self._due.get((partner_id, address), 0.0) - self._clock()
        return owed <= (BURST - 1) * SECONDS_EACH

    def spend(self, partner_id: int, address: str) -> None:
        """Count one handshake in full of a partner from an address."""
        now = self._clock()
        if len(self._due) >= _REMEMBERED:
            self._due = {who: due for who, due in self._due.items() if due > now}
        who = partner_id, address
        self._due[who] = max(self._due.get(who, 0.0), now) + SECONDS_EACH
