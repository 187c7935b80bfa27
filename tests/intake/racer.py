"""A worker process of its own for race tests: ``racer POLICY ACCOUNT NUMBER SIZE COUNT``.

Says ``ready``, waits for a line, sends ``COUNT`` files to one name at once with a real pool and a
real writer, and prints for each ``path sha256``, or the code of the refusal.
"""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace

import django


def main() -> None:
    django.setup()
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    from django.db import connections

    from securedrop_ftp.access.principal import principal_of
    from securedrop_ftp.conf import KIB, get_conf
    from securedrop_ftp.db import DatabaseWriter
    from securedrop_ftp.exceptions import SecureDropError
    from securedrop_ftp.intake.service import Intake, UploadRequest
    from securedrop_ftp.models import Account, OverwritePolicy
    from securedrop_ftp.server.pools import FairPool
    from securedrop_ftp.storage.registry import backend_for

    policy, username, number, size, count = sys.argv[1:]
    pool = FairPool("storage", 8, 8)
    writer = DatabaseWriter().start()
    intake = Intake(
        replace(get_conf(), part_size=64 * KIB),
        submit=pool.run,
        writer=writer,
        backend_for=backend_for,
        owner=f"races:1-aa:{number}",
    )
    account = Account.objects.select_related("user", "partner").get(user__username=username)
    principal = replace(principal_of(account), overwrite=OverwritePolicy(policy))
    connections.close_all()

    def send(thread: int) -> str:
        data = f"{number} {thread} ".encode() * (int(size) // 8)
        request = UploadRequest(
            principal, f"{number}-{thread}", "192.0.2.7", "/a.txt", f"{principal.root}a.txt"
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
            return str(exc.reply.code)
        finally:
            connections.close_all()
        return f"{receipt.path}\t{receipt.sha256}"

    print("ready", flush=True)
    sys.stdin.readline()
    outcomes: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: outcomes.append(send(n))) for n in range(int(count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    print("\n".join(outcomes))


if __name__ == "__main__":
    main()
