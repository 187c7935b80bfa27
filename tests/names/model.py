"""What names mean: the specification against which the service is judged, as a pure function.

A :class:`World` is what one partner's directory and its sessions may look like; :func:`after` gives
the worlds that are possible after an act, given what the client was told (``None``: it was told
nothing, as when the server process was killed). A reply that leaves no world is a fault. The rules
are those of ``docs/reference/names.md``.

Bytes are not kept: of each account and path there is one endless stream, and every upload of the
path sends a beginning of it, each of another length (:func:`tests.names.acts.stream`). So any
interrupted upload can be gone on with, and an object tells which upload stored it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from securedrop_ftp.intake.names import free_numbers, nth

#: Hours since an upload finished, as far as they matter: below ten minutes, a day, and beyond.
FRESH, HOURS, DAYS = 0, 1, 2
#: Of numbered names; no sequence needs more.
MOST_NUMBERS: Final = 40

Mode = Literal["drop", "dropbox", "exchange"]
Policy = Literal["reject", "replace", "version"]


@dataclass(frozen=True)
class File:
    """A finished file. ``stream``: (account, path) of its bytes; ``named``: the path that its
    account knows it by; ``order``: when it was finished. ``unconfirmed``: its client was not told
    226, so that a retry of the same bytes is answered from it."""

    by: str
    stream: tuple[str, str]
    length: int
    named: str
    order: int
    age: int = FRESH
    unconfirmed: bool = False


@dataclass(frozen=True)
class Cut:
    """A suspended upload: ``length`` is the durable one; ``None``: any up to ``sent``, and 0 would
    mean that nothing was kept."""

    by: str
    path: str
    key: str
    sent: int
    order: int
    length: int | None = None


@dataclass(frozen=True)
class Run:
    """An upload that is being received. ``retries``: (key, order) of finished files of which it may
    turn out to be the retry. ``fenced``: another session of the account took its name, so that it
    cannot end well."""

    by: str
    path: str
    key: str
    length: int
    order: int
    supersedes: bool
    retries: frozenset[tuple[str, int]] = frozenset()
    fenced: bool = False


@dataclass(frozen=True)
class Source:
    """What RNFR named."""

    path: str
    key: str
    is_dir: bool


@dataclass(frozen=True)
class World:
    """``runs`` and ``sources`` by the number of their session; ``cuts``: the newest first.
    ``racing``: several act at once, and names that one gives up another may pass over."""

    mode: Mode
    policy: Policy
    files: Mapping[str, File] = field(default_factory=dict)
    dirs: frozenset[str] = frozenset({""})
    cuts: tuple[Cut, ...] = ()
    runs: Mapping[int, Run] = field(default_factory=dict)
    sources: Mapping[int, Source] = field(default_factory=dict)
    clock: int = 0
    racing: bool = False

    # --- what the mode allows ---------------------------------------------------------

    @property
    def exchanges(self) -> bool:
        """Whether it may do everything."""
        return self.mode == "exchange"

    @property
    def lists(self) -> bool:
        return self.mode != "drop"

    @property
    def versions(self) -> bool:
        return self.policy == "version"

    # --- looks ------------------------------------------------------------------------

    def taken(self, path: str) -> bool:
        """Whether a file or a directory has the name."""
        return path in self.files or path in self.dirs

    def own(self, by: str, path: str) -> tuple[str, File] | None:
        """(key, file): the account's own last delivery of a path."""
        found = [
            (key, file)
            for key, file in self.files.items()
            if file.by == by and file.named == path and (self.versions or key == path)
        ]
        return max(found, key=lambda item: item[1].order, default=None)

    def cuts_of(self, by: str, path: str) -> list[Cut]:
        return [cut for cut in self.cuts if (cut.by, cut.path) == (by, path)]

    def run_of(self, by: str, path: str) -> int | None:
        """The session that receives the account's upload of a path."""
        for session, run in self.runs.items():
            if (run.by, run.path) == (by, path) and not run.fenced:
                return session
        return None

    def may_replace(self, by: str, key: str) -> bool:
        if self.policy != "replace":
            return False
        return self.exchanges or (key in self.files and self.files[key].by == by)

    # --- changes ----------------------------------------------------------------------

    def with_file(self, key: str, file: File) -> World:
        return replace(self, files={**self.files, key: file}, clock=self.clock + 1)

    def without_file(self, key: str) -> World:
        return replace(self, files={k: v for k, v in self.files.items() if k != key})

    def with_run(self, session: int, run: Run) -> World:
        return replace(self, runs={**self.runs, session: run}, clock=self.clock + 1)

    def without_run(self, session: int) -> World:
        return replace(self, runs={k: v for k, v in self.runs.items() if k != session})

    def with_cut(self, cut: Cut) -> World:
        return replace(self, cuts=(cut, *self.cuts))

    def without_cuts(self, *gone: Cut) -> World:
        return replace(self, cuts=tuple(cut for cut in self.cuts if cut not in gone))

    def with_source(self, session: int, source: Source | None) -> World:
        rest = {k: v for k, v in self.sources.items() if k != session}
        return replace(self, sources=rest if source is None else {**rest, session: source})


