"""SIGKILL at every step of renames and deletions, and at random times: then restart and judge.

A program (``python -m tests.faults.name_kills --kills 500``), made as :mod:`tests.faults.kills`
is: each round forks a process that renames or deletes and is killed on its way, one that recovers
as the service does at its start, and one that uploads to either name. The judge has no database
connection; it compares what storage and ledger hold with what was there before.

Prints one JSON object; exits 1 at the first broken promise.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import django
from django.conf import settings

from tests.faults.kills import ALREADY, NODE, Plan, alice, in_child, tell, upload, warm_up

FILES: Final = ("/a.bin", "/b.bin", "/in/c.bin", "/in/d d.bin")
POLICIES: Final = ("reject", "replace", "version")
#: Passed only where storage renames by a copy.
COPYING: Final = ("rename.copied", "rename.recorded")
#: More files than these are deleted between two rounds.
MOST_FILES: Final = 8
#: Seconds after which what was asked of storage can no longer be carried out.
OPERATION_TIMEOUT: Final = 2.0
#: Seconds that recovery may take beyond that.
PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Act:
    """One round. ``target``: of a rename, else ``""``."""

    number: int
    kind: str  # file, directory, delete
    policy: str
    source: str
    target: str
    step: str  # "" where a clock kills
    clock: float = 0.0  # seconds after the request at which it does; 0: none does

    @property
    def owner(self) -> str:
        return f"{NODE}:1-dead:{self.number}"

    @property
    def event(self) -> str:
        return "file.deleted" if self.kind == "delete" else "file.renamed"

    @property
    def names(self) -> list[str]:
        """Paths to which the next uploads go."""
        if self.kind == "directory":
            return [f"{self.source}/next.bin", f"{self.target}/next.bin"]
        return [path for path in (self.source, self.target) if path]


# --- in the children ------------------------------------------------------------------------


def conf_for(act: Act, *, armed: bool = False) -> Any:
    from securedrop_ftp.conf import get_conf

    step = act.step if armed else ""
    return replace(get_conf(), operation_timeout=OPERATION_TIMEOUT, fault_step=step)


def change(act: Act) -> str:
    """DELE, or RNFR and RNTO, as their verbs do it; "250" is told when it is done."""
    from securedrop_ftp.db import DatabaseWriter
    from securedrop_ftp.events import Event
    from securedrop_ftp.exceptions import Exists
    from securedrop_ftp.intake.naming import NameRequest
    from securedrop_ftp.intake.service import Intake
    from securedrop_ftp.keys import key_for
    from securedrop_ftp.storage.registry import backend_for

    intake = Intake(
        conf_for(act, armed=True),
        submit=lambda partner, job: None,
        writer=DatabaseWriter().start(),
        backend_for=backend_for,
        owner=act.owner,
    )
    principal = alice(act.policy)
    meant = intake.meaning.finished(principal, act.source)
    tell(["source", meant.key])
    request = NameRequest(
        principal=principal,
        path=act.source,
        key=meant.key,
        event=Event(
            act.event,
            partner=principal.partner,
            account=principal.username,
            session=str(act.number),
            path=act.source,
        ),
        pending="451 pending",
        target_path=act.target,
        target_key=key_for(principal.root, act.target) if act.target else "",
    )
    if act.clock:
        threading.Timer(act.clock, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if act.kind == "delete":
        intake.naming.delete(request, "250 Deleted.")
        return "250"
    try:
        intake.naming.rename(request, lambda renamed: "250 Renamed.")
    except Exists:
        return "553"
    return "250"


def recover(act: Act) -> dict[str, Any]:
    """What the service does when it starts, then what there is to see."""
    from securedrop_ftp.intake.ledger import Ledger
    from securedrop_ftp.intake.recovery import Recovery
    from securedrop_ftp.models import AuditEvent, NameChange
    from securedrop_ftp.storage.registry import backend_for

    book = Ledger(None, owner=f"{NODE}:2-new:0", lease_seconds=60)
    recovery = Recovery(book, backend_for, conf_for(act))
    began = time.monotonic()

    def recovered() -> dict[str, int]:
        return recovery.recover(lambda owner: owner == act.owner)

    while recovered().get("pending"):
        waited = time.monotonic() - began
        assert waited < OPERATION_TIMEOUT + PATIENCE, "recovery does not end"
        time.sleep(0.1)  # what the dead process asked may still be carried out
    again = recovered()
    events = AuditEvent.objects.filter(session=str(act.number), event=act.event)
    return {
        "again": again,
        "waited": round(time.monotonic() - began, 1),
        "changes": NameChange.objects.count(),
        "events": list(events.values_list("outcome", flat=True)),
        **held(act),
    }


def held(act: Act) -> dict[str, Any]:
    """Digests of what storage has, by key, and the current rows of the ledger."""
    from securedrop_ftp.models import Upload
    from securedrop_ftp.storage.registry import backend_for

    principal = alice(act.policy)
    backend = backend_for(principal.storage)
    root = principal.root.rstrip("/")
    rows = Upload.objects.filter(current=True, key__startswith=principal.root)
    return {
        "stored": {
            entry.key: hashlib.sha256(backend.read(entry, 0, entry.size)).hexdigest()
            for entry in files_below(backend, root)
        },
        "ledger": list(rows.order_by("key").values_list("key", "path", "sha256", "state")),
    }


def files_below(backend: Any, key: str) -> Iterator[Any]:
    from securedrop_ftp.exceptions import NotFound

    try:
        pages = list(backend.scandir(key))
    except NotFound:
        return
    for page in pages:
        for entry in page:
            if entry.is_dir:
                yield from files_below(backend, entry.key)
            else:
                yield entry


def go_on(act: Act, plans: list[Plan], surplus: list[str]) -> dict[str, Any]:
    """The next uploads, which nothing kills; then ``surplus`` paths are deleted."""
    told = [upload(plan) for plan in plans]
    for number, path in enumerate(surplus):
        tidy = Act(-act.number * 100 - number, "delete", "replace", path, "", "")
        assert change(tidy) == "250"
    return {"told": told, **held(act)}


# --- the judge ------------------------------------------------------------------------------


class Judge:
    """Keeps what is stored, and compares. ``root``: the prefix of the account."""

    def __init__(self, chance: random.Random, part_size: int, root: str) -> None:
        self._chance = chance
        self._part_size = part_size
        self._root = root
        self.stored: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def key(self, path: str) -> str:
        return self._root + path.removeprefix("/")

    def _path(self, key: str) -> str:
        return "/" + key.removeprefix(self._root)

    def act(self, number: int, steps: tuple[str, ...], longest: float) -> Act:
        """The next round; ``longest``: seconds before a clock kills."""
        made = self._act(number, self._chance.choice([*steps, "", ""]))
        return made if made.step else replace(made, clock=self._chance.uniform(0.001, longest))

    def _act(self, number: int, step: str) -> Act:
        chance = self._chance
        deletes = step.startswith("delete") or (not step and chance.random() < 0.3)
        policy = chance.choice(POLICIES)
        source = self._path(chance.choice(sorted(self.stored)))
        folder, _, _ = source[1:].rpartition("/")
        if deletes:
            return Act(number, "delete", policy, source, "", step)
        if folder and chance.random() < 0.4:
            return Act(number, "directory", policy, f"/{folder}", f"/d{number}", step)
        taken = [self._path(key) for key in sorted(self.stored) if self._path(key) != source]
        others = [path for path in (*FILES, *taken) if path != source]
        if step and policy == "reject":  # else the round kills nobody
            others = [f"/in/new{number}.bin"]
        return Act(number, "file", policy, source, chance.choice(others), step)

    def upload_plan(self, act: Act, path: str, content: int) -> Plan:
        small = self._chance.random() < 0.8
        size = self._chance.randrange(0, 4096) if small else self._part_size + 4096
        return Plan(
            number=content, path=path, content=content, size=size, part_size=self._part_size,
            step="", cut=False, offset=0, policy="replace",
        )  # fmt: skip

    def after(self, act: Act, source: str) -> dict[str, str]:
        """What storage has when the act is done, ``source`` being the key that was meant."""
        from securedrop_ftp.intake.names import nth

        after = dict(self.stored)
        if act.kind == "directory":
            below, target = f"{self.key(act.source)}/", f"{self.key(act.target)}/"
            for key in [key for key in after if key.startswith(below)]:
                after[target + key.removeprefix(below)] = after.pop(key)
            return after
        digest = after.pop(source)
        if act.kind == "file":
            target = self.key(act.target)
            if act.policy == "version":
                number = 0
                while nth(target, number) in self.stored:
                    number += 1
                target = nth(target, number)
            after[target] = digest
        return after

    def judge(self, act: Act, said: list[Any], status: int, report: Mapping[str, Any]) -> None:
        killed = status == -signal.SIGKILL
        told = said[-1] if said and isinstance(said[-1], str) else ""
        meant = next((line[1] for line in said if isinstance(line, list)), None)
        self.counts["killed"] += killed
        self.counts["told"] += told == "250"
        self.counts["refused"] += told == "553"
        self.counts[f"{act.kind} at {act.step or 'a random time'}"] += killed
        assert killed or status == 0, "the process failed"
        assert report["again"] == {}, "recovery is not idempotent"
        assert not report["changes"], "a claim was left"
        before, now = self.stored, report["stored"]
        after = before if meant is None or told == "553" else self.after(act, meant)
        assert now in (before, after), "neither all as before nor all as asked"
        done = now != before
        if told == "250":
            assert now == after, "a false acknowledgement"
            assert report["events"] == ["success"], "not one row of success"
        elif act.step and killed:
            assert report["events"] == ["success" if done else "failure"], "not one true row"
        else:  # a clock may kill before the claim, or after the end
            assert len(report["events"]) <= 1, "more than one row"
            assert ("success" in report["events"]) == done, "the row is not true"
        self.counts["done"] += done
        self.counts["undone"] += killed and not done
        self.stored = dict(now)
        self.agrees(report)

    def agrees(self, report: Mapping[str, Any]) -> None:
        """The ledger's current rows are what storage has, each under its path."""
        from securedrop_ftp.intake.names import nth

        rows = report["ledger"]
        assert {key: sha256 for key, _, sha256, _ in rows} == report["stored"], "ledger and storage"
        assert len(rows) == len(report["stored"]), "two current uploads of one key"
        for key, path, _, state in rows:
            assert state == "committed", "a current upload that is not committed"
            named = self.key(path)
            assert any(nth(named, n) == key for n in range(30)), f"path {path} of key {key}"

    def went_on(self, plans: list[Plan], surplus: list[str], report: Mapping[str, Any]) -> None:
        for plan, told in zip(plans, report["told"], strict=True):
            assert told == f"226 {plan.sha256}", "the next upload to a name failed"
            self.stored[self.key(plan.path)] = plan.sha256
        for path in surplus:
            del self.stored[self.key(path)]
        assert report["stored"] == self.stored, "the next uploads changed something else"
        self.agrees(report)

    def surplus(self, plans: list[Plan]) -> list[str]:
        """Paths to delete, so that a run does not grow."""
        keep = {self.key(plan.path) for plan in plans}
        rest = sorted(set(self.stored) - keep)
        self._chance.shuffle(rest)
        return [self._path(key) for key in rest[MOST_FILES - len(keep) :]]


