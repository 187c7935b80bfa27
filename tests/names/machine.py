"""The machine: acts of three sessions at random, each judged by the worlds that it leaves.

Every sequence has a directory of its own, below one of nine partners: each mode that stores, under
each policy. Sessions stay from one sequence to the next, on two workers.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.names.acts import Session, sha256_of
from tests.names.model import (
    Act,
    Begin,
    Delete,
    End,
    Listed,
    Look,
    Lost,
    Make,
    Remove,
    RenameFrom,
    RenameTo,
    World,
    after,
    later,
    length_told,
)
from tests.names.service import MODES, POLICIES, Service

NAMES: Final = ("a.bin", "b.bin", "d/a.bin", "d/c.bin")
DIRS: Final = ("d", "e")
#: The steps of an upload, a rename and a deletion at which a process is killed.
UPLOAD_STEPS: Final = (
    "admitted.before", "admitted.after", "publishing.before", "publishing.after", "commit.after",
    "committed.after",
)  # fmt: skip
RENAME_STEPS: Final = ("rename.claimed", "rename.moving", "rename.done", "rename.told")
COPY_STEPS: Final = ("rename.copied", "rename.recorded")
DELETE_STEPS: Final = ("delete.claimed", "delete.moving", "delete.done", "delete.told")
FAULTS: Final = ("refused", "unknown", "unknown-done")

sessions = st.integers(0, 2)
names = st.sampled_from(NAMES)
anything = st.sampled_from((*NAMES, *DIRS))
shares = st.floats(0, 1, width=16)
kinds = st.sampled_from(("store", "rename", "delete", "rename"))
looks = st.sampled_from(("SIZE", "MDTM", "MLST", "HASH", "RETR"))

#: What to do, with which name, and for a rename to which.
Wanted = tuple[str, str, str]


class Machine(RuleBasedStateMachine):
    """``service``: set on a subclass. ``counts``: what was done, over all sequences."""

    service: Service
    counts: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.worlds: list[World] = []
        self.story: list[str] = []
        self.partner = ""
        self.folder = ""
        self._lengths = 0
        self._kills = self._fails = self._failed = False

    # --- the beginning and the end -------------------------------------------------------

    @initialize(
        mode=st.sampled_from(MODES),
        policy=st.sampled_from(POLICIES),
        kills=shares,
        fails=shares,
    )
    def begin(self, mode: Any, policy: Any, kills: float, fails: float) -> None:
        self._kills = kills < self.service.killed_share
        self._fails = fails < self.service.failing_share
        self.partner = f"{policy}-{mode}"
        self.folder = self.service.folder(self.partner)
        self.worlds = [World(mode, policy)]
        self.counts["sequences"] += 1
        self.act(Make(0, self._by(0), "d"))

    def teardown(self) -> None:
        if not self.worlds or self._failed:
            return
        for number in range(3):
            if any(number in world.runs for world in self.worlds):
                self.act(End(number, self._by(number), "cut"))
        self.counts["on two workers"] += self.service.is_on_two_workers(self.partner)
        self.service.settle(0)
        self.observe()
        self._agrees_with_the_ledger()

    # --- one act after the other ---------------------------------------------------------

    @rule(number=sessions, path=names)
    def store(self, number: int, path: str) -> None:
        if self._is_free(number) and self._alone(number, path):
            told = self.act(self._begin(number, path))
            if told is not None and told.startswith("150"):
                self.act(End(number, self._by(number)))

    @rule(number=sessions, path=names, verb=st.sampled_from(("STOR", "STOR", "APPE")))
    def begin_to_store(self, number: int, path: str, verb: str) -> None:
        if self._is_free(number):
            if verb == "APPE" and not self._finished_for_sure(path):
                verb = "STOR"
            self.act(replace(self._begin(number, path), verb=verb))

    @rule(number=sessions, how=st.sampled_from(("clean", "clean", "clean", "cut", "abor", "lost")))
    def end(self, number: int, how: str) -> None:
        if self._is_free(number):
            return
        self.act(End(number, self._by(number), how))
        if how == "lost":
            self.service.settle(self._running())

    @rule(number=sessions, path=names, append=st.booleans(), short=st.booleans())
    def resume(self, number: int, path: str, append: bool, short: bool) -> None:
        by = self._by(number)
        if not self._is_free(number) or not self._alone(number, path):
            return
        if not any(world.cuts_of(by, path) for world in self.worlds):
            return
        told = self.act(Look(number, by, "SIZE", path)) or ""
        offset = length_told("SIZE", told) if told.startswith("213") else None
        if not offset:
            return
        verb = "APPE" if append else "STOR"
        begin = replace(self._begin(number, path), offset=offset, verb=verb)
        told = self.act(replace(begin, length=max(begin.length, offset + 1))) or ""
        if told.startswith("150"):
            self.act(End(number, by, "cut" if short else "clean"))

    @rule(number=sessions, path=names)
    def send_again(self, number: int, path: str) -> None:
        """What got no answer is answered now, and is not stored twice."""
        by = self._by(number)
        lengths = {
            file.length
            for world in self.worlds
            for file in world.files.values()
            if file.unconfirmed and (file.by, file.named) == (by, path)
        }
        if lengths and self._is_free(number) and self._alone(number, path):
            begin = replace(self._begin(number, path), length=max(lengths))
            told = self.act(begin)
            if told is not None and told.startswith("150"):
                self.counts["sent again"] += 1
                self.act(End(number, by))

    @rule(number=sessions, verb=looks, path=anything)
    def look(self, number: int, verb: str, path: str) -> None:
        if self._is_free(number) and self._alone(number, path):
            self.act(Look(number, self._by(number), verb, path))

    @rule(number=sessions, path=st.sampled_from(("", *DIRS)))
    def list_names(self, number: int, path: str) -> None:
        if self._is_free(number):
            self.act(Listed(number, self._by(number), path))

    @rule(number=sessions, path=anything)
    def delete(self, number: int, path: str) -> None:
        if self._is_free(number) and self._alone(number, path):
            self.act(Delete(number, self._by(number), path))

    @rule(number=sessions, source=anything, to=anything)
    def rename(self, number: int, source: str, to: str) -> None:
        if self._is_free(number):
            told = self.act(RenameFrom(number, self._by(number), source))
            if told is not None and told.startswith("350"):
                self.act(RenameTo(number, self._by(number), to))

    @rule(number=sessions, path=st.sampled_from((*DIRS, "a.bin")))
    def make_directory(self, number: int, path: str) -> None:
        if self._is_free(number):
            self.act(Make(number, self._by(number), path))

    @rule(number=sessions, path=st.sampled_from(DIRS))
    def remove_directory(self, number: int, path: str) -> None:
        if self._is_free(number):
            self.act(Remove(number, self._by(number), path))

    @rule()
    def time_goes_by(self) -> None:
        """An hour, and the next time a day."""
        prefix = f"{self.partner}{self.folder}/"
        self.service.age(prefix)
        self.story.append("time goes by")
        self.worlds = [later(world) for world in self.worlds]

    # --- two at once ---------------------------------------------------------------------

    @rule(
        pair=st.sampled_from(((0, 1), (1, 2), (0, 2))),
        one=st.tuples(kinds, names, names),
        other=st.tuples(kinds, names, names),
    )
    def race(self, pair: tuple[int, int], one: Wanted, other: Wanted) -> None:
        if self.service.races and all(self._is_free(number) for number in pair):
            self._at_once([self._acts(pair[0], one), self._acts(pair[1], other)])

    def _acts(self, number: int, wanted: Wanted) -> list[Act]:
        by = self._by(number)
        kind, path, to = wanted
        if kind == "store":
            return [self._begin(number, path), End(number, by)]
        if kind == "delete":
            return [Delete(number, by, path)]
        return [RenameFrom(number, by, path), RenameTo(number, by, to)]

    def _at_once(self, racers: list[list[Act]]) -> None:
        told: list[list[str | None]] = [[], []]

        def run(which: int) -> None:
            for act in racers[which]:
                said = self._session(act.session).do(act)
                told[which].append(said)
                if said is not None and said[0] in "45":
                    return

        threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.counts["races"] += 1
        self.story.append(f"at once: {racers} told {told}")
        pairs = [
            list(zip(acts, said, strict=False)) for acts, said in zip(racers, told, strict=True)
        ]
        worlds = [replace(world, racing=True) for world in self.worlds]
        reached = [w for world in worlds for w in merged(world, pairs[0], pairs[1])]
        self._judge([replace(world, racing=False) for world in reached])
        self.observe()

    # --- kills and faults ------------------------------------------------------------------

    @rule(number=sessions, wanted=st.tuples(kinds, names, names), at=st.integers(0, 11))
    def killed(self, number: int, wanted: Wanted, at: int) -> None:
        """Takes a second and more; a share of the sequences has it."""
        if self._kills and self._is_free(number) and self._alone(number, wanted[1]):
            steps = self._steps(wanted[0])
            self._kill(self._acts(number, wanted), steps[at % len(steps)])

    def _steps(self, kind: str) -> Sequence[str]:
        if kind == "store":
            return UPLOAD_STEPS
        if kind == "delete":
            return DELETE_STEPS
        return RENAME_STEPS + (COPY_STEPS if self.service.copies else ())

    def _kill(self, acts: list[Act], step: str) -> None:
        self.service.arm("kill", step)
        self.story.append(f"to be killed at {step}")
        told: list[str | None] = []
        for act in acts:
            told.append(self._session(act.session).do(act))
            if told[-1] is None or told[-1][0] in "45":
                break
        killed = self.service.disarm("kill")
        self.story.append(f"{acts} told {told}{', killed' if killed else ''}")
        worlds = self._worlds_after(acts, told)
        if killed:
            self.service.replaced()
            self.counts[f"killed at {step}"] += 1
            gone = self.service.lost(self.partner)
            gone += [acts[0].session] if acts[0].session not in gone else []
            worlds = [_all_lost(world, gone) for world in worlds]
            self.story.append(f"sessions {gone} are gone")
        self._judge(worlds)
        if killed:
            self.service.settle(self._running())
            self.observe()

    def _worlds_after(self, acts: list[Act], told: list[str | None]) -> list[World]:
        """Where the client was told nothing, any beginning of the acts may have been done."""
        worlds, possible = self.worlds, []
        for act, said in zip(acts, told, strict=False):
            if said is None:
                possible += worlds
            worlds = [w for world in worlds for w in after(world, act, said)]
        return unique(possible + worlds)

    @rule(number=sessions, wanted=st.tuples(kinds, names, names), how=st.sampled_from(FAULTS))
    def storage_fails(self, number: int, wanted: Wanted, how: str) -> None:
        if not (self._fails and self._is_free(number) and self._alone(number, wanted[1])):
            return
        acts = self._acts(number, wanted)
        operation = {End: "publish", Delete: "delete", RenameTo: "rename"}[type(acts[-1])]
        self.service.arm("fault", f"{operation} {how}")
        told: list[str | None] = []
        for act in acts:
            told.append(self._session(number).do(act))
            if told[-1] is None or told[-1][0] in "45":
                break
        failed = self.service.disarm("fault")
        self.story.append(f"{acts}, {operation} {how if failed else 'not asked'}: told {told}")
        if not failed:
            self._judge(self._worlds_after(acts, told))
            return
        self.counts[f"{operation} {how}"] += 1
        assert told[-1] is not None, "the session is gone"
        want = "55" if how == "refused" else "451"
        assert told[-1].startswith(want), self._tale(f"told {told[-1]!r}, not {want}")
        done, pending = how == "unknown-done", how != "refused"
        self._judge(self._worlds_of_a_fault(acts, told, done=done, pending=pending))
        self.service.settle(self._running())
        self.observe()

    def _worlds_of_a_fault(
        self, acts: list[Act], told: list[str | None], *, done: bool, pending: bool
    ) -> list[World]:
        worlds = self.worlds
        for act, said in zip(acts[:-1], told, strict=False):
            worlds = [w for world in worlds for w in after(world, act, said)]
        last = acts[-1]
        stored = [w for world in worlds for w in after(world, last, None)]
        if done:
            return stored
        if isinstance(last, End):  # where storage has all parts, recovery publishes them
            cut = [w for world in worlds for w in after(world, replace(last, how="cut"), None)]
            gone = [world.without_run(last.session) for world in worlds]
            return cut + gone + (stored if pending else [])
        return [world.with_source(last.session, None) for world in worlds]

    # --- judging ---------------------------------------------------------------------------

    def act(self, act: Act) -> str | None:
        """Do one act and judge what the client was told."""
        session = self._session(act.session)
        told = session.do(act)
        self.counts[type(act).__name__] += 1
        self.story.append(f"{act} told {told!r}")
        expects_nothing = isinstance(act, End) and act.how == "lost"
        assert told is not None or expects_nothing, self._tale(
            f"the session is gone: {session.why}"
        )
        self._judge([w for world in self.worlds for w in after(world, act, told)])
        return told

    def _judge(self, worlds: list[World]) -> None:
        if not worlds:
            raise AssertionError(self._tale("what was told is not so"))
        self.worlds = unique(worlds)

    def observe(self) -> None:
        """Only the worlds remain that have what storage has."""
        stored = self.service.stored(self.partner, self.folder)
        possible = [world for world in self.worlds if contents(world) == stored]
        if not possible:
            raise AssertionError(self._tale(f"storage has {stored}"))
        self.worlds = possible

    def _agrees_with_the_ledger(self) -> None:
        rows = self.service.current(f"{self.partner}{self.folder}/")
        possible = [world for world in self.worlds if ledger_of(world) == rows]
        assert possible, self._tale(f"the ledger has {rows}")

    def _tale(self, what: str) -> str:
        worlds = "\n".join(f"  {world}" for world in self.worlds[:4])
        story = "\n".join(f"  {line}" for line in self.story)
        self._failed = True
        tale = f"{what}\n{self.partner}{self.folder}:\n{story}\nworlds before:\n{worlds}"
        # Hypothesis tells the last of its tries only.
        with (self.service.control / "tales.txt").open("a") as tales:
            tales.write(f"{tale}\n\n")
        return tale

    # --- helpers ---------------------------------------------------------------------------

    def _session(self, number: int) -> Session:
        session = self.service.session(self.partner, number)
        session.folder = self.folder
        return session

    def _by(self, number: int) -> str:
        return self.service.account(number)

    def _begin(self, number: int, path: str) -> Begin:
        """No two uploads of a sequence have the same length."""
        self._lengths += 1
        jump = random.Random(self._lengths).choice((1, 100, 3000))
        large = self._lengths % 7 == 0 and not self.service.copies
        length = self._lengths * 13 + jump + (self.service.part_size if large else 0)
        return Begin(number, self._by(number), path, length)

    def _is_free(self, number: int) -> bool:
        """Whether a session receives nothing now."""
        return not any(number in world.runs for world in self.worlds)

    def _alone(self, number: int, path: str) -> bool:
        """Whether no other session of the account receives the path: looks would wait for it."""
        by = self._by(number)
        return not any(world.run_of(by, path) is not None for world in self.worlds)

    def _finished_for_sure(self, path: str) -> bool:
        return all(
            path in w.files and not any(c.path == path for c in w.cuts)
            and not any(r.path == path for r in w.runs.values()) and not w.versions
            for w in self.worlds
        )  # fmt: skip

    def _running(self) -> int:
        return max(sum(not run.fenced for run in w.runs.values()) for w in self.worlds)


def unique(worlds: list[World]) -> list[World]:
    kept: list[World] = []
    for world in worlds:
        if world not in kept:
            kept.append(world)
    return kept


def contents(world: World) -> dict[str, tuple[str, int]]:
    return {
        key: (sha256_of(file.stream, file.length), file.length) for key, file in world.files.items()
    }


def ledger_of(world: World) -> dict[str, tuple[str, str, str]]:
    """(account, path, digest) of each current upload, by its key."""
    return {
        key: (file.by, file.named, sha256_of(file.stream, file.length))
        for key, file in world.files.items()
    }


def merged(
    world: World, one: list[tuple[Act, str | None]], other: list[tuple[Act, str | None]]
) -> list[World]:
    """The worlds after both, in any order. Who meets another may be told 450, with nothing done."""
    if not one and not other:
        return [world]
    found = []
    for mine, theirs, swapped in ((one, other, False), (other, one, True)):
        if not mine:
            continue
        act, told = mine[0]
        rest = mine[1:]
        next_worlds = list(after(world, act, told))
        if told is not None and told.startswith("450"):
            next_worlds += list(_nothing_done(world, act))
        for reached in next_worlds:
            found += merged(reached, theirs, rest) if not swapped else merged(reached, rest, theirs)
    return unique(found)


def _nothing_done(world: World, act: Act) -> list[World]:
    if isinstance(act, End):
        run = world.runs.get(act.session)
        if run is None:
            return []
        gone = world.without_run(act.session)
        return [gone, *after(world, replace(act, how="cut"), None)]
    return [world.with_source(act.session, None)]


def _all_lost(world: World, sessions: list[int]) -> World:
    for number in sessions:
        (world,) = after(world, Lost(number, ""), None)
    return world


Factory = Callable[[], Machine]


def machine_of(service: Service, counts: Counter[str]) -> type[Machine]:
    """A class of its own: Hypothesis makes an object for each sequence."""
    return type("MachineOfAService", (Machine,), {"service": service, "counts": counts})
