"""A server under measurement: where it is, and what its processes cost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """``files`` is the directory that its account sees; ``settle`` waits until it has done all
    of its work for the files that it was sent (``count``, since the last call)."""

    name: str
    port: int
    username: str
    password: str
    files: Path
    pid: int
    owner: int = 0  # of files
    settle: Callable[[int], None] = lambda count: None

    def cpu_seconds(self) -> float:
        """Of all its processes since they began, the ended ones included."""
        time.sleep(0.1)  # children that have just ended are counted when they are reaped
        return sum(_cpu(pid) for pid in _tree(self.pid))

    def memory(self) -> int:
        """Proportional set size of all its processes, bytes."""
        return sum(_pss(pid) for pid in _tree(self.pid))

    def put(self, name: str, size: int) -> None:
        """A file for downloads, written past the server."""
        path = self.files / name
        if not path.parent.exists():
            path.parent.mkdir()
            os.chown(path.parent, self.owner, self.owner)
        chunk = os.urandom(1 << 20)
        with path.open("wb") as file:
            for at in range(0, size, len(chunk)):
                file.write(chunk[: size - at])
        os.chown(path, self.owner, self.owner)

    def clear(self) -> None:
        """Remove what was uploaded."""
        for path in self.files.iterdir():
            if path.name.startswith("down"):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _tree(int(child))


def _cpu(pid: int) -> float:
    """utime, stime, cutime and cstime of proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(
        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
    )