# --- acts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """One command of a session, with what its client does around it."""

    session: int
    by: str


@dataclass(frozen=True)
class Begin(Act):
    """STOR or APPE, and the first half of the bytes. ``offset``: after REST."""

    path: str
    length: int
    offset: int = 0
    verb: str = "STOR"


@dataclass(frozen=True)
class End(Act):
    """The rest of the bytes, and the end: ``clean``, ``cut`` (no close_notify), ``abor``, or
    ``lost`` (the control connection)."""

    how: str = "clean"


@dataclass(frozen=True)
class Look(Act):
    """SIZE, MDTM, MLST, HASH or RETR."""

    verb: str
    path: str


@dataclass(frozen=True)
class Listed(Act):
    """MLSD of a directory; the reply is the names that it gave."""

    path: str


@dataclass(frozen=True)
class Delete(Act):
    path: str


@dataclass(frozen=True)
class RenameFrom(Act):
    path: str


@dataclass(frozen=True)
class RenameTo(Act):
    path: str


@dataclass(frozen=True)
class Make(Act):
    path: str


@dataclass(frozen=True)
class Remove(Act):
    path: str


@dataclass(frozen=True)
class Lost(Act):
    """The session is gone: its process was killed."""


def after(world: World, act: Act, told: str | None) -> Iterator[World]:
    """The worlds that are possible after an act of which the client was told this."""
    match act:
        case Begin():
            yield from _begin(world, act, told)
        case End():
            yield from _end(world, act, told)
        case Look():
            yield from _look(world, act, told)
        case Listed():
            yield from _listed(world, act, told)
        case Delete():
            yield from _delete(world, act, told)
        case RenameFrom():
            yield from _rename_from(world, act, told)
        case RenameTo():
            yield from _rename_to(world, act, told)
        case Make():
            yield from _make(world, act, told)
        case Remove():
            yield from _remove(world, act, told)
        case Lost():
            yield lost(world, act.session)


def later(world: World) -> World:
    """An hour and then a day go by."""
    older = {key: replace(f, age=min(f.age + 1, DAYS)) for key, f in world.files.items()}
    return replace(world, files=older)


def lost(world: World, session: int) -> World:
    """A session is gone; what it was sending is suspended, or was not kept."""
    world = world.with_source(session, None)
    run = world.runs.get(session)
    if run is None:
        return world
    world = world.without_run(session)
    return world if run.fenced else world.with_cut(_cut(run))


def _cut(run: Run) -> Cut:
    return Cut(run.by, run.path, run.key, run.length, run.order)


def _said(told: str | None, code: str, text: str = "") -> bool:
    return told is None or (told.startswith(code) and text in told)


def _refused(told: str | None) -> bool:
    return _said(told, "55")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


# --- uploads --------------------------------------------------------------------------------


