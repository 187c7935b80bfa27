"""The pools: bounded, fair between partners, and no thread lost to a failing job."""

from __future__ import annotations

import threading

from securedrop_ftp.server.pools import FairPool


def test_one_partner_cannot_hold_every_thread() -> None:
    pool = FairPool("t", threads=3, per_key=2)
    release = threading.Event()
    for _ in range(10):
        pool.submit("slow", release.wait, 30)
    assert pool.submit("other", lambda: 42).result(timeout=20) == 42
    release.set()
    pool.close(20)


def test_jobs_of_all_partners_run_even_when_each_is_capped() -> None:
    pool = FairPool("t", threads=2, per_key=1)
    done = [pool.submit(f"p{i % 5}", lambda i=i: i) for i in range(100)]
    assert [f.result(timeout=20) for f in done] == list(range(100))
    pool.close(20)


def test_a_failing_job_reports_and_takes_no_thread_with_it() -> None:
    pool = FairPool("t", threads=1, per_key=1)

    def fail() -> None:
        raise SystemExit(3)

    assert isinstance(pool.submit("a", fail).exception(timeout=20), SystemExit)
    assert pool.submit("a", lambda: 1).result(timeout=20) == 1
    pool.close(20)


def test_close_runs_what_is_queued() -> None:
    pool = FairPool("t", threads=2, per_key=1)
    done = [pool.submit("a", lambda: 1) for _ in range(20)]
    pool.close(20)
    assert all(f.done() for f in done)
