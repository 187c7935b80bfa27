"""Command lines that wait for their turn.

Equal lines in a row are kept once and counted: a client that sends NOOP to keep its control channel
alive may do so through a transfer of any length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from securedrop_ftp.ftps.wire import Command, Violation

Line = Command | Violation

#: What one waiting line takes beside its argument, bytes (226 with a short one, by tracemalloc).
LINE_COST: Final = 256


class WaitingLines:
    """First in, first out; ``len`` counts lines, ``cost`` is the memory they take, bytes."""

    def __init__(self) -> None:
        self._runs: deque[tuple[Line, int]] = deque()
        self._count = 0
        self.cost = 0

    def __len__(self) -> int:
        return self._count

    def append(self, line: Line) -> None:
        """Behind everything that waits."""
        times = 0
        if self._runs and self._runs[-1][0] == line:
            line, times = self._runs.pop()
        else:
            self.cost += _cost(line)
        self._runs.append((line, times + 1))
        self._count += 1

    def appendleft(self, line: Line) -> None:
        """Before everything that waits."""
        self._runs.appendleft((line, 1))
        self._count += 1
        self.cost += _cost(line)

    def popleft(self) -> Line:
        """The next line. Raises IndexError where none waits."""
        line, times = self._runs.popleft()
        if times > 1:
            self._runs.appendleft((line, times - 1))
        else:
            self.cost -= _cost(line)
        self._count -= 1
        return line

    def take(self, wanted: Callable[[Line], bool], until: Callable[[Line], bool]) -> Line | None:
        """Remove and return the first line that is ``wanted``, out of its turn; none from the
        first one on that ``until`` names."""
        for place, (line, times) in enumerate(self._runs):
            if wanted(line):
                if times > 1:
                    self._runs[place] = (line, times - 1)
                else:
                    del self._runs[place]
                    self.cost -= _cost(line)
                self._count -= 1
                return line
            if until(line):
                return None
        return None

    def clear(self) -> None:
        """Forget all lines that wait."""
        self._runs.clear()
        self._count = self.cost = 0


def _cost(line: Line) -> int:
    return LINE_COST + (len(line.argument) if isinstance(line, Command) else 0)