def _begin(world: World, act: Begin, told: str | None) -> Iterator[World]:
    if act.offset or act.verb == "APPE":
        yield from _resume(world, act, told)
        return
    if _parent(act.path) not in world.dirs or act.path in world.dirs:
        if _refused(told):
            yield world
        return
    if not world.versions or world.racing:
        keys: Iterable[str] = [act.path]
    else:
        keys = _keys(world, act)
    for key in keys:
        yield from _begin_at(world, act, key, told)


def _keys(world: World, act: Begin) -> Iterator[str]:
    """The name, or the number that stands for it."""
    running = {run.key for run in world.runs.values() if not run.fenced}
    for kept in _kept_by_others(world, act.by):
        numbers = free_numbers(partial(_is_taken, world, act.path, kept))
        yield next(key for number in numbers if (key := nth(act.path, number)) not in running)


def _begin_at(world: World, act: Begin, key: str, told: str | None) -> Iterator[World]:
    fenced, busy = None, False
    if not world.versions:
        for session, run in world.runs.items():
            if run.key == key and not run.fenced:
                busy = busy or run.by != act.by
                fenced = session
    retries = frozenset(
        (stored, file.order)
        for stored, file in world.files.items()
        if file.unconfirmed and file.age != DAYS and (file.by, file.named) == (act.by, act.path)
    )
    exists = key in world.files and not world.may_replace(act.by, key)
    exists = exists and not retries and not (world.versions and world.racing)
    if busy and _said(told, "450"):
        yield world
    if exists and _refused(told):
        yield world
    if busy or exists or not _said(told, "150"):
        return
    if fenced is not None:
        world = _fence(world, fenced)
    supersedes = bool(world.cuts_of(act.by, act.path))
    run = Run(act.by, act.path, key, act.length, world.clock, supersedes, retries)
    yield world.with_run(act.session, run)


def _fence(world: World, session: int) -> World:
    run = world.runs[session]
    return world.with_run(session, replace(run, fenced=True)).with_cut(_cut(run))


def _resume(world: World, act: Begin, told: str | None) -> Iterator[World]:
    """REST and STOR, or APPE, on what SIZE told of a moment ago."""
    other = world.run_of(act.by, act.path)
    cuts = world.cuts_of(act.by, act.path)
    if other is not None and not cuts:
        if _refused(told) or _said(told, "450"):
            yield world
        if _said(told, "150"):
            key = world.runs[other].key
            world = _fence(world, other)
            world = world.without_cuts(world.cuts[0])
            run = Run(act.by, act.path, key, act.length, world.clock, supersedes=True)
            yield world.with_run(act.session, run)
        return
    usable = [cut for cut in cuts if cut.length in (None, act.offset) and act.offset <= cut.sent]
    if not usable or any(cut.length is None for cut in usable):
        if _refused(told):
            yield world  # nothing to go on with, or a finished file
        if not usable:
            return
    for cut in usable[:1]:
        busy = any(run.key == cut.key and not run.fenced for run in world.runs.values())
        if busy and _said(told, "450"):
            yield world
        exists = world.taken(cut.key) and not world.may_replace(act.by, cut.key)
        missing = _parent(cut.key) not in world.dirs
        if (exists or missing) and _refused(told):
            yield world
        if not busy and not exists and _said(told, "150"):
            run = Run(act.by, act.path, cut.key, act.length, cut.order, supersedes=True)
            yield world.without_cuts(cut).with_run(act.session, run)


def _end(world: World, act: End, told: str | None) -> Iterator[World]:
    run = world.runs[act.session]
    if run.fenced:
        if act.how == "lost" or _said(told, "4") or _refused(told):
            yield world.without_run(act.session)
        return
    if act.how == "lost":
        yield lost(world, act.session)
        return
    if act.how != "clean":
        if _said(told, "4"):
            yield world.without_run(act.session).with_cut(_cut(run))
        return
    yield from _publish(world, act.session, run, told)


