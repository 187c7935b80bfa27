"""What listing, looking, reading and renaming cost: storage requests and milliseconds."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from securedrop_ftp.storage.protocol import Backend  # noqa: E402
from securedrop_ftp.storage.s3.backend import S3Backend  # noqa: E402
from tests.storage.real.servers import SERVERS  # noqa: E402
from tests.storage.servers import make_backend  # noqa: E402
from tests.storage.uploads import put  # noqa: E402

MIB = 1024 * 1024
ROUNDS = 5


class Requests:
    """Counts an S3 backend's requests; other backends make none."""

    def __init__(self, backend: Backend) -> None:
        self.count: int | None = None
        if isinstance(backend, S3Backend):
            self.count = 0
            for slow in (False, True):
                events = backend._bucket.client(slow=slow).meta.events
                events.register("before-send.s3", self._seen)

    def _seen(self, **_: Any) -> None:
        assert self.count is not None
        self.count += 1


def measure(servers: list[str], sizes: list[int]) -> int:
    print(f"{'server':<12} {'act':<34} {'entries':>7} {'requests':>8} {'ms':>9}")
    for name in servers:
        with SERVERS[name].running() as address, tempfile.TemporaryDirectory() as directory:
            os.environ["TEST_STORAGES"], os.environ["TEST_SERVER"] = name, address
            with resources() as resource:
                backend = make_backend(name, Path(directory), resource)
                for size in sizes:
                    figures(name, backend, size)
                large_file(name, backend)
                backend.close()
    return 0


@contextmanager
def resources() -> Iterator[Callable[[str], Any]]:
    """Only servers that need no fixture of pytest's are measured."""

    def none(fixture: str) -> Any:
        raise SystemExit(f"{fixture} is a fixture: name filesystem, memory, ceph, swift or azurite")

    yield none


def figures(name: str, backend: Backend, size: int) -> None:
    directory = f"d{size}"
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: put(backend, f"{directory}/file-{n:06}"), range(size)))
    seen = Requests(backend)

    def listed() -> None:
        assert sum(len(page) for page in backend.scandir(directory)) == size

    show(name, "list a directory", size, seen, listed)
    show(name, "its first page", size, seen, lambda: next(backend.scandir(directory)))
    show(name, "stat of a file in it", size, seen, lambda: backend.stat(f"{directory}/file-000001"))
    show(name, "stat of the directory", size, seen, lambda: backend.stat(directory))
    show(
        name, "rename the directory", size, seen,
        lambda: backend.rename(directory, f"{directory}-moved", replace=False),
        rounds=1,
    )  # fmt: skip


def large_file(name: str, backend: Backend) -> None:
    put(backend, "one", os.urandom(8 * MIB))
    seen, entry = Requests(backend), backend.stat("one")
    show(name, "first byte of a file (1 KiB range)", 1, seen, lambda: backend.read(entry, 0, 1024))
    show(name, "an 8 MiB range", 1, seen, lambda: backend.read(entry, 0, 8 * MIB))
    show(name, "put a 10 KiB file", 1, seen, lambda: put(backend, "small", b"x" * 10240))
    places = ["one", *[f"one-{n}" for n in range(ROUNDS)]]
    pairs = itertools.pairwise(places)
    show(
        name, "rename an 8 MiB file", 1, seen,
        lambda: backend.rename(*next(pairs), replace=False),
    )  # fmt: skip


def show(
    name: str,
    act: str,
    size: int,
    seen: Requests,
    work: Callable[[], object],
    rounds: int = ROUNDS,
) -> None:
    """The median of some rounds."""
    times, before = [], seen.count or 0
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    requests = "-" if seen.count is None else f"{(seen.count - before) / rounds:g}"
    print(
        f"{name:<12} {act:<34} {size:>7} {requests:>8} {statistics.median(times):>9.1f}", flush=True
    )
