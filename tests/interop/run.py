"""``make test-clients``: every client of the catalogue, on both TLS profiles, strict and let off.

``--only`` picks clients by a part of their names, ``--step`` steps by a part of theirs. Results are
kept in the cache, step by step; ``--write`` puts what is kept into docs/reference.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fixtures.served import ServedFtps
from tests.interop.catalogue import CATALOGUE
from tests.interop.client import Client, Where
from tests.interop.kits import NotInstalled, kit
from tests.interop.service import POLICIES, PROFILES, service
from tests.interop.table import Result, Results
from tests.interop.trial import BIG, Trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="clients, by parts of their names, with commas")
    parser.add_argument("--step", default="", help="steps, by a part of their names")
    parser.add_argument("--profile", choices=PROFILES, action="append")
    parser.add_argument("--policy", choices=POLICIES, action="append")
    parser.add_argument("--big", type=int, default=BIG, help="bytes of the largest file; 0: none")
    parser.add_argument("--uploads", type=int, default=0, help="of one more step with so many")
    parser.add_argument("--jobs", type=int, default=2, help="clients at a time")
    parser.add_argument("--write", action="store_true", help="write the docs' table")
    options = parser.parse_args()
    results = Results.load()
    chosen = chosen_clients(options.only)
    for profile in options.profile or PROFILES:
        with service(profile) as ftps, ThreadPoolExecutor(options.jobs) as pool:

            def one(client: Client, ftps: ServedFtps = ftps, profile: str = profile) -> None:
                try:
                    trials(client, ftps, profile, options, results)
                except NotInstalled as exc:
                    print(f"{client.name}: not tried: {exc}", flush=True)
                    results.missing(client.name, str(exc))
                results.save()

            list(pool.map(one, chosen))
    print("\n" + results.table([client.name for client in chosen]))
    if options.write:
        results.write()
    return 0


def chosen_clients(only: str) -> list[Client]:
    parts = [part.strip().lower() for part in only.split(",") if part.strip()]
    return [c for c in CATALOGUE if not parts or any(part in c.name.lower() for part in parts)]


def trials(
    client: Client,
    ftps: ServedFtps,
    profile: str,
    options: argparse.Namespace,
    results: Results,
) -> None:
    """One client with each policy."""
    installed = kit(client.kit)
    with tempfile.TemporaryDirectory(prefix="securedrop-client-") as scratch:
        for policy in options.policy or POLICIES:
            home = Path(scratch) / policy.replace(" ", "-") / slug(client.name)
            home.mkdir(parents=True)
            where = Where(ftps, POLICIES[policy], home, installed)
            trial = Trial(client, where, big=options.big, uploads=options.uploads)
            version = trial.version()
            outcomes = trial.run(options.step)
            results.put(client.name, version, f"{profile}, {policy}", outcomes)
            result = Result(outcomes)
            print(f"{client.name} | {profile}, {policy} | {result.cell}", flush=True)
            for outcome in result.failed:
                print(f"    {outcome.step}: {outcome.said}", flush=True)


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
