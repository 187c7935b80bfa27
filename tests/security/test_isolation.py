"""Nobody leaves their prefix, judged from what storage was asked, not from replies.

Two partners with neighbouring prefixes (``a/`` and ``ab/``) over stores that write down every key
they are asked for: memory, the file system, and S3 (moto) with its HTTP requests. Names are
generated from what has fooled path code before (CVE-2026-30914, CVE-2024-4040, CVE-2024-39330).
The verbs run as they are, without sockets; ``make test-isolation`` takes 100 000 names.

In the long form every name meets every verb; on moto, where a request takes a hundred times as
long, a tenth of the names does (all of them took two cores two hours and a half), and the others
meet one verb of those that reach storage, in turn. In the short form a name meets some of the
verbs, on moto one.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, repeat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from securedrop_ftp import keys
from securedrop_ftp.exceptions import SecureDropError
from tests.security.quiet_session import QuietSession, verbs_with_names
from tests.security.watched_stores import SECRETS, Memory, WatchedStore, watched

NAMES = int(os.environ.get("NAMES", "0"))
EXAMPLES = NAMES or 5000
#: The long form's names are made in shares, so that more than one process can take part.
SHARES = 2 if NAMES else 1

#: Names that hypothesis makes at once: they share a store, and so meet what the others left.
BATCH = 10

ROOTS = ("a/", "ab/")

PIECES = [
    "..", ".", "/", "//", "\\", "..\\", "../", "/..", "...", "%2e%2e", "%2f", "%5c", "..%2f",
    "a", "ab", "b", "x", "\x00", "\r", "\n", "\x7f", "\x1b", "\u2024\u2024", "\uff0e\uff0e",
    "\u2215", "\uff0f", "\uff3c", "\u202e", "~", "*", "?", "[", " ", "secret", "in", ":", "C:",
    ".securedrop", "ab/secret", "/ab/secret", "../ab/secret", "a/../ab", "ſ", "é", "e\u0301",
]  # fmt: skip

names = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("/".join),
    st.text(max_size=40),
)


VERBS = verbs_with_names()
VERBS_FOR_EACH = len(VERBS) if NAMES else 4


def attack(session: QuietSession, verb: str, name: str, other: str) -> int:
    """A verb with a name; how many commands were done. RNFR and RNTO go in pairs."""
    if verb == "RNFR":
        return session.say("RNFR", name) + session.say("RNTO", other)
    if verb == "RNTO":
        return session.say("RNFR", "/secret") + session.say("RNTO", name)
    return session.say(verb, name)


#: Of an upload that S3 takes in parts; no name of a client's is in it.
MARK = re.compile(r"\.securedrop/multipart/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def judge(store: WatchedStore, root: str, attacked: object) -> None:
    for key in store.seen:
        if MARK.fullmatch(key):
            continue
        assert key == root[:-1] or key.startswith(root), (attacked, key)
        assert "\\" not in key
        assert not {"..", "."} & set(key.split("/")), (attacked, key)
    store.seen.clear()


def reaching_storage() -> list[str]:
    store = Memory()
    session = QuietSession(store.fresh(), ROOTS[0])
    found = []
    for verb in VERBS:
        store.seen.clear()
        attack(session, verb, "name", "other")
        if store.seen:
            found.append(verb)
    return found


def attack_with(
    store: WatchedStore, root: str, batch: list[str], cwd: str, turns: Iterator[list[str]]
) -> Counter[str]:
    """Each name with its turn's verbs, in one session whose working directory is ``cwd``."""
    counts: Counter[str] = Counter(names=len(batch))
    session = QuietSession(store.fresh(), root)
    fs = session.files
    store.seen.clear()
    session.say("MKD", cwd)
    session.say("CWD", cwd)
    there = fs.cwd
    for name in batch:
        for verb in next(turns):
            fs.cwd = there
            counts["done"] += attack(session, verb, name, cwd)
            counts["verbs tried"] += 1
            counts["keys asked for"] += len(store.seen)
            judge(store, root, (verb, name, cwd))
    others = {key for key in store.stored() if not key.startswith((root, ".securedrop/"))}
    assert others == {key for key in SECRETS if not key.startswith(root)}, batch
    return counts


@pytest.mark.timeout(0)  # it ends with its names, however busy the machine is
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("kind", ["memory", "filesystem", "moto"])
def test_no_name_reaches_storage_outside_the_prefix(
    kind: str, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)  # nothing here need last
    counts: Counter[str] = Counter()
    one_by_one = cycle([[verb] for verb in reaching_storage()])
    wanted = EXAMPLES // SHARES

    @seed(random.getrandbits(32))  # every share has names of its own
    @settings(
        max_examples=wanted // BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the judge names the name; to shrink it would take minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(
        batch=st.lists(names, min_size=BATCH, max_size=BATCH), cwd=names, turn=st.integers(0, 2**32)
    )
    def try_names(batch: list[str], cwd: str, turn: int) -> None:
        order = random.Random(turn).sample(VERBS, VERBS_FOR_EACH)
        one = kind == "moto" and (not NAMES or counts["names"] >= wanted // 10)
        turns = one_by_one if one else repeat(order)
        counts.update(attack_with(store, ROOTS[turn % 2], batch, cwd, turns))

    with watched(kind, tmp_path / "files") as store:
        try_names()
    print(f"\n  {kind}, share {share}, {len(VERBS)} verbs: {dict(counts)}, outside the prefix: 0")
    assert counts["names"] >= wanted
    assert counts["keys asked for"] > wanted // 10


@pytest.mark.timeout(0)
@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(name=names, cwd=names)
def test_a_path_becomes_a_key_inside_the_root_or_nothing(name: str, cwd: str) -> None:
    try:
        path = keys.resolve(keys.resolve("/", cwd), name)
        key = keys.key_for(ROOTS[0], path)
    except SecureDropError:
        return
    assert key == ROOTS[0][:-1] or key.startswith(ROOTS[0])
    assert keys.path_for(ROOTS[0], key) in (path, "/") or path == "/"
    assert keys.resolve("/", path) == path
