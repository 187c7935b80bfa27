"""Memory for what is on its way out of storage, or is being converted."""

from __future__ import annotations

import threading
from collections import Counter


class ReadBudget:
    """Bytes that all downloads of a process, and uploads that are converted, may hold at once, a
    partner's no more than what is still free (the rule of :mod:`securedrop_ftp.intake.buffers`):
    slow readers of one partner cannot take the others' share. Thread-safe; nothing here blocks.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, partner: str, size: int, *, force: bool = False) -> bool:
        """Whether there is room; it is taken then. ``force``: take it whether or not."""
        with self._lock:
            if not (force or self._is_fair(partner, size)):
                return False
            self._left -= size
            self._held[partner] += size
            return True

    def _is_fair(self, partner: str, size: int) -> bool:
        return self._held[partner] + size <= self._left - size

    def give(self, partner: str, size: int) -> None:
        """Return bytes to the budget."""
        with self._lock:
            self._left += size
            self._held[partner] -= size
            if not self._held[partner]:
                del self._held[partner]