def root_of_alice() -> str:
    root: str = alice().root
    return root


def steps_of_storage() -> list[str]:
    """Those that a rename passes on this storage."""
    from securedrop_ftp.intake.steps import NAMING_STEPS
    from securedrop_ftp.storage.registry import backend_for

    copies = backend_for(alice().storage).capabilities.lands_late
    return [step for step in NAMING_STEPS if copies or step not in COPYING]


def asked(body: Any) -> Any:
    said, status = in_child(body)
    assert status == 0, "a process that nothing kills failed"
    return said[-1]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part-size", type=int, default=64 * 1024)
    parser.add_argument("--longest", type=float, default=0.05, help="seconds before a clock kills")
    options = parser.parse_args()
    django.setup()
    for module in (settings.STORAGES["default"]["BACKEND"].rpartition(".")[0], *ALREADY):
        importlib.import_module(module)
    warm_up()
    chance = random.Random(options.seed)
    root = asked(root_of_alice)
    steps = tuple(asked(steps_of_storage))
    judge = Judge(chance, options.part_size, root)
    started = time.monotonic()
    contents = iter(range(1, sys.maxsize))
    first = Act(0, "file", "replace", "", "", "")
    plans = [judge.upload_plan(first, path, next(contents)) for path in FILES]
    judge.went_on(plans, [], asked(lambda: go_on(first, plans, [])))
    number = 0
    longest_wait = 0.0
    while judge.counts["killed"] < options.kills:
        number += 1
        act = judge.act(number, steps, options.longest)
        if number % 50 == 0:
            print(f"{judge.counts['killed']} kills", file=sys.stderr, flush=True)
        said, status = in_child(lambda act=act: change(act))  # type: ignore[misc]
        report = asked(lambda act=act: recover(act))
        longest_wait = max(longest_wait, report["waited"])
        try:
            judge.judge(act, said, status, report)
            plans = [judge.upload_plan(act, path, next(contents)) for path in act.names]
            surplus = judge.surplus(plans)
            report = asked(lambda act=act, p=plans, s=surplus: go_on(act, p, s))
            judge.went_on(plans, surplus, report)
        except AssertionError as exc:
            broken = {"broken": str(exc), "act": str(act), "said": said, "report": report}
            print(json.dumps(broken | {"before": judge.stored}))
            return 1
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"rounds": number, "wait": longest_wait, "seconds": seconds, **judge.counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
