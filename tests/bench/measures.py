"""What is measured, and the goal of each: our figure over the peer's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.load import LoadClient, Result
from tests.bench.server import Server

KIB, MIB = 1024, 1024 * 1024
STREAMS = 8
SMALL_FILE = 10 * KIB
SMALL_CONNECTIONS = 4
LOGIN_CONNECTIONS = 4  # of one account: five open tries are its limit, and more wait
LISTED = 100  # entries of the directory that is listed
IDLE = 200
WARM_UP = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table. ``goal`` bounds our ratio: from below where more is better."""

    name: str
    unit: str
    goal: float | None = None
    more_is_better: bool = True

    def met(self, ratio: float) -> bool | None:
        """Whether the goal is reached; ``None`` where there is none."""
        if self.goal is None:
            return None
        return ratio >= self.goal if self.more_is_better else ratio <= self.goal


UPLOAD = Figure("1 upload", "MB/s", 1.0)
UPLOADS = Figure("8 uploads", "MB/s", 0.85)
DOWNLOAD = Figure("1 download", "MB/s", 1.0)
DOWNLOADS = Figure("8 downloads", "MB/s", 1.0)
SMALL = Figure("10 KiB files, 4 connections", "files/s")
LISTINGS = Figure(f"listings of {LISTED} files, 4 connections", "listings/s")
LOGINS = Figure("logins, hashing aside", "logins/s", 3.0)
MEMORY = Figure("memory of an idle login", "KiB", 0.08, more_is_better=False)
UPLOAD_CPU = Figure("CPU, 1 upload", "s/GB", 1.4, more_is_better=False)
UPLOADS_CPU = Figure("CPU, 8 uploads", "s/GB", 1.4, more_is_better=False)
DOWNLOAD_CPU = Figure("CPU, 1 download", "s/GB", 1.4, more_is_better=False)
DOWNLOADS_CPU = Figure("CPU, 8 downloads", "s/GB", 1.4, more_is_better=False)
SMALL_CPU = Figure("CPU, 10 KiB files", "ms/file", None, more_is_better=False)
LISTINGS_CPU = Figure("CPU, listings", "ms/listing", None, more_is_better=False)
LOGINS_CPU = Figure("CPU, logins", "ms/login", None, more_is_better=False)
#: Against a peer that takes the digests too.
UPLOADS_WITH_DIGEST = Figure("8 uploads, digests on both sides", "MB/s", 1.3)

#: In the order of the table.
FIGURES = (
    UPLOAD, UPLOADS, UPLOADS_WITH_DIGEST, DOWNLOAD, DOWNLOADS, SMALL, LISTINGS, LOGINS, MEMORY,
    UPLOAD_CPU, UPLOADS_CPU, DOWNLOAD_CPU, DOWNLOADS_CPU, SMALL_CPU, LISTINGS_CPU, LOGINS_CPU,
)  # fmt: skip

