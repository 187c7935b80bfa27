"""Ledger jobs that the database did not take."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from securedrop_ftp.exceptions import LedgerUnavailable, SecureDropError
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: Jobs kept for later while the database is away; beyond, the oldest is left to recovery.
MAX_UNSETTLED: Final = 100_000


class Unsettled:
    """Jobs that are tried again at each heartbeat, and before an upload is admitted, in order. Each
    is conditional, so nothing is done twice where recovery was quicker."""

    def __init__(self, book: Ledger) -> None:
        self._book = book
        self._jobs: deque[Callable[[], Any]] = deque(maxlen=MAX_UNSETTLED)
        self._retrying = threading.Lock()

    def __len__(self) -> int:
        return len(self._jobs)

    def leave(self, job: Callable[[], Any]) -> None:
        """Run the job now if the database answers, else later. Blocks."""
        try:
            self._book.run(job)
        except LedgerUnavailable:
            self._jobs.append(job)

    def retry(self) -> None:
        """Run the jobs that were left, until the database fails again. Blocks. Where another
        thread is at it, a beat that came late, nothing is done."""
        if not self._retrying.acquire(blocking=False):
            return
        try:
            self._retry()
        finally:
            self._retrying.release()

    def _retry(self) -> None:
        for _ in range(len(self._jobs)):
            job = self._jobs[0]
            try:
                self._book.run(job)
            except LedgerUnavailable:
                return
            except SecureDropError as exc:
                logger.error("ledger.job_failed", exc_info=exc)
            self._jobs.popleft()
