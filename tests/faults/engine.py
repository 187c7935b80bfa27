"""The fault engine: many uploads to a real service while everything around it breaks.

Clients cut and kill their uploads (:mod:`~tests.faults.sender`); proxies break the connections to
storage and database (:mod:`~tests.faults.proxy`); processes are killed, the database restarted or
locked, the disk filled (:mod:`~tests.faults.mischief`). Then everything heals, the service
recovers and sweeps, and :meth:`Engine.judge` compares what clients were told with what ledger,
audit trail and storage hold.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.mischief import Mischief
from tests.faults.proxy import FaultProxy
from tests.faults.sender import Fate, Sender
from tests.fixtures.processes import wait_until
from tests.fixtures.served import ServedFtps
from tests.fixtures.stores import RESERVED

#: One row of these is what an attempt leaves.
ENDINGS: Final = ("upload.committed", "upload.aborted", "upload.suspended", "upload.rejected")

#: The deadline of a storage operation in these runs, seconds.
STORAGE_DEADLINE: Final = 5.0
#: A final reply or a close comes within five seconds of a fault, or of storage's deadline.
REPLY_WITHIN: Final = 5.0
#: The longest that the mischief keeps the database or the disk away.
OUTAGE: Final = 5.0

#: Settings of a service under the engine: short deadlines, so that much happens.
OPTIONS: Final[dict[str, object]] = {
    "storage_timeout": STORAGE_DEADLINE,
    "lease_seconds": 6,
    "control_check_interval": 2,
    "drain_timeout": 5,
    # A login whose worker was killed counts as a guess (docs/adr/0006-lockout.md), and many are.
    "lockout_user_ip_limit": 100_000,
    "lockout_ip_limit": 100_000,
}


@dataclass
class Report:
    """What the run came to; ``wrong`` holds the broken promises, and must be empty."""

    attempts: int
    acknowledged: int
    refused: int
    pending: int
    unanswered: int
    false_acknowledgements: int
    changed_objects: int
    orphans: int
    hangs: int
    rows: int
    rows_per_attempt: float
    longest_wait: float
    seconds: float
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"  {name.replace('_', ' '):24}{getattr(self, name)}"
            for name in (
                "attempts", "acknowledged", "refused", "pending", "unanswered",
                "false_acknowledgements", "changed_objects", "orphans", "hangs", "rows",
                "rows_per_attempt", "longest_wait", "seconds",
            )
        ]  # fmt: skip
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return "\n".join([*lines, f"  faults: {faults}", *self.wrong[:20]])


class Engine:
    """One run against one service.

    Args:
        ftps: the service, started, with :data:`OPTIONS`.
        mischief: what befalls it.
        proxies: what stands around it, with the rate of their random faults.
        part_size: of its uploads.
    """

    senders = 6

    def __init__(
        self,
        ftps: ServedFtps,
        mischief: Mischief,
        proxies: Iterable[tuple[FaultProxy, float]],
        scratch: Path,
        *,
        uploads: int,
        seconds: float,
        seed: int,
        part_size: int,
        share_of_large: float,
        mischief_every: int,
    ) -> None:
        self.ftps, self.scratch = ftps, scratch
        self.seed, self.part_size, self.share_of_large = seed, part_size, share_of_large
        self.patience = REPLY_WITHIN + STORAGE_DEADLINE + OUTAGE
        self._mischief, self._proxies = mischief, list(proxies)
        self._uploads, self._every = uploads, mischief_every
        self._until = time.monotonic() + seconds
        self._taken = self._troubled = 0
        self._senders: list[Sender] = []
        self._lock = threading.Lock()
        ftps.faults_expected = True

    # --- for the senders ------------------------------------------------------------------

    def take(self) -> int | None:
        """The number of the next upload, ``None`` when there were enough or the time is up.

        In a short run each of the first uploads may meet a fault; up to as many more are sent,
        without mischief, until one is acknowledged.
        """
        with self._lock:
            more = self._taken < self._uploads or (
                self._taken < 2 * self._uploads and not self._acknowledged
            )
            if not more or time.monotonic() > self._until:
                return None
            self._taken += 1
            return self._taken

    @property
    def _acknowledged(self) -> int:
        return sum(sender.counts["acknowledged"] for sender in self._senders)

    def digest_at(self, fate: Fate, path: str) -> str | None:
        """What storage holds now, read behind the service."""
        try:
            return hashlib.sha256(self.ftps.stored(f"{fate.prefix}{path}")).hexdigest()
        except KeyError:
            return None

    # --- the run --------------------------------------------------------------------------

    def run(self) -> Report:
        """Uploads under faults, then healing, then the judgement."""
        began = time.monotonic()
        for proxy, rate in self._proxies:
            proxy.rate = rate
        self._senders = senders = [Sender(self, index) for index in range(self.senders)]
        for sender in senders:
            sender.start()
        # In this thread: children end with the thread that started them (PR_SET_PDEATHSIG).
        self._mischief.run(self._due, lambda: not any(s.is_alive() for s in senders))
        for proxy, _ in self._proxies:
            proxy.rate = 0.0
        return self._judge(senders, began)

    def _due(self) -> bool:
        if self._taken < self._troubled + self._every or self._taken > self._uploads:
            return False
        self._troubled = self._taken
        return True

    # --- the judgement --------------------------------------------------------------------

    def _judge(self, senders: list[Sender], began: float) -> Report:
        wrong = [line for sender in senders for line in sender.wrong]
        self._heal()
        fates = {path: fate for sender in senders for path, fate in sender.fates.items()}
        rows, expected = self._count_rows(fates, wrong)
        for path, fate in fates.items():
            if self.digest_at(fate, path) not in fate.allowed:
                wrong.append(f"changed object at the end: {path}")
        orphans = self._sweep(wrong)
        verdict = self.ftps.manage("audit_verify", check=False)
        if "holds" not in verdict and "intact" not in verdict:
            wrong.append(f"audit chain: {verdict}")
        counts = sum((sender.counts for sender in senders), Counter[str]())
        faults = Counter({k: n for k, n in counts.items() if k.startswith(("end", "reply"))})
        faults += self._mischief.done
        for proxy, _ in self._proxies:
            faults += proxy.done
        return Report(
            attempts=sum(fate.sent for fate in fates.values()),
            acknowledged=counts["acknowledged"],
            refused=counts["refused"],
            pending=counts["pending"],
            unanswered=counts["unanswered"],
            false_acknowledgements=sum(line.startswith("false") for line in wrong),
            changed_objects=sum(line.startswith("changed") for line in wrong),
            orphans=orphans,
            hangs=sum(line.startswith("hang") for line in wrong),
            rows=rows,
            rows_per_attempt=round(rows / expected, 4) if expected else 0.0,
            longest_wait=round(max(sender.longest for sender in senders), 1),
            seconds=round(time.monotonic() - began, 1),
            faults=faults,
            wrong=wrong,
        )

    def _heal(self) -> None:
        """Start once more: recovery runs before the service is ready, the leases' end after."""
        self.ftps.restart()
        wait_until(self._settled, "recovery")

    def _settled(self) -> bool:
        live = self.ftps.query(
            "SELECT count(*) AS n FROM securedrop_ftp_upload WHERE state IN ('receiving',"
            " 'publishing')"
        )
        spooled = [
            path
            for path in Path(str(self.ftps.settings["DATA_DIR"])).glob("audit-spool/*.jsonl")
            if path.stat().st_size
        ]
        return not live[0]["n"] and not spooled

    def _count_rows(self, fates: dict[str, Fate], wrong: list[str]) -> tuple[int, int]:
        """(audit rows, rows there should be). Of an attempt that nobody answered, because the
        service was killed, there may be none: it may never have begun."""
        rows: Counter[str] = Counter()
        for row in self.ftps.audit():
            if row["event"] in ENDINGS:
                rows[row["path"]] += 1
        ledger: Counter[str] = Counter()
        for upload in self.ftps.uploads():
            ledger[upload["path"]] += 1
        expected = 0
        for path, fate in fates.items():
            at_least = max(fate.answered, ledger[path])
            should = min(max(rows[path], at_least), fate.sent)
            expected += should
            if rows[path] != should:
                wrong.append(
                    f"rows: {path} has {rows[path]}, {fate.sent} attempts, "
                    f"{fate.answered} answered, {ledger[path]} in the ledger"
                )
        return sum(rows[path] for path in fates), expected

    def _sweep(self, wrong: list[str]) -> int:
        """What is left after every suspended upload has expired."""
        self.ftps.query("UPDATE securedrop_ftp_partner SET resume_window = 0")
        time.sleep(0.01)
        self.ftps.manage("uploads_prune")
        left = self.ftps.store.unfinished()
        kept = f"{RESERVED}location"  # of the location itself, not of an upload
        ours = [k for k in self.ftps.store.everything() if k.startswith(RESERVED) and k != kept]
        if left or ours:
            wrong.append(f"orphans: {left} unfinished, {ours[:5]}")
        return left + len(ours)


def options_for(part_size: int, **more: Any) -> dict[str, object]:
    """The service's settings for a run."""
    return {**OPTIONS, "part_size": part_size, "max_part_size": part_size, **more}
