"""Who holds leases, and whether that process still lives.

A writer is ``node:service:boot:worker``. Each run of a service (a *boot*) has a row that its
workers keep fresh every :data:`BEAT_EVERY` seconds; after :data:`DEAD_AFTER` without, or without
the row, its writers are dead. On one machine the kernel says so at once.

Known dead is not fenced: it decides which length an owner sees and what a start,
``uploads_recover`` or a client that comes back may take over. Uploads that nobody asks for end with
their lease.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from securedrop_ftp import clock
from securedrop_ftp.db import write_transaction
from securedrop_ftp.models import ServiceBoot
from securedrop_ftp.prepared import insert

#: Seconds between two beats, and after which a boot that does not beat is dead.
BEAT_EVERY: Final = 5.0
DEAD_AFTER: Final = 15.0
#: Rows that old are of no use to anybody.
FORGOTTEN: Final = timedelta(days=1)

#: Services that beat: ours, and any other process whose engine runs (a web server's worker).
#: Commands that only settle do not: their leases run out.
FTPS: Final = "ftps"
PROCESS: Final = "process"
COMMAND: Final = "command"
BEATING: Final = (FTPS, PROCESS)
_SERVICES: Final = (*BEATING, COMMAND)


@dataclass(frozen=True, slots=True)
class Boot:
    """One run of a service. ``machine`` names the kernel's run and the namespace of ``pid``, so
    that who has the same may ask the kernel; ``""`` where that is not known."""

    id: str
    node: str
    service: str
    machine: str
    pid: int
    pid_started: str

    @classmethod
    def of_this_process(cls, boot: str, node: str, service: str) -> Boot:
        """In the process that outlives all workers."""
        pid = os.getpid()
        return cls(boot, node, service, _machine(), pid, _started(pid))

    def writer(self, worker: str) -> str:
        """The owner of a lease."""
        return f"{self.node}:{self.service}:{self.id}:{worker}"


def boot_of(owner: str) -> tuple[str, str, str] | None:
    """``(node, service, boot)`` of a writer; ``None`` for one of another form."""
    parts = owner.rsplit(":", 3)
    return (parts[0], parts[1], parts[2]) if len(parts) == 4 and parts[1] in _SERVICES else None


def node_of(owner: str) -> str:
    """The node of ``node:service:boot:worker`` (or, of earlier versions, ``node:boot:worker``)."""
    known = boot_of(owner)
    return known[0] if known is not None else owner.rsplit(":", 2)[0]


def beat(boot: Boot) -> None:
    """Say that this boot lives. Several workers may; two seconds apart is enough."""
    now = clock.now()
    own = ServiceBoot.objects.filter(pk=boot.id)
    if own.filter(beat__gt=now - timedelta(seconds=2)).exists():
        return
    with write_transaction():
        if not own.update(beat=now):
            insert(_row(boot))


def withdraw(boot: Boot) -> None:
    """Its last worker has ended."""
    ServiceBoot.objects.filter(pk=boot.id).delete()


def register(boot: Boot) -> None:
    """Write a boot down; what died long ago goes."""
    with write_transaction():
        ServiceBoot.objects.filter(beat__lt=clock.now() - FORGOTTEN).delete()
        insert(_row(boot))


def namesakes(boot: Boot) -> dict[str, ServiceBoot]:
    """Other boots of the same node and service that may live."""
    rows = ServiceBoot.objects.filter(node=boot.node, service=boot.service).exclude(pk=boot.id)
    return {row.pk: row for row in rows if not _is_dead(row)}


def forget_dead_namesakes(boot: Boot) -> None:
    """Their rows say nothing any more: who has none is as dead."""
    rows = ServiceBoot.objects.filter(node=boot.node, service=boot.service).exclude(pk=boot.id)
    dead = [row.pk for row in rows if _is_dead(row)]
    if dead:
        ServiceBoot.objects.filter(pk__in=dead).delete()


def living_services(service: str) -> int:
    """How many nodes run that service, as far as is known."""
    rows = ServiceBoot.objects.filter(service=service)
    return len({row.node for row in rows if not _is_dead(row)})


def gone(owners: Iterable[str]) -> set[str]:
    """Those of the writers that are known to be dead. Blocks."""
    boots = {owner: known for owner in owners if (known := boot_of(owner)) is not None}
    rows = ServiceBoot.objects.in_bulk({boot for _, _, boot in boots.values()})
    return {
        owner
        for owner, (_, service, boot) in boots.items()
        if service in BEATING and (boot not in rows or _is_dead(rows[boot]))
    }


def _row(boot: Boot) -> ServiceBoot:
    now = clock.now()
    return ServiceBoot(
        id=boot.id,
        node=boot.node,
        service=boot.service,
        machine=boot.machine,
        pid=boot.pid,
        pid_started=boot.pid_started,
        since=now,
        beat=now,
    )


def _is_dead(row: ServiceBoot) -> bool:
    if row.beat < clock.now() - timedelta(seconds=DEAD_AFTER):
        return True
    return bool(row.machine) and row.machine == _machine() and _started(row.pid) != row.pid_started


def _machine() -> str:
    """The same for two processes only if they can see each other's ids: one run of one kernel,
    one pid namespace (pid_namespaces(7))."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{kernel}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Field 22 of proc_pid_stat(5); ``""`` where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
