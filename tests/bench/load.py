"""The load client, compiled when it is first wanted, and what it says of a run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.server import Server

SOURCE = Path(__file__).with_name("ftpload.c")
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds from the first byte to the last reply; ``done`` files or logins; bytes moved."""

    seconds: float
    done: int
    bytes: int

    @property
    def megabytes_a_second(self) -> float:
        """10⁶ bytes."""
        return self.bytes / self.seconds / 1e6


class LoadClient:
    """``ftpload``, built in ``directory``. TLS 1.2, or 1.3 with ``tls13``."""

    def __init__(self, directory: Path, *, tls13: bool = False) -> None:
        self._program = directory / "ftpload"
        self._tls13 = tls13
        compiler = os.environ.get("CC", "cc")
        subprocess.run(
            [
                compiler,
                "-O2",
                "-o",
                str(self._program),
                str(SOURCE),
                "-lssl",
                "-lcrypto",
                "-pthread",
            ],
            check=True,
        )

    def run(
        self,
        server: Server,
        mode: str,
        *,
        threads: int = 1,
        count: int = 1,
        seconds: float = 0.0,
        size: int = 0,
        name: str = "f",
    ) -> Result:
        """One run of a mode (``up``, ``down``, ``list``, ``login``).

        Raises:
            RuntimeError: something failed, or a data channel did not resume its session.
        """
        argv = self._argv(server, mode, threads)
        argv += ["-c", str(count), "-d", str(seconds), "-s", str(size), "-f", name]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
        if ran.returncode:
            raise RuntimeError(f"{server.name}: {mode} failed: {ran.stderr}{ran.stdout}")
        said = json.loads(ran.stdout)
        if mode != "login" and said["resumed"] != said["done"]:
            raise RuntimeError(f"{server.name}: {mode}: data channels without resumption: {said}")
        return Result(said["seconds"], said["done"], said["bytes"])

    @contextmanager
    def idle(self, server: Server, sessions: int) -> Iterator[None]:
        """``sessions`` logins that do nothing while the block runs."""
        child = subprocess.Popen(
            self._argv(server, "idle", sessions),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert child.stdout is not None
            ready = json.loads(child.stdout.readline())["ready"]
            if ready != sessions:
                raise RuntimeError(f"{server.name}: {ready} of {sessions} sessions logged in")
            yield
        finally:
            child.communicate(timeout=PATIENCE)

    def _argv(self, server: Server, mode: str, threads: int) -> list[str]:
        argv = [str(self._program), "-m", mode, "-p", str(server.port), "-n", str(threads)]
        argv += ["-u", server.username, "-w", server.password]
        return [*argv, "-3"] if self._tls13 else argv
