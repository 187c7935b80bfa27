"""When a transfer is stalled: its peer moves nothing, or less than was asked of it.

What moves is not stalled, however slowly (rows 17 and 46; docs/adr/0009-stalls.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

#: What a transfer must move once its session has outlived its age, bytes a second.
AGED_RATE: Final = 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """What is borne.

    Attributes:
        window: seconds without a byte; and over which ``rate`` is averaged.
        rate: bytes a second, 0: whatever moves is enough.
    """

    window: float
    rate: int = 0


class StallClock:
    """It runs on what the peer owes; time in which we were the slow ones does not count."""

    def __init__(self) -> None:
        self._since = self._quiet_since = time.monotonic()
        self._start = self._last = 0  # progress when the window began, and lately

    def excuse(self, now: float, progress: int) -> None:
        """We are the slow ones."""
        self._since = self._quiet_since = now
        self._start = self._last = progress

    def stalled(self, now: float, progress: int, patience: Patience) -> str:
        """Why the transfer is to be given up; empty: it is not."""
        if progress != self._last:
            self._last, self._quiet_since = progress, now
        if now - self._quiet_since >= patience.window:
            return f"nothing moved for {patience.window:g} seconds"
        spent = now - self._since
        if spent < patience.window:
            return ""
        slow = progress - self._start < patience.rate * spent
        self._since, self._start = now, progress
        return f"less than {patience.rate} bytes a second moved" if slow else ""
