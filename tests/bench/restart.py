"""What clients see of a restart: ``python -m tests.bench.restart``.

Eight threads connect, log in and quit again and again while the service of two workers is stopped
and started, and while it is replaced, three times each. For each way: connections that were refused
or lost, logins, and the time from connecting to 220; how long an operator waited; and the memory
that one generation and its master take.
"""

from __future__ import annotations

import ftplib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from securedrop_ftp.project.demo.children import Child
from tests import clients
from tests.bench.service import Service, start_service
from tests.fixtures.cast import password_of
from tests.fixtures.processes import ROOT, wait_until

THREADS = 8
TIMES = 3


@dataclass
class Crowd:
    """What its threads saw."""

    service: Service
    waits: list[float] = field(default_factory=list)
    logins: int = 0
    failures: list[str] = field(default_factory=list)
    over: bool = False

    def run(self) -> None:
        """One thread."""
        context = clients.tls_context(self.service.ca)
        while not self.over:
            client = clients.FtpsClient(context=context, timeout=120)
            began = time.monotonic()
            try:
                client.connect("127.0.0.1", self.service.port)
                self.waits.append(time.monotonic() - began)
                client.login("alice", password_of("alice"))
                self.logins += 1
                client.quit()
            except (OSError, EOFError, ftplib.Error) as exc:
                self.failures.append(type(exc).__name__)
                time.sleep(0.01)
            finally:
                client.close()


def measure(what: str, service: Service, act: Callable[[], None]) -> None:
    """Act three times while the crowd is there, and print a line."""
    crowd = Crowd(service)
    threads = [threading.Thread(target=crowd.run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    took = []
    for _ in range(TIMES):
        began = time.monotonic()
        act()
        took.append(time.monotonic() - began)
        time.sleep(3)
    crowd.over = True
    for thread in threads:
        thread.join()
    waits = sorted(crowd.waits)
    print(
        f"{what:16} {crowd.logins:6} logins  {len(crowd.failures):6} failures  "
        f"220 after p50 {waits[len(waits) // 2] * 1e3:.0f} ms, max {waits[-1] * 1e3:.0f} ms; "
        f"the act took {', '.join(f'{seconds:.1f}' for seconds in took)} s",
        flush=True,
    )


def started(service: Service, child: Child) -> Child:
    """Again, with the same data."""
    name = f"{child.name}+"
    again = Child(
        name,
        [sys.executable, str(ROOT / "manage.py"), "ftps_serve"],
        env=service.environment,
        output=service.directory,
        cwd=ROOT,
    )
    ready = re.compile(r"^ready ", re.MULTILINE)
    wait_until(lambda: ready.search(again.out.read_text()) is not None, "ftps_serve", again)
    return again


def pss(pid: int) -> float:
    """MiB of a process, what it shares divided by those that share it."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0.0


def main() -> None:
    """See the module's docstring."""
    with tempfile.TemporaryDirectory() as scratch:
        service, child = start_service(Path(scratch), workers=2)
        try:
            print(f"master of the first generation: {pss(child.pid):.1f} MiB (PSS)")

            def restart() -> None:
                nonlocal child
                child.stop(60)
                child = started(service, child)

            def replace() -> None:
                command = [sys.executable, str(ROOT / "manage.py"), "ftps_replace"]
                subprocess.run(command, env=service.environment, cwd=ROOT, check=True)

            measure("stop and start", service, restart)
            measure("ftps_replace", service, replace)
            print(f"master beside a later one: {pss(child.pid):.1f} MiB (PSS)")
        finally:
            child.stop(60)


if __name__ == "__main__":
    main()
