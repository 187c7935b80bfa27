"""``make test-storage``: the contract suite on every storage server, and one table of it.

``python -m tests.storage.real.run [SERVER …]`` runs on some; ``--figures`` measures listing,
looking, reading and renaming instead (docs/explanation/storage.md).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.storage.real.servers import SERVERS, NotInstalled

CONTRACT = (
    "tests/storage/test_contract_writing.py",
    "tests/storage/test_contract_reading.py",
    "tests/storage/test_contract_changing.py",
    "tests/storage/test_confined.py",
)
OF_S3 = ("tests/storage/test_s3.py", "tests/storage/test_s3_proof.py")
ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Row:
    """One server's results."""

    server: str
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    @property
    def green(self) -> bool:
        return not self.problem and self.failed == 0 and self.passed > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", nargs="*", choices=[*SERVERS, []], help="all, if none is named")
    parser.add_argument("--figures", action="store_true", help="measure instead of testing")
    parser.add_argument("--entries", type=int, nargs="+", default=[10, 1000, 10_000])
    options = parser.parse_args()
    if options.figures:
        from tests.storage.real.figures import measure

        return measure(options.server or ["filesystem", "ceph"], options.entries)
    rows = [test(name) for name in options.server or SERVERS]
    report(rows)
    return 0 if all(row.green for row in rows) else 1


def test(name: str) -> Row:
    row = Row(name)
    print(f"--- {name}", flush=True)
    begun = time.monotonic()
    try:
        with SERVERS[name].running() as address:
            run_suite(name, address, row)
    except NotInstalled as exc:
        row.problem = f"not installed: {exc}"
    except Exception as exc:
        row.problem = f"{type(exc).__name__}: {exc}"
    row.seconds = time.monotonic() - begun
    return row


def run_suite(name: str, address: str, row: Row) -> None:
    files = CONTRACT + (OF_S3 if name in ("moto", "ceph", "swift") else ())
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results.xml")
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
        subprocess.run(
            [*command, f"--junitxml={results}", *files],
            env={**os.environ, "TEST_STORAGES": name, "TEST_SERVER": address},
            cwd=ROOT,
            check=False,
        )
        for case in ElementTree.parse(results).iter("testcase"):
            skip = case.find("skipped")
            if skip is not None:
                row.skipped.append(skip.get("message", ""))
            elif case.find("failure") is not None or case.find("error") is not None:
                row.failed += 1
            else:
                row.passed += 1


def report(rows: list[Row]) -> None:
    width = max(len(SERVERS[row.server].about) for row in rows)
    print(f"\n{'server':<{width}}  result  passed  failed  skipped  seconds")
    for row in rows:
        about = SERVERS[row.server].about
        result = "green" if row.green else "RED"
        counts = f"{row.passed:>6}  {row.failed:>6}  {len(row.skipped):>7}  {row.seconds:>7.0f}"
        print(f"{about:<{width}}  {result:<6}  {counts}")
    for row in rows:
        for reason in sorted({*row.skipped, row.problem} - {""}):
            print(f"  {row.server}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
