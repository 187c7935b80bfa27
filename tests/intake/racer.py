"""Races of worker processes at one name (``python -m tests.intake.racer``).

For each scenario it forks workers that begin together, each with a real pool and a real writer and
several uploads at once to the same path; then it prints one JSON object: what was acknowledged,
what was refused, and what storage, ledger and audit trail hold.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
from collections import Counter
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

import django

WORKERS, FILES = 3, 4

#: Policy and size of the files.
SCENARIOS = [("version", 100), ("version", 200_000), ("replace", 200_000), ("reject", 200_000)]


def work(number: int, policy: str, size: int, barrier: Barrier, queue: Queue[Any]) -> None:
    from django.db import connections

    from securedrop_ftp.access.principal import principal_of
    from securedrop_ftp.conf import KIB, get_conf
    from securedrop_ftp.db import DatabaseWriter
    from securedrop_ftp.engine.pools import FairPool
    from securedrop_ftp.exceptions import SecureDropError
    from securedrop_ftp.ftps.answers import FTPS, answer
    from securedrop_ftp.intake.service import Intake, UploadRequest
    from securedrop_ftp.models import Account, OverwritePolicy
    from securedrop_ftp.storage.registry import backend_for

    writer = DatabaseWriter().start()
    intake = Intake(
        replace(get_conf(), part_size=64 * KIB),
        submit=FairPool("storage", 8, 8).run,
        writer=writer,
        backend_for=backend_for,
        owner=f"races:1-aa:{number}",
    )
    account = Account.objects.select_related("user", "partner").get(user__username="alice")
    principal = replace(principal_of(account), overwrite=OverwritePolicy(policy))
    path = f"/{policy}-{size}"

    def send(thread: int) -> list[str]:
        data = f"{number} {thread} ".encode() * (size // 8)
        request = UploadRequest(
            principal, f"{number}-{thread}", "192.0.2.7", path, f"{principal.root}{path[1:]}", FTPS
        )
        ready = threading.Event()
        try:
            stream = intake.begin(request)
            stream.on_ready = ready.set
            rest = memoryview(data)
            while rest and stream.error is None:
                ready.clear()
                room = stream.buffer()
                if room is None:
                    ready.wait(5)
                    continue
                taken = min(len(room), len(rest))
                room[:taken] = rest[:taken]
                stream.filled(taken)
                rest = rest[taken:]
            receipt = stream.finish().result(60)
        except SecureDropError as exc:
            return [str(answer(exc).code)]
        finally:
            connections.close_all()
        return [receipt.key, receipt.sha256]

    barrier.wait()
    outcomes: list[list[str]] = []
    threads = [threading.Thread(target=lambda n=n: outcomes.append(send(n))) for n in range(FILES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    queue.put(outcomes)


def census(policy: str, size: int, queue: Queue[Any]) -> None:
    from securedrop_ftp.models import AuditEvent, Upload
    from securedrop_ftp.storage.registry import backend_for

    backend = backend_for("default")
    name = f"{policy}-{size}"
    objects = {
        entry.key: hashlib.sha256(backend.read(entry, 0, entry.size)).hexdigest()
        for page in backend.scandir("acme")
        for entry in page
        if entry.name.startswith(name)
    }
    rows = Upload.objects.filter(path=f"/{name}")
    events = AuditEvent.objects.filter(path__startswith=f"/{name}")
    queue.put(
        {
            "objects": objects,
            "states": dict(Counter(rows.values_list("state", flat=True))),
            "events": dict(Counter(events.values_list("event", flat=True))),
        }
    )


def main() -> None:
    django.setup()
    import securedrop_ftp.intake.service  # noqa: F401  (once, before the forks)

    fork = multiprocessing.get_context("fork")
    reports: dict[str, Any] = {}
    for policy, size in SCENARIOS:
        queue: Queue[Any] = fork.Queue()
        barrier = fork.Barrier(WORKERS)
        racers = [
            fork.Process(target=work, args=(n, policy, size, barrier, queue))
            for n in range(WORKERS)
        ]
        for racer in racers:
            racer.start()
        outcomes = [outcome for _ in racers for outcome in queue.get(timeout=100)]
        for racer in racers:
            racer.join()
        counter = fork.Process(target=census, args=(policy, size, queue))
        counter.start()
        reports[f"{policy}-{size}"] = {
            "told": dict(o for o in outcomes if len(o) == 2),
            "acknowledged": sum(len(o) == 2 for o in outcomes),
            "digests": [o[1] for o in outcomes if len(o) == 2],
            "refused": [o[0] for o in outcomes if len(o) == 1],
            **queue.get(timeout=100),
        }
        counter.join()
    print(json.dumps(reports))


if __name__ == "__main__":
    main()
