"""Do the workers' database writers go on? Read from the metrics that they leave (one look at a few
small files), so that another process of the node can tell."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from securedrop_ftp.conf import Conf
from securedrop_ftp.db.writer import STUCK

#: A file that is older than so many of its intervals was left by a worker that was killed.
_INTERVALS: Final = 6
_BUSY: Final = re.compile(
    r'^securedrop_database_writer_busy_seconds\{.*worker="(\w+)".*\} (\S+)$', re.MULTILINE
)


def busy_writers(conf: Conf) -> dict[str, float]:
    """Worker to the seconds that its database writer has been at its present job."""
    found: dict[str, float] = {}
    oldest = time.time() - max(60.0, _INTERVALS * conf.presence_interval)
    try:
        paths = sorted((conf.data_dir / "metrics").glob("worker-*.prom"))
    except PermissionError:  # the folder is another user's: the check of the data folder tells
        return found
    for path in paths:
        if (text := _text(path, oldest)) and (match := _BUSY.search(text)):
            found[match[1]] = float(match[2])
    return found


def stuck_writers(conf: Conf) -> tuple[list[str], int]:
    """A sentence for each worker whose database writer is stuck, and how many workers there are."""
    busy = busy_writers(conf)
    return [
        f"The database writer of worker {worker} has been at one job for {seconds:.0f} s; until it "
        "goes on, the worker refuses uploads."
        for worker, seconds in busy.items()
        if seconds > STUCK
    ], len(busy)


def _text(path: Path, oldest: float) -> str:
    try:
        return path.read_text() if path.stat().st_mtime >= oldest else ""
    except OSError:  # its worker has just ended
        return ""
