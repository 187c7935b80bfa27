"""Processes that emit events at once, some twice and some in transactions that are rolled back;
run with ``python -m``. Prints one JSON object: rows that there should be, rows that there are, and
what the chain's verification says."""

from __future__ import annotations

import json
import multiprocessing
import sys
from multiprocessing.synchronize import Barrier


def main() -> None:
    """See the module's docstring."""
    processes, count = int(sys.argv[1]), int(sys.argv[2])

    import django

    django.setup()

    from django.db import connection

    from securedrop_ftp.audit.chain import verify
    from securedrop_ftp.models import AuditEvent

    before = AuditEvent.objects.count()
    connection.close()  # no connection crosses the fork
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(processes)
    children = [fork.Process(target=_emit, args=(barrier, count)) for _ in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    rows = AuditEvent.objects.order_by("seq").values_list("seq", "event")
    answer = {
        "expected": before + processes * count,
        "seqs": [seq for seq, _ in rows],
        "rolled_back": [seq for seq, event in rows if event == "session.closed"],
        "broken": verify().broken,
    }
    print(json.dumps(answer))


def _emit(barrier: Barrier, count: int) -> None:
    from django.db import connection, transaction

    from securedrop_ftp.events import Event
    from securedrop_ftp.signals import emit

    connection.ensure_connection()
    barrier.wait(60)
    for number in range(count):
        event = Event("session.opened", account=f"n{number}")
        emit(event)
        if number % 5 == 0:
            emit(event)
        if number % 7 == 0:
            try:
                with transaction.atomic():
                    emit(event.but(name="session.closed"))
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass


if __name__ == "__main__":
    main()
