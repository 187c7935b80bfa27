"""Renames, uploads and deletions that meet at a name, with copies that take their time.

``RACES=1000`` in ``make test-faults``. What each client was told must fit what storage holds then:
a file that was acknowledged is there, under its name or the one that it was renamed to, unless an
upload that was acknowledged later replaced it, or a deletion that was acknowledged took it.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps

RACES = int(os.environ.get("RACES", "0"))
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.fixtures.slow_copies_settings"}


def at_once(*acts: Callable[[], str]) -> list[str]:
    """What each was told."""
    told = [""] * len(acts)

    def run(number: int) -> None:
        time.sleep(random.uniform(0, 0.3) * number)
        told[number] = acts[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return told


def there(ftps: ServedFtps, name: str) -> bytes | None:
    try:
        return ftps.stored(f"acme/{name}")
    except KeyError:
        return None


def renamed(client: FtpsClient, source: str, target: str) -> str:
    reply = client.reply_to(f"RNFR {source}")
    return client.reply_to(f"RNTO {target}") if reply.startswith("350") else reply


def judge(act: str, told: list[str], old: bytes, new: bytes, at: list[bytes | None]) -> bool:
    """Whether storage (source, target) fits what the rename and the other act were told."""
    moved, done = told[0].startswith("250"), told[1].startswith("2")
    match act, moved, done:
        case "store the source", _, True:
            return at in ([new, old], [None, new]) if moved else at == [new, None]
        case "store the target", True, True:
            return False  # the policy keeps what was there first
        case "store the target", False, True:
            return at == [old, new]
        case "delete the source", True, True:
            return False
        case "delete the source", False, True:
            return at == [None, None]
    return at == ([None, old] if moved else [old, None])


@pytest.mark.timeout(0)  # it ends with its races
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_acknowledged_file_is_lost_in_a_race(served: Serve, database: str) -> None:
    ftps = served(database, "s3", workers=2, env=SETTINGS)
    counts: Counter[str] = Counter()
    for policy, acts in (
        ("replace", ("store the source", "delete the source")),
        ("reject", ("store the target", "delete the source")),
    ):
        ftps.manage("partner_set", "acme", "--overwrite", policy)
        with ftps.login() as one, ftps.login() as other:
            for number in range((RACES or 40) // 4):
                race(ftps, one, other, f"{policy}-{number}", random.choice(acts), counts)
    print(f"\n  {database}: {dict(counts)}")
    assert counts["wrong"] == 0
    assert len(counts) > 3


def race(
    ftps: ServedFtps, one: FtpsClient, other: FtpsClient, name: str, act: str, counts: Counter[str]
) -> None:
    source, target = f"x-{name}", f"y-{name}"
    old, new = f"old of {name}".encode(), f"new of {name}".encode()
    assert one.try_to_store(f"STOR {source}", old).startswith("226")
    others = {
        "store the source": lambda: one.try_to_store(f"STOR {source}", new),
        "store the target": lambda: one.try_to_store(f"STOR {target}", new),
        "delete the source": lambda: one.reply_to(f"DELE {source}"),
    }
    told = at_once(lambda: renamed(other, source, target), others[act])
    at = [there(ftps, source), there(ftps, target)]
    counts[f"{act}: {told[0][:3]} {told[1][:3]}"] += 1
    if not judge(act, told, old, new, at):
        counts["wrong"] += 1
        print(f"  wrong: {act}: {told}, source and target: {at}")
