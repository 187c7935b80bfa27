"""The file that a worker's metrics are read from (docs/reference/metrics.md)."""

from __future__ import annotations

from securedrop_ftp import ballast
from securedrop_ftp.metrics import metrics
from securedrop_ftp.server.runtime import WorkerRuntime
from securedrop_ftp.storage.retry import retry_counts


class WorkerMetrics:
    """``<data dir>/metrics/worker-<number>.prom``, while the worker lives."""

    def __init__(self, runtime: WorkerRuntime, index: int) -> None:
        number = runtime.shared.table.number_of(index)
        self._runtime, self._worker = runtime, str(number)
        self._file = runtime.conf.data_dir / "metrics" / f"worker-{number}.prom"

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