def _publish(world: World, session: int, run: Run, told: str | None) -> Iterator[World]:
    ended = world.without_run(session)
    for key, order in run.retries:
        file = world.files.get(key)
        if file is not None and (file.order, file.length) == (order, run.length):
            if told is None or "stored already" in told:
                yield from _stored(ended, run, told, key)
            return
    if world.versions and world.racing:
        free = _numbered(world, run.path, told)
        if free is not None:
            yield from _stored(ended, run, told, free)
        return
    keeps = run.key in world.files and not world.may_replace(run.by, run.key)
    if keeps or run.key in world.dirs or _parent(run.key) not in world.dirs:
        if _refused(told):
            yield ended.with_cut(_cut(run))
            yield ended
        if keeps or run.key in world.dirs:
            return
    yield from _stored(ended, run, told, run.key)


def _numbered(world: World, path: str, told: str | None) -> str | None:
    """The free name that a reply says; the least where there is none."""
    for number in range(MOST_NUMBERS):
        key = nth(path, number)
        if world.taken(key):
            continue
        if told is None or (not number and "stored as" not in told):
            return key
        if number and (f"stored as {_name(key)}." in told or f"stored as {_name(key)};" in told):
            return key
    return None


def _stored(world: World, run: Run, told: str | None, key: str) -> Iterator[World]:
    digest = _digest((run.by, run.path), run.length)
    if not _said(told, "226", digest):
        return
    if told is not None and ("stored as" in told) != (key != run.path):
        return
    if told is not None and key != run.path and f"stored as {_name(key)}" not in told:
        return
    if run.supersedes:
        world = world.without_cuts(*world.cuts_of(run.by, run.path))
    file = File(run.by, (run.by, run.path), run.length, run.path, world.clock)
    if told is None:  # recovery has written it down, or its own writer before it was killed
        yield from _kept(world, run, key, replace(file, unconfirmed=True))
    yield from _kept(world, run, key, file)


def _kept(world: World, run: Run, key: str, file: File) -> Iterator[World]:
    parents = {run.key.rsplit("/", n)[0] for n in range(1, run.key.count("/") + 1)}
    yield replace(world.with_file(key, file), dirs=world.dirs | parents)


# --- looks ----------------------------------------------------------------------------------


def _digest(stream: tuple[str, str], length: int) -> str:
    from tests.names.acts import sha256_of

    return sha256_of(stream, length)


def _look(world: World, act: Look, told: str | None) -> Iterator[World]:
    if act.verb in ("SIZE", "MDTM", "MLST"):
        yield from _seen(world, act, told)
        return
    may = world.exchanges
    if act.verb == "RETR" and not may:
        if _refused(told):
            yield world
        return
    found = _finished(world, act.by, act.path, whose=not may)
    file = world.files.get(found[0]) if found is not None else None
    own = found[1] if found is not None else None
    if file is None or (not may and (own is None or own.age != FRESH)):
        if _refused(told):
            yield world
        return
    digest = _digest(file.stream, file.length)
    if _said(told, "226" if act.verb == "RETR" else "213", digest):
        yield world


def _finished(world: World, by: str, path: str, *, whose: bool) -> tuple[str, File | None] | None:
    """(key, own file or None) of what RETR, HASH, DELE and RNFR mean."""
    if world.versions:
        own = world.own(by, path)
        if own is not None and own[0] != path:
            return own
        if path in world.files and own is None and not world.lists:
            return None
        return (path, own[1] if own is not None else None) if world.taken(path) else None
    if not world.taken(path):
        return None
    own = world.own(by, path) if whose else None
    return path, own[1] if own is not None else None


def _seen(world: World, act: Look, told: str | None) -> Iterator[World]:
    code = "250" if act.verb == "MLST" else "213"
    if act.path in world.dirs:
        is_dir = act.verb == "MLST" and _said(told, "250", "type=dir")
        if is_dir or (act.verb != "MLST" and _refused(told)):
            yield world
        return
    sees_all = world.lists and not world.versions
    if act.path in world.files and sees_all:
        if _tells(told, code, act.verb, world.files[act.path].length):
            yield world
        return
    own = None if sees_all else world.own(act.by, act.path)
    cuts = world.cuts_of(act.by, act.path)
    running = world.run_of(act.by, act.path)
    for gone in range(len(cuts) + 1):
        if any(cut.length is not None for cut in cuts[:gone]):
            return  # what is known to be there is seen
        rest = world.without_cuts(*cuts[:gone])
        newest = cuts[gone] if gone < len(cuts) else None
        newer = newest is not None and own is not None and newest.order > own[1].order
        if running is not None and own is not None:
            newer = newer or world.runs[running].order > own[1].order
        if own is not None and own[1].age == FRESH and not newer:
            if _tells(told, code, act.verb, own[1].length):
                yield rest
        elif newest is not None:
            yield from _seen_cut(rest, newest, act.verb, code, told)
        elif running is not None:
            if _refused(told) or _said(told, code):
                yield rest
        elif _refused(told):
            yield rest


