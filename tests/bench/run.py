"""The benchmark: ours and its peers in turn, round by round; for each peer a table of ratios.

``make bench``, or ``python -m tests.bench.run``. The peers are Debian's pure-ftpd and proftpd. All
serve from tmpfs, the database included, so that no disk is measured; client and servers share the
cores. What counts is the ratio of two runs that follow one another: absolute figures are this
machine's, at this minute.

``make bench-against REV=…`` (``--against``) compares with another revision of ours: both run side
by side, in short rounds in turn. CPU times are of all processes of a service, so their ratio also
holds on a machine that does other things meanwhile.
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
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import table
from tests.bench.load import LoadClient
from tests.bench.measures import Bench, Figure, Figures
from tests.bench.proftpd import missing as proftpd_missing
from tests.bench.proftpd import proftpd
from tests.bench.pureftpd import missing, pure_ftpd
from tests.bench.server import Server
from tests.bench.service import start_service
from tests.fixtures.cast import password_of
from tests.fixtures.processes import ROOT

WORKERS = 2
MEASURES = (
    "memory", "one_upload", "uploads", "uploads_with_digest", "one_download", "downloads",
    "small_files", "listings", "logins",
)  # fmt: skip
Pairs = dict[Figure, list[table.Pair]]
#: How a measure fails: the load client's or the server's error, or no end in time.
FAILS = (RuntimeError, OSError, ValueError, ZeroDivisionError, subprocess.SubprocessError)


@contextmanager
def ours(
    directory: Path, root: Path = ROOT, *, tls13: bool = False, name: str = "ours"
) -> Iterator[Server]:
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
        yield Server(name, service.port, "alice", password_of("alice"), files, child.pid)
    finally:
        child.stop(20)


def _allow_many_sessions(root: Path, environment: dict[str, str]) -> None:
    change = "from securedrop_ftp.models import Partner; Partner.objects.update(max_sessions=1000)"
    shell = [sys.executable, str(root / "manage.py"), "shell", "--no-imports", "-c", change]
    subprocess.run(shell, env=environment, cwd=root, check=True)


@dataclass
class Outcome:
    """``pairs`` of each peer's name; ``failures`` in a line each.

    A measure that fails costs its own figures of that round and no others.
    """

    pairs: dict[str, Pairs] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    failures: list[str] = field(default_factory=list)

    def figures(self, name: str, bench: Bench, server: Server) -> Figures:
        """One measure of one server; none where it failed."""
        measure: Callable[[Server], Figures] = getattr(bench, name)
        try:
            return measure(server)
        except FAILS as exc:
            self.failures.append(f"{name} of {server.name}: {exc}")
            print(self.failures[-1], file=sys.stderr)
            return {}


def rounds(
    bench: Bench, options: argparse.Namespace, us: Server, peers: list[Server], digesting: Server
) -> Outcome:
    """Ours first in even rounds, last in odd ones."""
    outcome = Outcome()
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for name in options.only or MEASURES:
            if name == "memory" and number:
                continue  # of fresh servers only, and it hardly varies
            others = [digesting] if name == "uploads_with_digest" else peers
            in_turn = [us, *others] if number % 2 == 0 else [*others, us]
            figures = {id(server): outcome.figures(name, bench, server) for server in in_turn}
            for other in others:
                peer = peers[0].name if other is digesting else other.name
                for figure, value in figures[id(us)].items():
                    if figure in figures[id(other)]:
                        outcome.pairs[peer][figure].append((value, figures[id(other)][figure]))
    return outcome


def arguments() -> argparse.Namespace:
    """What ``make bench ARGS=…`` may say."""
    parser = argparse.ArgumentParser(prog="tests.bench.run")
    parser.add_argument("--mib", type=int, default=int(os.environ.get("BENCH_MIB") or 512))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS") or 5))
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of small files, listings and logins, a round"
    )
    parser.add_argument("--only", action="append", choices=MEASURES)
    parser.add_argument(
        "--tls13", action="store_true", help="TLS 1.3 instead of 1.2, on both sides"
    )
    parser.add_argument(
        "--against", metavar="STATE", help="a revision or a checkout of ours as the only peer"
    )
    return parser.parse_args()


def state_of_ours(stack: ExitStack, state: str) -> Path:
    """The checkout ``state``, or a checkout of the revision that it names; it is removed with
    ``stack``. Both revisions run in the environment of this one.

    Raises:
        subprocess.CalledProcessError: neither a directory nor a revision.
    """
    if Path(state).is_dir():
        return Path(state).resolve()
    found = ["git", "rev-parse", "--verify", f"{state}^{{commit}}"]
    revision = subprocess.run(found, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-revision-")))
    subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, root], check=True)
    checkout = ["git", "checkout", "--quiet", "--detach", revision.strip()]
    subprocess.run(checkout, cwd=root, check=True)
    return root


def peers_of(
    stack: ExitStack, options: argparse.Namespace, directory: Path, certificates: Path
) -> tuple[list[Server], Server]:
    """The peers in the order of the tables, and the one that takes digests."""
    if options.against:
        root = state_of_ours(stack, options.against)
        other = stack.enter_context(
            ours(directory / "peer", root, tls13=options.tls13, name=options.against)
        )
        return [other], other
    digesting = stack.enter_context(pure_ftpd(directory / "digesting", certificates, digest=True))
    first = stack.enter_context(pure_ftpd(directory / "pure-ftpd", certificates))
    return [first, stack.enter_context(proftpd(directory / "proftpd", certificates))], digesting


def main() -> int:
    """See the module's docstring. Exit 1 if a measure failed; the others' figures stand."""
    options = arguments()
    trouble = "" if options.against else missing() or proftpd_missing()
    if trouble:
        print(f"The benchmark compares with pure-ftpd and proftpd: {trouble}.", file=sys.stderr)
        return 1
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(
            prefix="bench-", dir=memory if memory.is_dir() else None
        )
        directory = Path(stack.enter_context(scratch))
        client = LoadClient(directory, tls13=options.tls13)
        bench = Bench(client, options.mib, options.seconds)
        us = stack.enter_context(ours(directory / "ours", tls13=options.tls13))
        peers, digesting = peers_of(stack, options, directory, directory / "ours" / "certs")
        for server in (us, *peers):
            bench.prepare(server)
        outcome = rounds(bench, options, us, peers, digesting)
    version = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    state = version.stdout.strip() or "no revision"
    print(f"\n{state}, {os.cpu_count()} cores, {options.mib} MiB, {options.rounds} rounds")
    for peer in peers:
        rows = table.lines(outcome.pairs[peer.name], peer.name, ourselves=bool(options.against))
        print("\n" + "\n".join(rows))
    for failure in outcome.failures:
        print(f"\nfailed: {failure}")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
