"""What befalls the service as a whole while it is under load: processes killed, the database
restarted or locked, the disk full."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

from tests.fixtures.postgres import PostgresServer
from tests.fixtures.processes import wait_until
from tests.fixtures.served import ServedFtps


class Mischief:
    """Does one thing at a time, by a seed; every one of them ends with the service standing."""

    def __init__(self, ftps: ServedFtps, seed: int) -> None:
        self.ftps = ftps
        self.done: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._acts: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "supervisor killed": self._kill_supervisor,
            "machine killed": self._kill_all,
        }

    def with_postgres(self, server: PostgresServer) -> Mischief:
        """Also stop, or crash, this server and start it again."""

        def restart(crash: bool) -> None:
            server.stop(crash=crash)
            time.sleep(self._chance.uniform(0, 1))
            server.start()

        self._acts["database restarted"] = lambda: restart(False)
        self._acts["database crashed"] = lambda: restart(True)
        return self

    def with_sqlite(self, path: Path) -> Mischief:
        """Also lock this file for a while."""

        def lock() -> None:
            lite = sqlite3.connect(path, timeout=30, isolation_level=None)
            with closing(lite), suppress(sqlite3.OperationalError):
                lite.execute("BEGIN IMMEDIATE")
                time.sleep(self._chance.uniform(0.5, 3))
                lite.execute("ROLLBACK")

        self._acts["database locked"] = lock
        return self

    def with_disk(self, path: Path) -> Mischief:
        """Also fill the disk that ``path`` lies on, where it is a small one of ours; where it
        could not be mounted, forbid the workers to write past a kilobyte."""

        def fill() -> None:
            filler = path / "filler"
            try:
                with suppress(OSError), open(filler, "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(65536))
                time.sleep(self._chance.uniform(0.3, 1.5))
            finally:
                filler.unlink(missing_ok=True)

        def limit() -> None:
            pids = self.ftps.workers
            try:
                for pid in pids:
                    _limit_files(pid, 1024)
                time.sleep(self._chance.uniform(0.3, 1.5))
            finally:
                for pid in pids:
                    _limit_files(pid, RLIM_INFINITY)

        self._acts["disk full"] = fill if path.is_mount() else limit
        return self

    def run(self, due: Callable[[], bool], over: Callable[[], bool]) -> None:
        """One act each time ``due`` says so; all kinds in turn, in a random order."""
        names: list[str] = []
        while not over():
            if not due():
                time.sleep(0.05)
                continue
            if not names:
                names = self._chance.sample(list(self._acts), len(self._acts))
            name = names.pop()
            self._acts[name]()
            self.done[name] += 1

    def _kill_worker(self) -> None:
        pids = self.ftps.workers
        if pids:
            with suppress(ProcessLookupError):
                os.kill(self._chance.choice(pids), signal.SIGKILL)

    def _kill_supervisor(self) -> None:
        workers = self.ftps.workers
        self.ftps.kill()
        wait_until(lambda: not any(_alive(pid) for pid in workers), "the end of the workers")
        self._start()

    def _kill_all(self) -> None:
        self.ftps.child.kill()
        self._start()

    def _start(self) -> None:
        # A start that meets a fault before it serves says so and ends; systemd would try again.
        for left in range(9, -1, -1):
            try:
                self.ftps.restart()
                return
            except RuntimeError:
                if not left:
                    raise


def _limit_files(pid: int, size: int) -> None:
    with suppress(ProcessLookupError):
        prlimit(pid, RLIMIT_FSIZE, (size, RLIM_INFINITY))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def small_disk(path: Path, mib: int) -> Iterator[None]:
    """Mount a small tmpfs there if we may; nothing else happens if not."""
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)],
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)