def _seen_cut(world: World, cut: Cut, verb: str, code: str, told: str | None) -> Iterator[World]:
    if cut.length is not None:
        if _tells(told, code, verb, cut.length):
            yield world
        return
    if told is None:
        yield world
        return
    length = length_told(verb, told) if told.startswith(code) else None
    if length is not None and 0 < length <= cut.sent:
        known = tuple(replace(c, length=length) if c == cut else c for c in world.cuts)
        yield replace(world, cuts=known)
    elif verb == "MDTM" and told.startswith(code):
        yield world


def length_told(verb: str, told: str) -> int | None:
    """What SIZE or MLST says of a file's length."""
    if verb == "SIZE":
        return int(told.split()[1])
    if verb == "MLST":
        facts = told.lower().split("size=")
        return int(facts[1].split(";")[0]) if len(facts) > 1 else None
    return None


def _tells(told: str | None, code: str, verb: str, length: int) -> bool:
    if not _said(told, code):
        return False
    return told is None or verb == "MDTM" or length_told(verb, told) == length


def _listed(world: World, act: Listed, told: str | None) -> Iterator[World]:
    if told is None:
        yield world
        return
    if not world.lists or act.path not in world.dirs:
        if _refused(told) or (act.path in world.files and _said(told, "501")):
            yield world
        return
    if not told.startswith("226 "):
        return
    there = set(told[4:].split("\t")) - {""}
    everything = {*world.files, *world.dirs} - {""}
    must = {_name(path) for path in everything if _parent(path) == act.path}
    unfinished = {_name(c.path) for c in world.cuts if c.by == act.by} | {
        _name(c.key) for c in world.cuts if c.by == act.by
    }
    if must <= there and there <= must | unfinished:
        yield world


# --- changes --------------------------------------------------------------------------------


def _delete(world: World, act: Delete, told: str | None) -> Iterator[World]:
    cuts = world.cuts_of(act.by, act.path)
    there = [bool(cuts)] if any(c.length is not None for c in cuts) else [bool(cuts), False]
    found = _finished(world, act.by, act.path, whose=False) if world.exchanges else None
    if found is not None:
        without = world.without_cuts(*cuts)
        if found[0] in world.dirs:
            if _refused(told):
                yield without
        elif _said(told, "250"):
            yield without.without_file(found[0])
        return
    for discarded in there:
        if _said(told, "250", "discarded") if discarded else _refused(told):
            yield world.without_cuts(*cuts)
            return


def _rename_from(world: World, act: RenameFrom, told: str | None) -> Iterator[World]:
    cleared = world.with_source(act.session, None)
    found = _finished(world, act.by, act.path, whose=not world.exchanges)
    allowed = found is not None and (
        world.exchanges or (found[1] is not None and found[1].age != DAYS)
    )
    if found is None or not allowed:
        if _refused(told):
            yield cleared
        return
    if _said(told, "350"):
        yield cleared.with_source(act.session, Source(act.path, found[0], found[0] in world.dirs))


def _rename_to(world: World, act: RenameTo, told: str | None) -> Iterator[World]:
    source = world.sources.get(act.session)
    done = world.with_source(act.session, None)
    if source is None:
        if _said(told, "503"):
            yield done
        return
    there = source.key in (world.dirs if source.is_dir else world.files)
    if not there:
        if _refused(told) or _said(told, "450"):
            yield done
        return
    if act.path == source.key:
        if _said(told, "250"):
            yield done
        return
    if _parent(act.path) not in world.dirs or f"{act.path}/".startswith(f"{source.key}/"):
        if _refused(told) or (source.is_dir and _said(told, "450")):
            yield done
        return
    if source.is_dir:
        yield from _rename_directory(done, source, act.path, told)
    else:
        yield from _rename_file(done, act, source, told)


