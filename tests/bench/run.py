"""The benchmark: ours and pure-ftpd in turn, round by round, and one table of ratios.

``make bench``, or ``python -m tests.bench.run``. Both serve from tmpfs, the database included, so
that no disk is measured; client and servers share the cores. What counts is the ratio of two
runs that follow one another: absolute figures are this machine's, at this minute.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench import table
from tests.bench.load import LoadClient
from tests.bench.measures import Bench, Figure, Figures
from tests.bench.pureftpd import missing, pure_ftpd
from tests.bench.server import Server
from tests.bench.service import start_service
from tests.fixtures.cast import password_of
from tests.fixtures.processes import ROOT

WORKERS = 2
MEASURES = (
    "memory", "one_upload", "uploads", "uploads_with_digest", "one_download", "downloads",
    "small_files", "logins",
)  # fmt: skip
Pairs = dict[Figure, list[table.Pair]]


@contextmanager
def ours(directory: Path, root: Path = ROOT, *, tls13: bool = False) -> Iterator[Server]:
    """Our service from the checkout ``root``: two workers, the ledger and the audit trail on."""
    directory.mkdir()
    service, child = start_service(
        directory,
        workers=WORKERS,
        settings_module="tests.bench.settings_cheap_hash",
        root=root,
        TLS_PROFILE="modern" if tls13 else "tls12",
    )
    _allow_many_sessions(root, service.environment)
    files = directory / "storage" / "acme"
    files.mkdir(exist_ok=True)
    try:
        yield Server("ours", service.port, "alice", password_of("alice"), files, child.pid)
    finally:
        child.stop(20)


def _allow_many_sessions(root: Path, environment: dict[str, str]) -> None:
    change = "from securedrop_ftp.models import Partner; Partner.objects.update(max_sessions=1000)"
    shell = [sys.executable, str(root / "manage.py"), "shell", "--no-imports", "-c", change]
    subprocess.run(shell, env=environment, cwd=root, check=True)


def rounds(
    bench: Bench, options: argparse.Namespace, us: Server, peer: Server, digesting: Server
) -> Pairs:
    """Ours first in even rounds, the peer in odd ones."""
    pairs: Pairs = defaultdict(list)
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for name in options.only or MEASURES:
            if name == "memory" and number:
                continue  # of fresh servers only, and it hardly varies
            measure: Callable[[Server], Figures] = getattr(bench, name)
            other = digesting if name == "uploads_with_digest" else peer
            if number % 2:
                theirs, own = measure(other), measure(us)
            else:
                own, theirs = measure(us), measure(other)
            for figure, value in own.items():
                pairs[figure].append((value, theirs[figure]))
    return pairs


def arguments() -> argparse.Namespace:
    """What ``make bench ARGS=…`` may say."""
    parser = argparse.ArgumentParser(prog="tests.bench.run")
    parser.add_argument("--mib", type=int, default=int(os.environ.get("BENCH_MIB") or 512))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS") or 5))
    parser.add_argument("--only", action="append", choices=MEASURES)
    parser.add_argument(
        "--tls13", action="store_true", help="TLS 1.3 instead of 1.2, on both sides"
    )
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="another state of ours as the peer"
    )
    return parser.parse_args()


def main() -> int:
    """See the module's docstring."""
    options = arguments()
    if options.against is None and missing():
        print(f"The benchmark compares with pure-ftpd: {missing()}.", file=sys.stderr)
        return 1
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(
            prefix="bench-", dir=memory if memory.is_dir() else None
        )
        directory = Path(stack.enter_context(scratch))
        client = LoadClient(directory, tls13=options.tls13)
        bench = Bench(client, options.mib)
        us = stack.enter_context(ours(directory / "ours", tls13=options.tls13))
        certificates = directory / "ours" / "certs"
        if options.against:
            peer = digesting = stack.enter_context(
                ours(directory / "peer", options.against, tls13=options.tls13)
            )
        else:
            digesting = stack.enter_context(
                pure_ftpd(directory / "digesting", certificates, digest=True)
            )
            peer = stack.enter_context(pure_ftpd(directory / "peer", certificates))
        for server in (us, peer):
            bench.prepare(server)
        pairs = rounds(bench, options, us, peer, digesting)
    version = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    state = version.stdout.strip() or "no revision"
    print(f"\n{state}, {os.cpu_count()} cores, {options.mib} MiB, {options.rounds} rounds\n")
    print("\n".join(table.lines(pairs, str(options.against or "pure-ftpd"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
