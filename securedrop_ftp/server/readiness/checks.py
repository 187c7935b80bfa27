"""What ``/readyz`` asks: one line in :data:`CHECKS` for each question.

Its answers are short words for a balancer and for strangers, who may ask too: no name of a partner,
a storage or a host is in them. Names and reasons are in the log.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securedrop_ftp import clock
from securedrop_ftp.conf import MIB, get_conf
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import AuditEvent, AuditHead
from securedrop_ftp.server.readiness import bounded, database, storages, writers

logger = get_logger(__name__)

#: Seconds for all answers together, and for those of the storages among them.
PATIENCE: Final = 5.0
STORAGE_PATIENCE: Final = 4.0
#: Seconds that a report stands for who asks next: strangers must not keep the database busy.
FRESH: Final = 2.0
#: Bytes of the data directory's disk; SQLite, the audit spool and the part spool need some.
LEAST_FREE: Final = 64 * MIB


@dataclass(frozen=True, slots=True)
class Answer:
    """``word`` for everybody, ``reason`` for the log. ``serves``: whether partners can be served
    all the same; one partner's storage must not take the whole node out of the balancer."""

    word: str = "ok"
    reason: str = ""
    serves: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """All answers."""

    answers: dict[str, Answer]

    @property
    def ready(self) -> bool:
        """Whether partners can be served."""
        return all(answer.serves for answer in self.answers.values())

    @property
    def status(self) -> str:
        """``ready``, ``degraded`` or ``unavailable``."""
        if not self.ready:
            return "unavailable"
        return "ready" if all(a.word == "ok" for a in self.answers.values()) else "degraded"


def _database() -> Answer:
    try:
        database.usable()
    except ConfigurationError as exc:
        words = {database.NotMigrated: "not migrated", database.NotWritable: "not writable"}
        return Answer(words.get(type(exc), "unreachable"), str(exc), serves=False)
    return Answer()


def _some_are_usable(failing: Collection[str], aliases: Collection[str]) -> bool:
    """One partner's storage does not take the node away from all others."""
    return len(failing) < len(aliases)


def _storage() -> Answer:
    aliases = storages.aliases_of_partners()
    failing = storages.unusable(aliases, STORAGE_PATIENCE)
    if not failing:
        return Answer()
    reason = " ".join(f"“{alias}”: {why}" for alias, why in failing.items())
    word = f"{len(failing)} of {len(aliases)} unusable"
    return Answer(word, reason, serves=_some_are_usable(failing, aliases))


def _trail() -> Answer:
    head = AuditHead.objects.filter(pk=1).first()
    if head is not None and head.seq:
        last = AuditEvent.objects.filter(seq=head.seq).values_list("hash", flat=True).first()
        if last != head.hash:
            return Answer("broken", f"row {head.seq} is not the chain's head; see audit_verify")
    if (get_conf().data_dir / "audit-spool" / "rejected").exists():
        return Answer("rows set aside", "audit-spool/rejected holds rows that no database took")
    return Answer()


def _clock() -> Answer:
    reading = clock.read()
    off = max(0.0, abs(reading.ahead) - reading.doubt)
    if off <= clock.TOLERATED:
        return Answer()
    return Answer("wrong", f"{off:.0f} s from the database's; no logins are taken", serves=False)


def _disk() -> Answer:
    place: Path = get_conf().data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free >= LEAST_FREE:
        return Answer()
    return Answer("full", f"{free // MIB} MiB are free at {place}", serves=False)


def _writer() -> Answer:
    stuck, workers = writers.stuck_writers(get_conf())
    if not stuck:
        return Answer()
    word = f"{len(stuck)} of {workers} stuck"
    return Answer(word, " ".join(stuck), serves=len(stuck) < workers)


CHECKS: Final[dict[str, Callable[[], Answer]]] = {
    "database": _database,
    "storage": _storage,
    "trail": _trail,
    "clock": _clock,
    "disk": _disk,
    "writer": _writer,
}

_last: tuple[float, Report] | None = None


def report() -> Report:
    """The answers of now, or of :data:`FRESH` seconds ago; within :data:`PATIENCE`."""
    global _last
    if _last is not None and time.monotonic() - _last[0] < FRESH:
        return _last[1]
    answers = {name: _judged(a) for name, a in bounded.ask(CHECKS, PATIENCE).items()}
    before = _last[1].answers if _last is not None else {}
    for name, answer in answers.items():
        if answer.word != "ok" and before.get(name) != answer:
            logger.warning("readiness.failed", check=name, word=answer.word, reason=answer.reason)
    _last = time.monotonic(), Report(answers)
    return _last[1]


def _judged(answer: Answer | Exception) -> Answer:
    if isinstance(answer, Answer):
        return answer
    word = "no answer" if isinstance(answer, bounded.NoAnswer) else "failed"
    return Answer(word, f"{type(answer).__name__}: {answer}", serves=False)