def _rename_directory(
    world: World, source: Source, target: str, told: str | None
) -> Iterator[World]:
    below = f"{source.key}/"
    busy = any(
        f"{run.key}/".startswith((below, f"{target}/"))
        for run in world.runs.values()
        if not run.fenced
    )
    taken = world.taken(target)
    if (taken and _refused(told)) or (busy and _said(told, "450")):
        yield world
    if taken or busy:
        return
    if not _said(told, "250"):
        return

    def moved(path: str) -> str:
        inside = path == source.key or path.startswith(below)
        return target + path.removeprefix(source.key) if inside else path

    files = {
        moved(key): replace(file, named=moved(file.named)) for key, file in world.files.items()
    }
    yield replace(world, files=files, dirs=frozenset(map(moved, world.dirs)))


def _rename_file(world: World, act: RenameTo, source: Source, told: str | None) -> Iterator[World]:
    target = act.path
    if world.versions:
        yield from _rename_to_number(world, act, source, told)
        return
    elif target in world.dirs or (target in world.files and not world.may_replace(act.by, target)):
        if _refused(told):
            yield world
        return
    yield from _renamed(world, act, source, target, told)


def _renamed(
    world: World, act: RenameTo, source: Source, target: str, told: str | None
) -> Iterator[World]:
    if not _said(told, "250"):
        return
    if told is not None and (f"stored as {_name(target)}" in told) != (target != act.path):
        return
    file = replace(world.files[source.key], named=act.path)
    yield replace(world.without_file(source.key).with_file(target, file), clock=world.clock)


def _rename_to_number(
    world: World, act: RenameTo, source: Source, told: str | None
) -> Iterator[World]:
    """Names of uploads on their way are passed over, and those that other accounts' suspended ones
    keep; whether a suspended one was kept may not be known."""
    if world.racing:
        free = _numbered(world, act.path, told)
        if free is not None:
            yield from _renamed(world, act, source, free, told)
        return
    running = {run.key for run in world.runs.values() if not run.fenced}
    for kept in _kept_by_others(world, act.by):
        taken = partial(_is_taken, world, act.path, kept | running)
        number = next(free_numbers(taken))
        yield from _renamed(world, act, source, nth(act.path, number), told)


def _is_taken(world: World, path: str, kept: set[str], number: int) -> bool:
    key = nth(path, number)
    return world.taken(key) or key in kept


def _kept_by_others(world: World, by: str) -> Iterator[set[str]]:
    """Sets of names that other accounts' suspended uploads keep, of which one is so: whether one
    was kept at all may not be known."""
    others = [cut for cut in world.cuts if cut.by != by]
    yield {cut.key for cut in others}
    if any(cut.length is None for cut in others):
        yield {cut.key for cut in others if cut.length is not None}


def _make(world: World, act: Make, told: str | None) -> Iterator[World]:
    if world.taken(act.path) or _parent(act.path) not in world.dirs:
        if _refused(told) or _said(told, "521"):
            yield world
        return
    if _said(told, "257"):
        yield replace(world, dirs=world.dirs | {act.path})


def _remove(world: World, act: Remove, told: str | None) -> Iterator[World]:
    below = f"{act.path}/"
    inside = any(path.startswith(below) for path in (*world.files, *world.dirs))
    if not world.exchanges or act.path not in world.dirs or inside:
        running = any(run.key.startswith(below) for run in world.runs.values())
        if _refused(told) or (running and _said(told, "450")):
            yield world
        return
    if any(run.key.startswith(below) and not run.fenced for run in world.runs.values()):
        if _said(told, "450"):
            yield world
        return
    if _said(told, "250"):
        yield replace(world, dirs=world.dirs - {act.path})
