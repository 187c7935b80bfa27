"""A process that guesses from many threads at once; run with ``python -m``.

Prints ``ready``, waits for a line, then prints one JSON object: how the attempts ended, and how
many passwords were verified against a stored hash.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--usernames", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--address", default="192.0.2.1")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()

    import django

    django.setup()

    from django.db import connection

    from securedrop_ftp.access.hashers import Argon2id
    from securedrop_ftp.access.login import log_in
    from securedrop_ftp.exceptions import LoginFailed

    verified = 0
    guard = threading.Lock()
    verify = Argon2id.verify

    def counting(self: Argon2id, password: str, encoded: str) -> Any:
        nonlocal verified
        with guard:
            verified += 1
        return verify(self, password, encoded)

    Argon2id.verify = counting  # type: ignore[method-assign]
    ended: Counter[str] = Counter()
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
        with guard:
            ended[outcome] += 1

    def connect() -> None:
        connection.ensure_connection()

    with ThreadPoolExecutor(options.threads, initializer=connect) as threads:
        print("ready", flush=True)
        sys.stdin.readline()
        list(threads.map(guess, range(options.count)))
    print(json.dumps({"verified": verified, **ended}))


if __name__ == "__main__":
    main()
