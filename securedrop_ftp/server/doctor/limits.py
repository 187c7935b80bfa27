"""What the machine gives against what the settings may ask of it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from securedrop_ftp.access.hashers import Argon2id, burn_one_hash
from securedrop_ftp.conf import MIB, Conf
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning
from securedrop_ftp.server.status import ServiceStatus

CHECK: Final = "limits"

#: A worker with nothing to do, by measurement.
WORKER_BASE: Final = 90 * MIB
#: Descriptors beside sessions: libraries, database, storage clients, spool files.
SPARE_DESCRIPTORS: Final = 256

_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


def limits(conf: Conf, status: ServiceStatus | None) -> Iterator[Finding]:
    """Descriptors, memory, cores and the price of a login."""
    findings = [
        *descriptors(conf, _descriptor_limit(status)),
        *memory(conf, available_memory()),
        *logins(conf, _seconds_for_a_hash(), os.cpu_count() or 1),
    ]
    yield from findings
    if not findings:
        yield ok(
            CHECK,
            f"{conf.workers} workers, {conf.max_connections} connections: descriptors, memory and "
            "cores suffice.",
        )


def descriptors(conf: Conf, limit: int) -> Iterator[Finding]:
    """One worker may get every connection, and each has a data channel."""
    needed = 2 * conf.max_connections + SPARE_DESCRIPTORS
    if limit < needed:
        yield warning(
            CHECK,
            f"A process may open {limit} files; {conf.max_connections} connections may need "
            f"{needed}.",
            f"LimitNOFILE={needed} in the unit (ulimit -n {needed} in a shell), or lower "
            "SECUREDROP_MAX_CONNECTIONS.",
        )


def _descriptor_limit(status: ServiceStatus | None) -> int:
    """Of the running service, else what a service that starts here would have."""
    if status is not None:
        try:
            for line in Path(f"/proc/{status.pid}/limits").read_text().splitlines():
                if line.startswith("Max open files"):
                    return int(line.split()[3])
        except (OSError, ValueError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # the service raises its own to this


def memory(conf: Conf, available: int) -> Iterator[Finding]:
    """Buffers are bounded for each worker; what they may reach together must be there."""
    hashing = conf.concurrent_hashes * Argon2id.memory_cost * 1024
    needed = conf.workers * (WORKER_BASE + conf.worker_memory + hashing)
    if needed > available:
        make = problem if needed > 2 * available else warning
        yield make(
            CHECK,
            f"{conf.workers} workers may use {needed // MIB} MiB of memory; there are "
            f"{available // MIB}.",
            "Lower SECUREDROP_WORKER_MEMORY or SECUREDROP_FTPS_WORKERS: beyond it the kernel kills "
            "workers in the middle of uploads.",
        )


def available_memory() -> int:
    """Bytes: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        text = _CGROUP.read_text().strip()
        return total if text == "max" else min(total, int(text))
    except (OSError, ValueError):
        return total


def logins(conf: Conf, seconds: float, cores: int) -> Iterator[Finding]:
    """``seconds``: one password hash on this machine."""
    if conf.workers > 2 * cores:
        yield warning(
            CHECK,
            f"{conf.workers} workers share {cores} cores.",
            "SECUREDROP_FTPS_WORKERS=0 makes one for each core.",
        )
    at_once = min(conf.workers * conf.concurrent_hashes, cores)
    if seconds > 0.5:
        yield warning(
            CHECK,
            f"A password hash takes {seconds:.1f} s here: about {at_once / seconds:.1f} logins a "
            "second.",
            "The machine is slow or busy; argon2id is not to be weakened. Add cores.",
        )


def _seconds_for_a_hash() -> float:
    burn_one_hash()
    began = time.perf_counter()
    burn_one_hash()
    return time.perf_counter() - began
