"""``make test-mends``: take each mend out of a copy of the tree; its tests must fail then.

``python -m tests.security.mends.run [ROW …]`` tries some: a row's number, or a part of an attack or
of an advisory's name. A test counts as failed when pytest ends with 1 because the test itself
failed; a server that does not start, or a module that cannot be imported, proves nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.processes import ROOT
from tests.security.mends import Mend, StaleError
from tests.security.mends.table import MENDS

#: Seconds for one test; most attacks on an open door end in a client's time-out.
LIMIT = 420

#: Failures that come of a broken cut, or of a machine too busy to start a server.
BROKEN = re.compile(
    r"^E .*(SyntaxError|ImportError|ModuleNotFound|from pytest-timeout|ftps_serve (ended|was))",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Result:
    """What one test did without its mend (or with it, for the baseline)."""

    mend: Mend
    test: str
    verdict: str
    told: str

    @property
    def ok(self) -> bool:
        return self.verdict.islower()

    def __str__(self) -> str:
        test = self.test.removeprefix("tests/")
        return f"{self.mend.of:>4}  {self.mend.attack:<58.58}  {test}  {self.verdict}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="all, if none is named")
    parser.add_argument("--baseline", action="store_true", help="also run each test with its mend")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree at work at once")
    parser.add_argument("--verbose", action="store_true", help="show why each test failed")
    options = parser.parse_args()
    chosen = [mend for mend in MENDS if not options.rows or named(mend, options.rows)]
    if not chosen:
        parser.error(f"no mend is called {' or '.join(options.rows)}")
    results: list[Result] = []
    with ThreadPoolExecutor(options.jobs) as pool, copies(options.jobs) as trees:
        for done in pool.map(lambda mend: tried(mend, trees, options.baseline), chosen):
            for result in done:
                results.append(result)
                print(result, flush=True)
                if options.verbose or not result.ok:
                    print(f"      {result.told}", flush=True)
    print()
    for mend in chosen:
        verdicts = Counter(result.verdict for result in results if result.mend is mend)
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        print(f"{mend.of}: {mend.attack}: {told}")
    bad = sum(not result.ok for result in results)
    print(f"\n{len(results)} tests of {len(chosen)} mends; {bad} not as they should be.")
    return 1 if bad else 0


def named(mend: Mend, rows: list[str]) -> bool:
    """Whether a row's number, or a part of the attack or of an advisory's name, is meant."""
    words = f"{mend.of}: {mend.attack}".lower()
    return any(mend.of == r if r.isdigit() else r.lower() in words for r in rows)


@contextmanager
def copies(count: int) -> Iterator[queue.Queue[Path]]:
    """Copies of what git knows of this tree, new files included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory(prefix="securedrop-mends-") as scratch:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(count):
            tree = Path(scratch) / str(number)
            for name in filter(None, listed.stdout.split("\0")):
                if (ROOT / name).is_file():
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, tree / name)
            trees.put(tree)
        yield trees


def tried(mend: Mend, trees: queue.Queue[Path], baseline: bool) -> list[Result]:
    """Run the mend's tests in a copy, without it."""
    tree = trees.get()
    try:
        results = [with_it(mend, test, tree) for test in mend.tests] if baseline else []
        with taken_out(mend, tree):
            return results + [without_it(mend, test, tree) for test in mend.tests]
    finally:
        trees.put(tree)


@contextmanager
def taken_out(mend: Mend, tree: Path) -> Iterator[None]:
    """Make the mend's cuts in the copy, and undo them."""
    try:
        texts = mend.made_in(tree)
    except StaleError as exc:
        raise SystemExit(f"{mend.of}: {exc}") from exc
    before = {path: (tree / path).read_text() for path in texts}
    try:
        for path, text in texts.items():
            write(tree / path, text)
        yield
    finally:
        for path, text in before.items():
            write(tree / path, text)


def write(path: Path, text: str) -> None:
    path.write_text(text)
    # A change within the second and of the same length would not be noticed.
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)


def without_it(mend: Mend, test: str, tree: Path) -> Result:
    code, told = run(test, tree)
    if code == 1 and told.startswith("failed"):
        return Result(mend, test, "fails without its mend", told)
    return Result(mend, test, "PROVES NOTHING" if code else "STILL PASSES", told)


def with_it(mend: Mend, test: str, tree: Path) -> Result:
    code, told = run(test, tree)
    return Result(mend, test, "FAILS WITH ITS MEND" if code else "passes with its mend", told)


def run(test: str, tree: Path) -> tuple[int, str]:
    """pytest's exit status and, in a line, what came of the test."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--import-mode=importlib", test]
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("SECUREDROP_", "COV"))}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end in {LIMIT} seconds"
    summary = (done.stdout.strip().splitlines() or [""])[-1]
    why = next((text for text in done.stdout.splitlines() if text.startswith("E  ")), "")
    if BROKEN.search(done.stdout):
        return done.returncode, f"broken: {why}"
    if re.search(r"\d+ failed", summary):
        return done.returncode, f"failed: {why[1:].strip()}"
    return done.returncode, f"{'ended' if done.returncode else 'passed'}: {summary}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
