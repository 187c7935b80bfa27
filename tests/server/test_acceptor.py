"""New connections go to the worker that has the fewest."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

from tests.fixtures.served import Serve


def _sockets(pid: int) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def test_sessions_are_shared_out_between_the_workers(served: Serve) -> None:
    ftps = served(workers=2)
    before = {pid: _sockets(pid) for pid in ftps.workers}
    with ExitStack() as sessions:
        for _ in range(12):
            sessions.enter_context(ftps.login())
        shares = [_sockets(pid) - before[pid] for pid in ftps.workers]
    # Six each where the other worker is awake within the 25 ms that it is left for; the kernel's
    # own choice would be twelve and none.
    assert sum(shares) >= 12
    assert min(shares) >= 1
