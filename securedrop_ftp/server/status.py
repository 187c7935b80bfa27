"""What a running service says of itself to commands on its machine: ``<data dir>/service.json``.

The supervisor of the generation that serves writes it once it does and after every reload, and
removes it at its end. A file whose process is gone (SIGKILL, power) says nothing. No secret is in
it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.log import get_logger
from securedrop_ftp.server.handover import Generation

logger = get_logger(__name__)

FILE: Final = "service.json"

#: Bytes that the file has at least: it is overwritten where it stands when the disk is full.
_ROOM: Final = 8192
#: Bytes that a disk takes on which a new generation is to serve.
_ROOM_WANTED: Final = 64 * 1024


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
        _write_new(temporary, _padded(status))
        temporary.replace(path)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not _overwrite(path, status):
            logger.warning("status.not_written", path=str(path), error=str(exc))


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)  # some file systems tell only here that they are full


def _padded(status: ServiceStatus) -> bytes:
    """With the room that a later one may need on a full disk (:func:`_overwrite`)."""
    text = json.dumps(asdict(status)).encode()
    return text.ljust(_ROOM)


def _overwrite(path: Path, status: ServiceStatus) -> bool:
    """In the room that the file has already: a full disk gives no other. Whether it was done."""
    content = _padded(status)
    if len(content) > _ROOM:
        content = _padded(replace(status, replacement_refused=status.replacement_refused[:500]))
    try:
        descriptor = os.open(path, os.O_WRONLY)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            return os.fstat(descriptor).st_size >= len(content) and bool(file.write(content))
    except OSError:
        return False


def refuse_full_disk(data_dir: Path) -> None:
    """Raises ConfigurationError where the data directory takes no more: the disk or the quota is
    full, or the file system is read-only. No other obstacle is looked for."""
    probe = data_dir / f"{FILE}.{os.getpid()}.probe"
    try:
        _write_new(probe, bytes(_ROOM_WANTED))
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise ConfigurationError(
                f"Nothing can be written to the data directory {data_dir}: {exc.strerror}. "
                f"Make room on its disk (“df -h {data_dir}” shows it), then run ftps_replace again."
            ) from exc
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def remove_status(data_dir: Path, status: ServiceStatus) -> None:
    """At the end of the generation that wrote it."""
    found = read_status(data_dir)
    if found is not None and (found.pid, found.generation) == (status.pid, status.generation):
        with suppress(OSError):
            (data_dir / FILE).unlink()


def read_status(data_dir: Path) -> ServiceStatus | None:
    """What the live service of this data directory says; ``None`` where none runs."""
    try:
        status = ServiceStatus(**_read(data_dir / FILE))
        alive = _started(status.pid) == status.started
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return status if alive else None


def _read(path: Path) -> dict[str, Any]:
    """Raises OSError, and ValueError for what is no JSON."""
    for _ in range(5):
        try:
            return dict(json.loads(path.read_text()))
        except ValueError:  # half of it, while somebody overwrites it
            time.sleep(0.01)
    return dict(json.loads(path.read_text()))


def _started(pid: int) -> str:
    """Field 22 of proc_pid_stat(5); raises OSError where there is no such process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[19]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
