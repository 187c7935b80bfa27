"""What a process does again and again while it serves, on one thread.

The thread only asks: what may block is handed to a pool or to the database writer, so that a
round that takes long holds up no other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from securedrop_ftp.db.threads import thread as new_thread
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: The thread looks so often which rounds are due, seconds.
TICK: Final = 1.0


@dataclass(slots=True)
class Round:
    """One thing that is done again and again.

    Attributes:
        every: seconds between two times; asked anew each time, so that a reload may change it.
        act: does not block.
    """

    name: str
    every: Callable[[], float]
    act: Callable[[], object]
    due: float = 0.0


class Rounds:
    """Does each :class:`Round` when it is due, the first time at once."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        self._rounds = rounds
        self._ended = threading.Event()
        self._thread = new_thread("rounds", self._run)

    def start(self) -> Rounds:
        """Start the thread that runs the rounds."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Do no more; waits for the one that is under way."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            for each in self._rounds:
                if now >= each.due:
                    each.due = now + each.every()
                    self._do(each)
            if self._ended.wait(TICK):
                return

    @staticmethod
    def _do(each: Round) -> None:
        try:
            each.act()
        except Exception:
            logger.exception("round.failed", round=each.name)


def log_failure(future: Future[Any], what: str) -> None:
    """Log the exception of a job that nobody waits for, if it fails with one."""

    def done(finished: Future[Any]) -> None:
        error = finished.exception()
        if error is not None:
            logger.error("engine.job_failed", job=what, error=f"{type(error).__name__}: {error}")

    future.add_done_callback(done)
