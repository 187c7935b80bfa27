"""Ledger jobs that wait for the database are run one by one, whoever asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from securedrop_ftp.exceptions import LedgerUnavailable
from securedrop_ftp.intake.ledger import Ledger
from securedrop_ftp.intake.unsettled import Unsettled


class SlowBook:
    """A ledger whose first answer waits until it is told to come."""

    def __init__(self) -> None:
        self.away = True
        self.asked, self.go = threading.Event(), threading.Event()

    def run(self, job: Callable[[], Any]) -> None:
        if self.away:
            raise LedgerUnavailable
        self.asked.set()
        self.go.wait(60)
        job()


def test_beats_that_overlap_run_each_job_once() -> None:
    book, done = SlowBook(), []
    unsettled = Unsettled(cast(Ledger, book))
    for number in range(3):
        unsettled.leave(lambda number=number: done.append(number))  # type: ignore[misc]  # bound now
    book.away = False
    first = threading.Thread(target=unsettled.retry)
    first.start()
    assert book.asked.wait(60)
    unsettled.retry()  # the next beat, while the first one waits
    assert not done
    book.go.set()
    first.join(60)
    assert done == [0, 1, 2]
    assert len(unsettled) == 0
