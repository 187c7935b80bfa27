"""The file that a worker's metrics are read from (docs/reference/metrics.md)."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from securedrop_ftp import ballast
from securedrop_ftp.metrics import metrics
from securedrop_ftp.server.runtime import WorkerRuntime
from securedrop_ftp.storage.retry import retry_counts


class WorkerMetrics:
    """``<data dir>/metrics/worker-<number>.prom``, while the worker lives."""

    def __init__(self, runtime: WorkerRuntime, index: int) -> None:
        number = runtime.shared.table.number_of(index)
        self._runtime, self._worker = runtime, str(number)
        self._file = _file_of(runtime.conf.data_dir, number)

    def write(self, sessions: int) -> None:
        """Write it anew, and tend the ballast beside it. Blocks."""
        ballast.tend()
        runtime = self._runtime
        expiry = runtime.contexts.certificate.leaf.not_valid_after_utc.timestamp()
        metrics.put("securedrop_sessions", sessions)
        metrics.put("securedrop_uploads_in_progress", runtime.intake.live)
        metrics.put("securedrop_certificate_expiry_seconds", expiry)
        for call, count in retry_counts().items():
            metrics.put("securedrop_storage_retries_total", count, call=call)
        metrics.write(self._file, node=runtime.engine.identity.boot.node, worker=self._worker)

    def remove(self) -> None:
        """The worker has ended."""
        self._file.unlink(missing_ok=True)


def remove_of_workers(data_dir: Path, numbers: Container[int]) -> None:
    """Of workers that are gone, however they ended: whoever adds up the files would count them on
    and on."""
    with suppress(OSError):
        for file in [*_folder(data_dir).iterdir()]:
            if (number := _number_of(file)) is not None and number in numbers:
                file.unlink(missing_ok=True)


def _folder(data_dir: Path) -> Path:
    return data_dir / "metrics"


def _file_of(data_dir: Path, number: int) -> Path:
    return _folder(data_dir) / f"worker-{number}.prom"


def _number_of(file: Path) -> int | None:
    """Whose file it is, or was to become (``.worker-0.prom.1234``); ``None``: no worker's."""
    name = file.name.removeprefix(".")
    number, dot, _ = name.removeprefix("worker-").partition(".prom")
    return int(number) if name.startswith("worker-") and dot and number.isdecimal() else None
