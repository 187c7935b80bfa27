"""Plain threads that upload through the engine (``python -m tests.engine.feeder THREADS BYTES``).

One more thread of another partner feeds streams as an event loop does, without ever blocking; one
of the threads is interrupted in the midst of its file. Prints one JSON object: what was stored as
the writers know it, and how much memory the buffers took.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import queue
import random
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import django

MIB = 1024 * 1024
PARTS = 6 * MIB
#: The buffers of two whole parts, where 50 threads would fill one each.
BUDGET = 16 * MIB


class Interrupted(BaseException):
    """What a server raises in a thread that it gives up."""


def main() -> None:
    """See the module's docstring."""
    threads, size = int(sys.argv[1]), int(sys.argv[2])
    django.setup()

    from django.conf import settings

    settings.SECUREDROP |= {
        "PART_SIZE": PARTS,
        "MAX_PART_SIZE": PARTS,
        "UPLOAD_MEMORY": 2 * PARTS,
        "WORKER_MEMORY": BUDGET,
    }

    from securedrop_ftp import engine
    from securedrop_ftp.access.principal import Principal, principal_of
    from securedrop_ftp.ftps.answers import FTPS
    from securedrop_ftp.intake.service import UploadRequest
    from securedrop_ftp.models import Account

    ours = engine.current()
    done: dict[str, str] = {}

    def principal(username: str) -> Principal:
        accounts = Account.objects.select_related("user", "partner")
        return principal_of(accounts.get(user__username=username))

    alice, bob = principal("alice"), principal("bob")

    def request(who: Principal, path: str) -> UploadRequest:
        return UploadRequest(who, path, "192.0.2.7", path, f"{who.root}{path[1:]}", FTPS)

    def feed(number: int) -> None:
        chance = random.Random(number)
        digest = hashlib.sha256()
        left = size
        with ours.open_upload(request(alice, f"/{number}")) as upload:
            while left:
                chunk = chance.randbytes(min(left, chance.randrange(1, 200_000)))
                digest.update(chunk)
                upload.write(chunk)
                left -= len(chunk)
            receipt = upload.commit()
        assert receipt.sha256 == digest.hexdigest()
        done[f"{alice.root}{number}"] = receipt.sha256

    started = threading.Event()

    def feed_until_interrupted() -> None:
        with suppress(Interrupted), ours.open_upload(request(alice, "/cut")) as upload:
            while True:
                upload.write(b"x" * 100_000)
                started.set()
                time.sleep(0.001)

    def loop_feed(path: str) -> None:
        stream = ours.intake.begin(request(bob, path))
        woken: queue.Queue[None] = queue.Queue()
        stream.on_ready = lambda: woken.put(None)
        data = memoryview(random.Random(path).randbytes(size))
        digest = hashlib.sha256(data).hexdigest()
        while data:
            room = stream.buffer()
            if room is None:
                assert stream.error is None, stream.error
                woken.get(timeout=60)
                continue
            count = min(len(room), len(data), 65_536)
            room[:count] = data[:count]
            stream.filled(count)
            data = data[count:]
        assert stream.finish().result(60).sha256 == digest
        done[f"{bob.root}{path[1:]}"] = digest

    peak = 0
    over = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(0.0005):
            peak = max(peak, ours.intake.budget.used)

    sampler = threading.Thread(target=sample)
    sampler.start()
    cut = threading.Thread(target=feed_until_interrupted)
    cut.start()
    feeders = [threading.Thread(target=feed, args=(n,)) for n in range(threads)]
    for thread in feeders:
        thread.start()
    for number in range(3):
        loop_feed(f"/{number}")
    ahead = sum(key.startswith(alice.root) for key in done)
    started.wait(60)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(cut.ident or 0), ctypes.py_object(Interrupted)
    )
    for thread in (*feeders, cut):
        thread.join()
    over.set()
    sampler.join()
    report: dict[str, Any] = {"done": done, "peak": peak, "ahead": ahead}
    report["held"], report["live"] = ours.intake.budget.used, ours.intake.live
    print(json.dumps(report))


if __name__ == "__main__":
    main()
