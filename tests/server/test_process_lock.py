"""Threads of several processes that use several shared tables at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from securedrop_ftp.refusals import Buckets
from securedrop_ftp.server.connections import ConnectionTable
from securedrop_ftp.server.rates import AddressRates

ROUNDS = 3000


def in_threads(jobs: tuple[Callable[[], object], ...]) -> int:
    """Run each many times, all at once; how many of them failed."""
    failed: list[Exception] = []

    def repeat(job: Callable[[], object]) -> None:
        try:
            for _ in range(ROUNDS):
                job()
        except Exception as exc:
            failed.append(exc)

    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failed)


@pytest.mark.integration
def test_row_88_nobody_is_refused_for_a_deadlock_that_is_none() -> None:
    table, rates, buckets = ConnectionTable(workers=2, slots=4), AddressRates(), Buckets()

    def come_and_go(worker: int) -> None:
        connection_id = table.open(worker, "192.0.2.1", per_ip=9, total=8)
        assert isinstance(connection_id, int)
        table.release(connection_id)

    def use(worker: int) -> int:
        return in_threads(
            (
                lambda: come_and_go(worker),
                lambda: rates.allow("192.0.2.1", ROUNDS),
                lambda: buckets.take("somebody", 1, 40, 1.0, force=False),
            )
        )

    pid = os.fork()
    if not pid:
        os._exit(use(1))
    failed = use(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) + failed == 0
    assert table.count() == 0
