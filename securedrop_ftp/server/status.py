"""What a running service says of itself to commands on its machine: ``<data dir>/service.json``.

The supervisor of the generation that serves writes it once it does and after every reload, and
removes it at its end. A file whose process is gone (SIGKILL, power) says nothing. No secret is in
it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from securedrop_ftp.log import get_logger
from securedrop_ftp.server.handover import Generation

logger = get_logger(__name__)

FILE: Final = "service.json"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Times are RFC 3339.

    Attributes:
        pid: the master: signals go there.
        started: that process's start in the kernel's ticks: tells it from a later one of its pid.
        generation, spawned: which of its generations serves, and when that was begun (the kernel's
            monotonic clock, seconds).
        certificate: SHA-256 of the one in force, lower-case hex.
        reload_refused: why the last SIGHUP changed nothing; ``""`` if it did, or none came.
        replacement_refused: why the last replacement came to nothing; ``""`` if none did since.
        refused_spawned: when that one was begun.
    """

    pid: int
    started: str
    host: str
    port: int
    workers: int
    certificate: str
    since: str
    reloaded: str = ""
    reload_refused: str = ""
    reload_refused_at: str = ""
    generation: int = 1
    spawned: float = 0.0
    replacement_refused: str = ""
    refused_spawned: float = 0.0

    @classmethod
    def of_service(
        cls,
        generation: Generation,
        host: str,
        port: int,
        workers: int,
        certificate: x509.Certificate,
    ) -> ServiceStatus:
        """At the moment when the generation begins to serve."""
        pid = generation.master
        return cls(
            pid,
            _started(pid),
            host,
            port,
            workers,
            fingerprint(certificate),
            _now(),
            generation=generation.number,
            spawned=generation.spawned,
        )

    def after_reload(self, certificate: x509.Certificate) -> ServiceStatus:
        """The new certificate is in force."""
        return replace(
            self,
            certificate=fingerprint(certificate),
            reloaded=_now(),
            reload_refused="",
            reload_refused_at="",
        )

    def after_refusal(self, reason: str) -> ServiceStatus:
        """The old one serves on."""
        return replace(self, reload_refused=reason, reload_refused_at=_now())

    def after_refused_replacement(self, reason: str, spawned: float) -> ServiceStatus:
        """The generation that was begun at ``spawned`` does not serve; this one does."""
        return replace(self, replacement_refused=reason, refused_spawned=spawned)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 in lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def write_status(data_dir: Path, status: ServiceStatus) -> None:
    """Whole or not at all. A failure is logged: the service serves without the file. The file of
    another live service, or of a later generation, is left alone."""
    path = data_dir / FILE
    other = read_status(data_dir)
    if other is not None and (other.pid != status.pid or other.generation > status.generation):
        return
    temporary = data_dir / f"{FILE}.{os.getpid()}"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(status), file)
        temporary.replace(path)
    except OSError as exc:
        logger.warning("status.not_written", path=str(path), error=str(exc))


def remove_status(data_dir: Path, status: ServiceStatus) -> None:
    """At the end of the generation that wrote it."""
    found = read_status(data_dir)
    if found is not None and (found.pid, found.generation) == (status.pid, status.generation):
        with suppress(OSError):
            (data_dir / FILE).unlink()


def read_status(data_dir: Path) -> ServiceStatus | None:
    """What the live service of this data directory says; ``None`` where none runs."""
    try:
        status = ServiceStatus(**json.loads((data_dir / FILE).read_text()))
        alive = _started(status.pid) == status.started
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return status if alive else None


def _started(pid: int) -> str:
    """Field 22 of proc_pid_stat(5); raises OSError where there is no such process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[19]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
