"""What a partner's last sessions failed with, from the trail.

Sessions that logged in name the partner. Of those that did not, failed logins with an account of
the partner do; and what failed before any name was sent (TLS, a wrong protocol) is looked for at
the addresses that the partner's sessions came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from securedrop_ftp.audit.partners import of_partner
from securedrop_ftp.causes import CAUSES
from securedrop_ftp.models import AuditEvent
from securedrop_ftp.reasons import of_login

#: How far is looked back, and at how many rows of each kind; each is one range of an index.
DAYS: Final = 30
NEWEST: Final = 500
#: Failed sessions of strangers that are looked at, for those of the partner's addresses.
STRANGERS: Final = 5000
#: Addresses that strangers are looked for at; names that are told of each kind.
ADDRESSES: Final = 20
TOLD: Final = 3


@dataclass(slots=True)
class Difficulty:
    """One cause, with what is known of who met it, the newest first."""

    cause: str
    happened: str
    remedy: str
    count: int
    last: datetime
    known_by_address: bool = False  # nobody was logged in: it may have been somebody else
    clients: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """The command that an operator may run; its placeholders are not filled in."""
        known = CAUSES.get(self.cause)
        return known.command if known is not None else ""


@dataclass(slots=True)
class History:
    """The partner's sessions of the last :data:`DAYS`, the newest :data:`NEWEST` of them."""

    sessions: int = 0
    transfers: int = 0
    failed: int = 0
    last: datetime | None = None  # session that was right
    clients: list[str] = field(default_factory=list)
    difficulties: list[Difficulty] = field(default_factory=list)


def history(partner: str) -> History:
    """Read the partner's last sessions and what they failed with. Blocking; a handful of
    queries, however long the trail is."""
    since = timezone.now() - timedelta(days=DAYS)
    closed = _newest(partner, since, "session.closed")
    failed = _newest(partner, since, "login.failed", "login.locked")
    told = History(sessions=len(closed))
    for row in closed:
        details = row.details or {}
        told.transfers += details.get("transfers", 0)
        told.failed += details.get("failed", 0)
        _note(told.clients, client_of(details))
        if row.outcome == "success" and (told.last is None or row.time > told.last):
            told.last = row.time
    found = _Found()
    for row in closed:
        found.session(row)
    sessions = _sessions({row.session for row in failed if row.session})
    for row in failed:
        found.login(row, sessions.get(row.session))
    own = {row.session for row in (*closed, *failed) if row.session}
    addresses = list(dict.fromkeys(row.remote_ip for row in (*closed, *failed) if row.remote_ip))
    for row in _strangers(addresses[:ADDRESSES], since):
        if row.session not in own:
            found.session(row, by_address=True)
    told.difficulties = found.in_order()
    return told


def client_of(details: dict[str, Any]) -> str:
    """``lftp/4.9.2, GnuTLS (lftp 4.9.2), TLSv1.2``; ``""`` where nothing is known."""
    library = details.get("library", "")
    named = [
        details.get("client", ""),
        "" if library == "unknown" else library,
        details.get("tls", ""),
    ]
    if library == "unknown" and details.get("ja4"):
        named[1] = f"unknown TLS library {details['ja4']}"
    return ", ".join(text for text in named if text)


def _newest(partner: str, since: datetime, *events: str) -> list[AuditEvent]:
    rows: Any = AuditEvent.objects.filter(event__in=events, time__gte=since)
    wanted = of_partner(rows, partner)
    return list(wanted.order_by("-time", "-seq")[:NEWEST])


def _sessions(ids: set[str]) -> dict[str, AuditEvent]:
    rows = AuditEvent.objects.filter(event="session.closed", session__in=list(ids)[:NEWEST])
    return {row.session: row for row in rows.order_by()}


def _strangers(addresses: list[str], since: datetime) -> Iterable[AuditEvent]:
    """By the index over partners, which strangers' rows begin: an address may have a million rows
    of the partner's own."""
    if not addresses:
        return ()
    rows = AuditEvent.objects.filter(
        partner="", event="session.closed", outcome="failure", time__gte=since
    )
    looked_at = rows.order_by("-time", "-seq").values_list("seq", "remote_ip")[:STRANGERS]
    found = [seq for seq, address in looked_at if address in addresses]
    return AuditEvent.objects.filter(seq__in=found[:NEWEST]).order_by("-seq")


def _note(names: list[str], name: str) -> None:
    if name and name not in names and len(names) < TOLD:
        names.append(name)


class _Found:
    def __init__(self) -> None:
        self._by_cause: dict[tuple[str, bool], Difficulty] = {}

    def session(self, row: AuditEvent, *, by_address: bool = False) -> None:
        """What stands in a session's last row."""
        details = row.details or {}
        for trouble in details.get("troubles", ()):
            self._add(row, details, trouble, by_address)

    def login(self, row: AuditEvent, session: AuditEvent | None) -> None:
        """A failed login; ``session``: the last row of its session."""
        cause = of_login(row.reason)
        if cause is not None:
            trouble = {"cause": cause.name, "happened": cause.happened, "remedy": cause.remedy}
            self._add(row, (session.details if session else None) or {}, trouble, False)

    def _add(
        self, row: AuditEvent, details: dict[str, Any], trouble: dict[str, Any], by_address: bool
    ) -> None:
        key = trouble["cause"], by_address
        found = self._by_cause.get(key)
        if found is None:
            found = self._by_cause[key] = Difficulty(
                trouble["cause"], trouble["happened"], trouble["remedy"], 0, row.time, by_address
            )
        found.count += trouble.get("count", 1)
        found.last = max(found.last, row.time)
        _note(found.clients, client_of(details))
        _note(found.accounts, row.account)
        _note(found.addresses, row.remote_ip)

    def in_order(self) -> list[Difficulty]:
        """The most frequent first."""
        return sorted(self._by_cause.values(), key=lambda d: (-d.count, d.cause))
