"""NOOP's latency on one session while 50 others log in and a storage call takes ten seconds.

``python -m tests.bench.noop_latency [SECONDS]`` starts the service with one worker and prints the
percentiles in milliseconds, quiet and loaded, in one run.
"""

from __future__ import annotations

import contextlib
import ftplib
import sys
import tempfile
import threading
import time
from pathlib import Path

from securedrop_ftp.project.demo.children import Child
from tests import clients
from tests.bench.service import Service, start_service
from tests.fixtures.cast import password_of

CLIENTS = 50


def percentiles(samples: list[float]) -> str:
    """p50, p99 and the maximum in milliseconds."""
    ordered = sorted(samples)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return (
        f"p50 {p50 * 1e3:6.1f}   p99 {p99 * 1e3:6.1f}   max {ordered[-1] * 1e3:6.1f}"
        f"   ({len(ordered)} samples)"
    )


def sample(service: Service, seconds: float) -> list[float]:
    """Round trips of NOOP every 20 ms."""
    samples: list[float] = []
    with clients.logged_in(service.port, service.ca, "alice", password_of("alice")) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            client.sendcmd("NOOP")
            samples.append(time.perf_counter() - began)
            time.sleep(0.02)
    return samples


def log_in_again_and_again(service: Service, stop: threading.Event, count: list[int]) -> None:
    """One of the fifty."""
    while not stop.is_set():
        with (
            contextlib.suppress(OSError, EOFError, ftplib.Error),
            clients.logged_in(service.port, service.ca, "bob", password_of("bob")),
        ):
            count[0] += 1


def upload_slowly(service: Service, stop: threading.Event, count: list[int]) -> None:
    """Its commit waits ten seconds in storage."""
    with clients.logged_in(service.port, service.ca, "alice", password_of("alice")) as client:
        while not stop.is_set():
            client.upload("slow.bin", b"x" * 1000)
            count[0] += 1


def main() -> None:
    """See the module's docstring."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as directory:
        service, child = start_service(
            Path(directory), workers=1, settings_module="tests.bench.settings"
        )
        try:
            print(f"quiet   {percentiles(sample(service, seconds / 2))}")
            stop, logins, uploads = threading.Event(), [0], [0]
            threads = [
                threading.Thread(target=log_in_again_and_again, args=(service, stop, logins))
                for _ in range(CLIENTS)
            ] + [threading.Thread(target=upload_slowly, args=(service, stop, uploads))]
            for thread in threads:
                thread.start()
            time.sleep(1)
            print(f"loaded  {percentiles(sample(service, seconds))}")
            stop.set()
            for thread in threads:
                thread.join()
            print(f"beside them: {logins[0]} logins, {uploads[0]} uploads of 10 s in storage")
        finally:
            finish(child)


def finish(child: Child) -> None:
    """End what we started."""
    child.stop(20)


if __name__ == "__main__":
    main()
