"""Trying again inside a deadline, and knowing whether a request may have been carried out.

The SDKs' own retries are off: they know no deadline of the whole operation, and do not tell
whether an earlier try reached the server. Full jitter: AWS Architecture Blog, "Exponential
Backoff And Jitter".
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

from securedrop_ftp.exceptions import SecureDropError, VerificationFailed
from securedrop_ftp.log import get_logger
from securedrop_ftp.storage.faults import Fault

logger = get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

_counts: Counter[str] = Counter()
_counts_lock = threading.Lock()


class Attempts:
    """The tries of one operation, of one request or of several. There is always one.

    Args:
        seconds: no try is begun after this. The client's own timeouts bound the last one.

    Attributes:
        unanswered: tries that got no answer, or one that does not tell what was done.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.unanswered = 0

    @classmethod
    def of(cls, seconds: float) -> Attempts:
        """Those of an operation that may take ``seconds``. A try that times out takes a third of
        them, so none begins in the last one."""
        return cls(seconds * 2 / 3)

    @classmethod
    def of_publishing(cls, seconds: float) -> Attempts:
        """The same, with another third left to look what became of the publishing call."""
        return cls(seconds / 3)

    @property
    def ambiguous(self) -> bool:
        """Whether a try may have been carried out, or may still be."""
        return self.unanswered > 0

    def run(self, name: str, call: Callable[[], T], fault: Callable[[Exception], Fault]) -> T:
        """The result of ``call``.

        Raises:
            SecureDropError: ``fault``'s, of the last try.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return call()
            except SecureDropError:
                raise
            except Exception as exc:
                found = fault(exc)
                self.unanswered += found.may_have_happened
                wait = random.uniform(pause / 2, pause)
                if not found.retry or time.monotonic() + wait >= self._end:
                    raise found.error from exc
                logger.info("storage.call.retried", call=name, reason=str(found.error))
                count_retry(name)
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)


def twice(name: str, put: Callable[..., T], **params: Any) -> T:
    """The result of ``put``, which is done once more where bytes were damaged on the way.

    Raises:
        VerificationFailed: they were damaged again.
    """
    try:
        return put(**params)
    except VerificationFailed as exc:
        logger.warning("storage.bytes.damaged", call=name, reason=str(exc))
        count_retry(name)
        return put(**params)


def count_retry(name: str) -> None:
    """One more retry of the storage call ``name``."""
    with _counts_lock:
        _counts[name] += 1


def retry_counts() -> dict[str, int]:
    """Retries in this process by storage call: for metrics."""
    with _counts_lock:
        return dict(_counts)
