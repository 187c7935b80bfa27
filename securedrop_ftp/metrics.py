"""Counters and gauges of one process, in Prometheus' text format.

Each worker writes its own to ``<data_dir>/metrics/worker-<n>.prom`` every few seconds; the textfile
collector of node_exporter reads such a directory, and so can anything that reads a file. Names and
labels are listed in ``docs/reference/metrics.md``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_Labels = tuple[tuple[str, str], ...]

#: Metric to (type, help).
DESCRIBED: Final[dict[str, tuple[str, str]]] = {
    "securedrop_events_total": ("counter", "Acts by event and outcome, as in the audit trail."),
    "securedrop_upload_bytes_total": ("counter", "Bytes of committed uploads."),
    "securedrop_download_bytes_total": ("counter", "Bytes sent in downloads, aborted ones too."),
    "securedrop_storage_retries_total": ("counter", "Storage calls that were tried again."),
    "securedrop_sessions": ("gauge", "Open control connections."),
    "securedrop_uploads_in_progress": ("gauge", "Uploads begun and not ended, commits included."),
    "securedrop_database_connections_in_use": (
        "gauge",
        "Shared connections to PostgreSQL that threads have taken.",
    ),
    "securedrop_database_connections_awaited": (
        "gauge",
        "Threads that wait for a shared connection to PostgreSQL.",
    ),
    "securedrop_database_writer_busy_seconds": (
        "gauge",
        "How long the database writer has been at its present job, 0 when it is idle.",
    ),
    "securedrop_database_writer_restarts_total": (
        "counter",
        "Times that the database writer's thread ended and was started anew.",
    ),
    "securedrop_certificate_expiry_seconds": (
        "gauge",
        "When the server's certificate expires, seconds since the epoch.",
    ),
}


class Metrics:
    """The counters and gauges of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, _Labels], float] = {}
        self._watched: dict[str, Callable[[], float]] = {}

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Raise a counter by ``value``."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + value

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter that is counted elsewhere."""
        with self._lock:
            self._values[name, tuple(sorted(labels.items()))] = value

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """A gauge that is read each time that the metrics are; ``read`` is quick and never
        fails."""
        with self._lock:
            self._watched[name] = read

    def unwatch(self, name: str) -> None:
        """Read that gauge no more."""
        with self._lock:
            self._watched.pop(name, None)

    def render(self, **common: str) -> str:
        """The text exposition format; ``common`` labels stand on every sample."""
        with self._lock:
            read = {(name, ()): read() for name, read in self._watched.items()}
            values = sorted((self._values | read).items())
        lines: list[str] = []
        previous = ""
        for (name, labels), value in values:
            if name != previous:
                kind, text = DESCRIBED[name]
                lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
                previous = name
            lines.append(f"{name}{_shown({**common, **dict(labels)})} {value:.15g}")
        return "\n".join(lines) + "\n" if lines else ""

    def write(self, path: Path, **common: str) -> None:
        """Replace a file whole: a reader never sees half of it. Raises OSError."""
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(self.render(**common), "utf-8")
        temporary.replace(path)

    def clear(self) -> None:
        """Forget all values: a forked process counts from nothing."""
        self._lock = threading.Lock()
        self._values, self._watched = {}, {}


def _shown(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in sorted(labels.items())
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


#: This process's.
metrics: Final = Metrics()

os.register_at_fork(after_in_child=metrics.clear)