Figures = dict[Figure, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """The measures, at one size: ``mib`` in all, whether in one file or in eight."""

    client: LoadClient
    mib: int
    seconds: float = 3.0  # of small files, of listings and of logins

    def prepare(self, server: Server) -> None:
        """The files that are downloaded, and the directory that is listed."""
        server.put("down1_0_0", self._size(1))
        for thread in range(STREAMS):
            server.put(f"down{STREAMS}_{thread}_0", self._size(STREAMS))
        for number in range(LISTED):
            server.put(f"downlisted/{number:04}.dat", SMALL_FILE)

    def _size(self, streams: int) -> int:
        return self.mib * MIB // streams

    def upload(self, server: Server, streams: int) -> tuple[Result, float]:
        """Its result, and CPU seconds for a GB."""
        size = self._size(streams)
        return self._costed(
            server, lambda: self.client.run(server, "up", threads=streams, size=size, name=_name())
        )

    def download(self, server: Server, streams: int) -> tuple[Result, float]:
        """Likewise."""
        name = f"down{streams}_"
        return self._costed(
            server, lambda: self.client.run(server, "down", threads=streams, name=name)
        )

    def _costed(self, server: Server, run: Callable[[], Result]) -> tuple[Result, float]:
        before = server.cpu_seconds()
        result = run()
        cost = (server.cpu_seconds() - before) / (result.bytes / 1e9)
        server.clear()
        return result, cost

    # --- each gives one or two figures ------------------------------------------------

    def one_upload(self, server: Server) -> Figures:
        """A client that sends one file."""
        result, cost = self.upload(server, 1)
        return {UPLOAD: result.megabytes_a_second, UPLOAD_CPU: cost}

    def uploads(self, server: Server) -> Figures:
        """Eight clients that send a file each."""
        result, cost = self.upload(server, STREAMS)
        return {UPLOADS: result.megabytes_a_second, UPLOADS_CPU: cost}

    def uploads_with_digest(self, server: Server) -> Figures:
        """The same, until the digest of every file is there."""
        began = time.monotonic()
        result = self.client.run(
            server, "up", threads=STREAMS, size=self._size(STREAMS), name=_name()
        )
        replied = time.monotonic()
        server.settle(STREAMS)
        server.clear()
        # What came before the first byte (the client's start and its logins) does not count.
        seconds = result.seconds + (time.monotonic() - replied)
        assert seconds <= time.monotonic() - began
        return {UPLOADS_WITH_DIGEST: result.bytes / seconds / 1e6}

    def one_download(self, server: Server) -> Figures:
        """A client that fetches one file."""
        result, cost = self.download(server, 1)
        return {DOWNLOAD: result.megabytes_a_second, DOWNLOAD_CPU: cost}

    def downloads(self, server: Server) -> Figures:
        """Eight clients that fetch a file each."""
        result, cost = self.download(server, STREAMS)
        return {DOWNLOADS: result.megabytes_a_second, DOWNLOADS_CPU: cost}

    def small_files(self, server: Server) -> Figures:
        """Sessions that send file after file."""
        before = server.cpu_seconds()
        result = self.client.run(
            server,
            "up",
            threads=SMALL_CONNECTIONS,
            count=1_000_000,
            seconds=self.seconds,
            size=SMALL_FILE,
            name=_name(),
        )
        cost = server.cpu_seconds() - before
        server.clear()
        return {SMALL: result.done / result.seconds, SMALL_CPU: 1e3 * cost / result.done}

    def listings(self, server: Server) -> Figures:
        """Sessions that list one directory over and over."""
        before = server.cpu_seconds()
        result = self.client.run(
            server,
            "list",
            threads=SMALL_CONNECTIONS,
            count=1_000_000,
            seconds=self.seconds,
            name="downlisted",
        )
        cost = server.cpu_seconds() - before
        return {LISTINGS: result.done / result.seconds, LISTINGS_CPU: 1e3 * cost / result.done}

    def logins(self, server: Server) -> Figures:
        """Connect, AUTH TLS, USER, PASS, PBSZ, PROT, QUIT."""
        before = server.cpu_seconds()
        result = self.client.run(
            server, "login", threads=LOGIN_CONNECTIONS, count=1_000_000, seconds=self.seconds
        )
        cost = server.cpu_seconds() - before
        return {LOGINS: result.done / result.seconds, LOGINS_CPU: 1e3 * cost / result.done}

    def memory(self, server: Server) -> Figures:
        """What 200 idle logins add to the proportional set size; take it of a fresh server."""
        with self.client.idle(server, WARM_UP):
            pass
        before = server.memory()
        with self.client.idle(server, IDLE):
            used = server.memory() - before
        return {MEMORY: used / IDLE / KIB}


_names = iter(range(1_000_000))


def _name() -> str:
    """A name that no file has: each upload is a new one."""
    return f"up{next(_names)}_"
