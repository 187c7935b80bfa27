"""Processes that guess from many threads at once; run with ``python -m``.

Forks like the service does, lets all begin together, and prints one JSON object: how the attempts
ended, how many passwords were verified against a stored hash, and the audit rows of all logins.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--usernames", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--address", default="192.0.2.1")
    parser.add_argument("--count", type=int, default=50, help="of each process")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()

    import django

    django.setup()

    import securedrop_ftp.access.login  # noqa: F401  (once, before the fork)

    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(options.processes)
    queue: Queue[Counter[str]] = fork.Queue()
    children = [
        fork.Process(target=_guess, args=(options, barrier, queue))
        for _ in range(options.processes)
    ]
    for child in children:
        child.start()
    total: Counter[str] = Counter()
    for _ in children:
        total.update(queue.get(timeout=100))
    for child in children:
        child.join()
    from securedrop_ftp.models import AuditEvent

    rows = AuditEvent.objects.filter(event__startswith="login.").values_list("event", flat=True)
    print(json.dumps({"ended": total, "rows": Counter(rows)}))


def _guess(options: argparse.Namespace, barrier: Barrier, queue: Queue[Counter[str]]) -> None:
    from django.db import connection

    from securedrop_ftp.access import lockout
    from securedrop_ftp.access.hashers import Argon2id
    from securedrop_ftp.access.login import log_in
    from securedrop_ftp.exceptions import AccessUnavailable, LoginFailed

    ended: Counter[str] = Counter()
    guard = threading.Lock()
    verify = Argon2id.verify

    def counting(self: Argon2id, password: str, encoded: str) -> bool:
        with guard:
            ended["verified"] += 1
        return verify(self, password, encoded)

    Argon2id.verify = counting  # type: ignore[method-assign]
    lockout.PATIENCE = 90  # a crowd on a slow machine; how long it takes is not what is asked
    names = options.usernames.split(",")

    def guess(number: int) -> None:
        try:
            log_in(
                names[number % len(names)],
                options.password,
                remote_ip=options.address,
                session=f"s{number}",
            )
            outcome = "in"
        except LoginFailed as exc:
            outcome = exc.reason
        except AccessUnavailable:
            outcome = "unavailable"
        with guard:
            ended[outcome] += 1

    def connect() -> None:
        connection.ensure_connection()

    with ThreadPoolExecutor(options.threads, initializer=connect) as threads:
        barrier.wait(60)
        list(threads.map(guess, range(options.count)))
    queue.put(ended)


if __name__ == "__main__":
    main()
