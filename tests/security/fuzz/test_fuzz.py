"""Nothing that a client writes makes the service fail, leak or stop.

3 000 commands and 300 malformed TLS records in every run; ``make test-fuzz COMMANDS=1000000`` runs
more, 25 000 records among them.
"""

from __future__ import annotations

import ftplib
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from securedrop_ftp.conf import Conf
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.fuzz.broken_tls import RecordFuzzer
from tests.security.fuzz.sessions import Fuzzer

COMMANDS = int(os.environ.get("COMMANDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

OPTIONS = {
    "max_bad_commands": 1000,  # the default ends a hostile session too soon to learn from it
    "passive_timeout": 1,
    "lockout_user_ip_limit": 1_000_000,
    "lockout_ip_limit": 1_000_000,
}

#: With a database connection: both pools of the one worker, and its database writer.
THREADS = Conf().storage_threads + Conf().account_threads + 1

MIB = 1024 * 1024


def attack(ftps: ServedFtps, commands: int, seed: int) -> Counter[str]:
    threads = 6 if commands < 10_000 else 40
    fuzzers = [Fuzzer(ftps, seed * 100 + n, commands // threads) for n in range(threads)]
    share, spoilers = max(commands // 40, 150), 4 if commands < 10_000 else 12
    breakers = [RecordFuzzer(ftps, seed * 1000 + n, share // spoilers) for n in range(spoilers)]
    everyone: list[Fuzzer | RecordFuzzer] = [*fuzzers, *breakers]
    for fuzzer in everyone:
        fuzzer.start()
    for fuzzer in everyone:
        fuzzer.join()
    wrong = [line for fuzzer in everyone for line in fuzzer.wrong]
    assert not wrong, wrong
    counts = sum((fuzzer.counts for fuzzer in everyone), Counter[str]())
    counts["commands"] = sum(fuzzer.answered for fuzzer in fuzzers)
    counts["bad records"] = sum(breaker.sent for breaker in breakers)
    return counts


def descriptors(ftps: ServedFtps) -> Counter[str]:
    """What the worker holds open, by name; sockets as one kind."""
    (worker,) = ftps.workers
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            kinds[str(link.readlink()).partition("[")[0]] += 1
    return kinds


def database_files(kinds: Counter[str]) -> int:
    """Databases, their logs, and the temporary files that their connections keep."""
    return sum(n for name, n in kinds.items() if ".sqlite3" in name or "/etilqs_" in name)


def sockets(ftps: ServedFtps) -> int:
    return descriptors(ftps)["socket:"]


def stores(ftps: ServedFtps, name: str, data: bytes, username: str) -> None:
    """An upload, tried again where this machine was too slow for the short ``passive_timeout``."""

    def attempt() -> bool:
        with ftps.login(username) as client, suppress(ftplib.error_temp, ConnectionError):
            return client.upload(name, data).startswith("226")
        return False

    wait_until(attempt, "an upload")


def settled(ftps: ServedFtps, idle: int) -> tuple[Counter[str], int]:
    """(descriptors, resident bytes) of the worker when its sessions have ended; ``idle``: the
    sockets that it has without any."""
    (worker,) = ftps.workers
    wait_until(lambda: sockets(ftps) <= idle, "the end of the sessions")
    status = Path(f"/proc/{worker}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
    return descriptors(ftps), resident


@pytest.mark.timeout(0)  # it ends with its commands
def test_no_command_and_no_record_makes_the_service_fail_or_leak(served: Serve) -> None:
    ftps = served(storage="memory", options=OPTIONS)
    workers, idle = ftps.workers, sockets(ftps)
    commands = COMMANDS or 3000
    for username in ("alice", "bob"):
        stores(ftps, "there.bin", bytes(100_000), username)
    warm_up = attack(ftps, commands // 3 if commands < 300_000 else 100_000, SEED)
    files, resident = settled(ftps, idle)
    counts = attack(ftps, commands - warm_up["commands"], SEED + 1)
    files_after, resident_after = settled(ftps, idle)
    total = warm_up + counts
    print(
        f"\n  commands {total['commands']}, malformed TLS records {total['bad records']}"
        f"\n  {dict(total)}"
        f"\n  descriptors {files.total()} → {files_after.total()}: {files_after - files}"
        f"\n  resident MiB {resident / MIB:.1f} → {resident_after / MIB:.1f}"
    )
    assert ftps.workers == workers, "a worker died"
    assert "Traceback" not in ftps.log, ftps.log[-6000:]
    # A pool thread keeps its database connection; everything else is as it was.
    assert database_files(files_after) <= 3 * THREADS + 1
    others = files_after.total() - database_files(files_after)
    assert others <= files.total() - database_files(files)
    assert resident_after <= resident + (32 if COMMANDS else 64) * MIB
    for username in ("alice", "bob"):
        stores(ftps, "after.bin", b"still here", username)
        with ftps.login(username) as client:
            assert client.reply_to("SIZE never.bin").startswith("550")
