"""SIGKILL at every numbered step of an upload, and at random times: then restart and judge.

A program (``python -m tests.faults.kills --kills 500``): each round forks a process that uploads
with a real writer thread and a real pool and is killed on its way, then one that recovers as the
service does at its start and reports what ledger, audit trail and storage hold. The judge has no
database connection and trusts only the reports and what it was told over a pipe.

Prints one JSON object; exits 1 at the first broken promise.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import django
from django.conf import settings

NODE = "kills"
ALREADY = [
    "securedrop_ftp.intake.service",
    "securedrop_ftp.engine.pools",
    "securedrop_ftp.storage.registry",
]
#: Steps that an upload of several parts passes more than once.
PASSED_AGAIN = ("part.before", "part.after", "part.recorded")
#: Steps that an upload passes only if it came whole.
AT_THE_END = ("publishing", "commit")
PATHS = ["/a.bin", "/in/b.bin", "/in/c c.bin"]


@dataclass(frozen=True)
class Plan:
    """One round."""

    number: int
    path: str
    content: int  # seed of the bytes
    size: int
    part_size: int
    step: str  # "" where a clock kills
    cut: bool
    offset: int
    policy: str = ""  # "": the partner's own

    @property
    def data(self) -> bytes:
        return random.Random(self.content).randbytes(self.size)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def owner(self) -> str:
        return f"{NODE}:1-dead:{self.number}"


def in_child(body: Callable[[], Any], kill_after: float | None = None) -> tuple[list[Any], int]:
    """Run ``body`` in a fork; what it and :func:`tell` said, and how it ended (-9: killed)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        os.dup2(writer, 3)
        status = 1
        try:
            tell(body())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    timer = None
    if kill_after is not None:
        timer = threading.Timer(kill_after, os.kill, (pid, signal.SIGKILL))
        timer.start()
    with os.fdopen(reader) as pipe:
        said = [json.loads(line) for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(pid, 0)
    if timer is not None:
        timer.cancel()
        timer.join()
    return said, os.waitstatus_to_exitcode(status)


def tell(what: Any) -> None:
    os.write(3, json.dumps(what).encode() + b"\n")


# --- in the children ----------------------------------------------------------------------


def conf_for(plan: Plan) -> Any:
    from securedrop_ftp.conf import get_conf

    return replace(get_conf(), part_size=plan.part_size, fault_step=plan.step)


def alice(policy: str = "") -> Any:
    """Her principal; under another overwrite policy than her partner's, where one is given."""
    from securedrop_ftp.access.principal import principal_of
    from securedrop_ftp.models import Account, OverwritePolicy

    account = Account.objects.select_related("user", "partner").get(user__username="alice")
    # Its names make the directories above them.
    principal = replace(principal_of(account), create_directories=True)
    return replace(principal, overwrite=OverwritePolicy(policy)) if policy else principal


def upload(plan: Plan) -> str:
    """One STOR as the data channel does it; "226" is told when the receipt is there."""
    from securedrop_ftp.db import DatabaseWriter
    from securedrop_ftp.engine.pools import FairPool
    from securedrop_ftp.exceptions import Truncated
    from securedrop_ftp.ftps.answers import FTPS
    from securedrop_ftp.intake.service import Intake, UploadRequest
    from securedrop_ftp.keys import key_for
    from securedrop_ftp.storage.registry import backend_for

    pool = FairPool("storage", 4, 4)
    intake = Intake(
        conf_for(plan),
        submit=pool.run,
        writer=DatabaseWriter().start(),
        backend_for=backend_for,
        owner=plan.owner,
    )
    principal = alice(plan.policy)
    request = UploadRequest(
        principal=principal,
        session=str(plan.number),
        remote_ip="192.0.2.7",
        path=plan.path,
        key=key_for(principal.root, plan.path),
        door=FTPS,
        offset=plan.offset or None,
    )
    stream = intake.begin(request)
    ready = threading.Event()
    stream.on_ready = ready.set
    rest = memoryview(plan.data)[plan.offset :]
    while rest:
        ready.clear()
        room = stream.buffer()
        if room is None:
            if stream.error is not None:
                break
            ready.wait(10)
            continue
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        stream.filled(count)
        rest = rest[count:]
    if plan.cut or stream.error is not None:
        stream.cancel(stream.error or Truncated()).result(60)
        return "426"
    return "226 " + stream.finish().result(60).sha256


def recover(plan: Plan) -> dict[str, Any]:
    """What the service does when it starts, then what there is to see at the path."""
    from securedrop_ftp.conf import get_conf
    from securedrop_ftp.intake.ledger import Ledger
    from securedrop_ftp.intake.recovery import Recovery
    from securedrop_ftp.keys import key_for
    from securedrop_ftp.models import AuditEvent, Upload
    from securedrop_ftp.storage.registry import backend_for

    book = Ledger(None, owner=f"{NODE}:2-new:0", lease_seconds=60)
    recovery = Recovery(book, backend_for, conf_for(replace(plan, step="")))
    end = time.monotonic() + 3 * get_conf().storage_timeout
    while recovery.recover(lambda owner: owner == plan.owner).get("pending"):
        assert time.monotonic() < end, "recovery does not end"
        time.sleep(0.5)  # what the dead writer sent may still land
    again = recovery.recover(lambda owner: owner == plan.owner)
    swept = recovery.prune().swept if plan.number % 5 == 0 else 0
    principal = alice()
    key = key_for(principal.root, plan.path)
    events = AuditEvent.objects.filter(path=plan.path)
    return {
        "again": again,
        "swept": swept,
        "sha256": stored_digest(backend_for(principal.storage), key),
        "rows": list(Upload.objects.filter(path=plan.path).values_list("state", flat=True)),
        "newest": Upload.objects.filter(path=plan.path, state="committed")
        .order_by("-finished")
        .values_list("sha256", flat=True)
        .first(),
        "events": dict(Counter(events.values_list("event", flat=True))),
        "suspended": suspended(principal, plan),
    }


def stored_digest(backend: Any, key: str) -> str | None:
    from securedrop_ftp.exceptions import NotFound

    try:
        entry = backend.stat(key)
    except NotFound:
        return None
    return hashlib.sha256(backend.read(entry, 0, entry.size)).hexdigest()


def suspended(principal: Any, plan: Plan) -> list[Any] | None:
    """[length, number of the plan whose bytes they are], as the owner sees it."""
    from securedrop_ftp.intake.service import Intake
    from securedrop_ftp.models import Upload
    from securedrop_ftp.storage.registry import backend_for

    intake = Intake(
        conf_for(replace(plan, step="")),
        submit=lambda partner, job: None,
        writer=None,
        backend_for=backend_for,
        owner=f"{NODE}:2-new:0",
    )
    seen = intake.suspended_for(principal, plan.path)
    if seen is None:
        return None
    return [seen.length, int(Upload.objects.get(pk=seen.upload_id).session)]


def clean_up(plan: Plan) -> int:
    """Orphans after everything suspended was discarded and swept: must be none."""
    from django.utils import timezone

    from securedrop_ftp.intake.recovery import recovery_for_command
    from securedrop_ftp.intake.service import Intake
    from securedrop_ftp.models import Upload
    from securedrop_ftp.storage.registry import backend_for

    conf = conf_for(replace(plan, step=""))
    intake = Intake(
        conf, submit=lambda p, j: None, writer=None, backend_for=backend_for, owner=f"{NODE}:2:0"
    )
    principal = alice()
    for path in PATHS:
        intake.discard_suspended(principal, path)
    recovery_for_command(conf, f"{NODE}:2:0").prune()
    assert not Upload.objects.filter(state__in=("receiving", "publishing", "suspended")).exists()
    return backend_for(principal.storage).sweep(lambda upload_id: False, older_than=timezone.now())


# --- the judge ------------------------------------------------------------------------------


class Judge:
    """Keeps what was promised, and compares."""

    def __init__(self, chance: random.Random, part_size: int) -> None:
        self._chance = chance
        self._part_size = part_size
        self._most = 6 * part_size if part_size < 1024 * 1024 else 2 * part_size + part_size // 4
        self._now: dict[str, str | None] = dict.fromkeys(PATHS)
        self._suspended: dict[str, list[Any] | None] = dict.fromkeys(PATHS)
        self._plans: dict[int, Plan] = {}
        self.counts: Counter[str] = Counter()

    def plan(self, number: int, steps: tuple[str, ...]) -> Plan:
        chance = self._chance
        path = chance.choice(PATHS)
        step = chance.choice([*steps, "", "", ""])
        held = self._suspended[path]
        # What the upload must be like to pass the step, else the round kills nobody.
        cut = step.startswith(("suspend", "abort")) or chance.random() < 0.2
        in_parts = step.startswith(("begin", "part", "suspend"))
        common = {
            "number": number,
            "path": path,
            "part_size": self._part_size,
            "step": f"{step}:{chance.choice([1, 1, 2]) if step in PASSED_AGAIN else 1}"
            if step
            else "",
            "cut": cut and not step.startswith(AT_THE_END),
        }
        if held is not None and not step.startswith(("begin", "abort")) and chance.random() < 0.6:
            old = self._plans[held[1]]
            made = Plan(content=old.content, size=old.size, offset=held[0], **common)  # type: ignore[arg-type]
        else:
            part = self._part_size
            small = step.startswith("abort") or (not in_parts and chance.random() < 0.3)
            size = chance.randrange(0, part) if small else chance.randrange(part + 1, self._most)
            made = Plan(content=number, size=size, offset=0, **common)  # type: ignore[arg-type]
        self._plans[number] = made
        return made

    def judge(self, plan: Plan, said: list[Any], status: int, report: dict[str, Any]) -> None:
        killed = status == -signal.SIGKILL
        acknowledged = bool(said) and str(said[-1]).startswith("226")
        self.counts["killed"] += killed
        self.counts["acknowledged"] += acknowledged
        self.counts["resumed"] += bool(plan.offset)
        self.counts["swept"] += report["swept"]
        self.counts[f"at {plan.step.partition(':')[0] or 'a random time'}"] += killed
        now, before = report["sha256"], self._now[plan.path]
        assert killed or status == 0, "the uploading process failed"
        assert report["again"] == {}, "recovery is not idempotent"
        assert now in (before, plan.sha256), "the object is neither the old nor the new file"
        if acknowledged:
            assert said[-1] == f"226 {plan.sha256}"
            assert now == plan.sha256, "a false acknowledgement"
        if plan.cut:
            assert now == before, "a truncated upload was published"
        assert now == report["newest"], "the ledger does not agree with storage"
        assert not {"receiving", "publishing"} & set(report["rows"]), "a row was left live"
        events = report["events"]
        ended = sum(events.get(f"upload.{e}", 0) for e in ("committed", "suspended", "aborted"))
        begun = len(report["rows"]) + events.get("upload.resumed", 0)
        assert ended == begun, f"{begun} attempts, {ended} rows"
        held = report["suspended"]
        if held is not None:
            assert 0 < held[0] < self._plans[held[1]].size, "it looks finished"
        self._now[plan.path], self._suspended[plan.path] = now, held


def warm_up() -> None:
    """Have botocore read its service descriptions once, not in each fork; nothing connects."""
    if "s3" not in settings.STORAGES["default"]["BACKEND"]:
        return
    import boto3
    from botocore.loaders import JSONFileLoader

    JSONFileLoader.load_file = functools.cache(JSONFileLoader.load_file)
    boto3.client("s3", region_name="us-east-1")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part-size", type=int, default=64 * 1024)
    parser.add_argument("--longest", type=float, default=0.25, help="seconds before a clock kills")
    options = parser.parse_args()
    django.setup()
    from securedrop_ftp.intake.steps import STEPS

    # Imported once, not in each fork.
    for module in (settings.STORAGES["default"]["BACKEND"].rpartition(".")[0], *ALREADY):
        importlib.import_module(module)
    warm_up()
    chance = random.Random(options.seed)
    judge = Judge(chance, options.part_size)
    started = time.monotonic()
    number = 0
    while judge.counts["killed"] < options.kills:
        number += 1
        plan = judge.plan(number, STEPS)
        after = chance.uniform(0.03, options.longest) if not plan.step else None
        if number % 50 == 0:
            print(f"{judge.counts['killed']} kills", file=sys.stderr, flush=True)
        said, status = in_child(lambda plan=plan: upload(plan), after)  # type: ignore[misc]
        reports, ended = in_child(lambda plan=plan: recover(plan))  # type: ignore[misc]
        assert ended == 0, "recovery failed"
        try:
            judge.judge(plan, said, status, reports[-1])
        except AssertionError as exc:
            broken = {"broken": str(exc), "plan": str(plan), "said": said, "report": reports[-1]}
            print(json.dumps(broken))
            return 1
    orphans, ended = in_child(lambda: clean_up(plan))
    seconds = round(time.monotonic() - started, 1)
    result = {"rounds": number, "orphans": orphans[-1:], "seconds": seconds, **judge.counts}
    print(json.dumps(result))
    return 0 if ended == 0 and orphans == [0] else 1


if __name__ == "__main__":
    sys.exit(main())
