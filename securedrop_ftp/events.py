"""What happens, as typed payloads: the vocabulary of signals, log lines and audit rows.

One :class:`Event` travels from where the act ended to every receiver. Its ``name`` is one of
:data:`EVENT_NAMES` (dotted, past tense; docs/reference/audit.md). Text that came from a client
is kept as sent here; :mod:`securedrop_ftp.audit` escapes it before it is stored or logged.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

EVENT_NAMES: Final = (
    "session.opened",
    "session.closed",
    "login.succeeded",
    "login.failed",
    "login.locked",
    "upload.committed",
    "upload.suspended",
    "upload.resumed",
    "upload.aborted",
    "upload.rejected",
    "download.completed",
    "download.aborted",
    "file.deleted",
    "file.renamed",
    "directory.created",
    "directory.removed",
    "access.denied",
    "refusals.counted",
    "account.changed",
    "partner.changed",
    "storage.adopted",
)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who changes something, for the trail: ``olga (admin)``, ``root (command)``.

    Attributes:
        name: the user's of the admin site, or the system's of whoever runs a command.
        through: ``admin`` or ``command``; ``""`` where the name says it all.
        address: where the request came from; ``""`` for a command.
    """

    name: str
    through: str = ""
    address: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.through})" if self.through else self.name


#: A text stands for an operator without an address.
By = Operator | str


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One act and its outcome.

    Attributes:
        name: one of :data:`EVENT_NAMES`.
        outcome: ``success``, ``failure`` or ``denied``.
        partner, account: names, ``""`` before login.
        remote_ip: textual address, ``""`` where the act had none (a command, admin).
        session: the session's id, ``""`` likewise.
        partner_id: the partner's number, which a change of its name does not change.
        actor: the operator who did it, for changes.
        path: the FTP path (for a rename ``old -> new``).
        size: bytes of the file, or moved before the end; ``None`` where it means nothing.
        sha256: lower-case hex of the whole file, ``""`` if not known.
        reason: a short sentence or token that says why.
        reply: the reply the client got, code and text.
        event_id: makes the row unique, so that a retried insert is not a second row.
        extra: further values for the log line and for receivers; not in the audit row.
        details: further values that the audit row keeps, as JSON: numbers, texts, and lists and
            objects of them; ``None`` for none.
    """

    name: str
    outcome: str = "success"
    partner: str = ""
    account: str = ""
    remote_ip: str = ""
    session: str = ""
    path: str = ""
    size: int | None = None
    sha256: str = ""
    reason: str = ""
    reply: str = ""
    time: datetime = field(default_factory=_now)
    event_id: uuid.UUID = field(default_factory=uuid.uuid4)
    extra: dict[str, Any] = field(default_factory=dict)
    partner_id: int | None = None
    actor: str = ""
    details: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.name not in EVENT_NAMES:
            raise ValueError(f"unknown event {self.name!r}")

    def but(self, **changes: Any) -> Event:
        """A copy with other values and an id of its own."""
        changes.setdefault("event_id", uuid.uuid4())
        return replace(self, **changes)
