"""``doctor --partner``: what one partner's software fails with, and what to change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from securedrop_ftp.audit.difficulties import DAYS, Difficulty, History, history
from securedrop_ftp.models import ClientCertificates, Partner
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning

PARTNER: Final = "partner"
SETTINGS: Final = "settings"
CLIENT: Final = "client"

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


def examine_partner(partner: Partner) -> Iterator[Finding]:
    """How its sessions went, what its settings ask of a client, and each thing that failed."""
    past = history(partner.name)
    yield _course(partner, past)
    yield from settings_of(partner)
    for client in past.clients:
        yield ok(CLIENT, f"{client}.")
    for difficulty in past.difficulties:
        yield finding(partner, difficulty, past.last)


def _course(partner: Partner, past: History) -> Finding:
    if not past.sessions and not past.difficulties:
        return warning(
            PARTNER,
            f"No session of {partner.name} in the last {DAYS} days, and no failed login.",
            "Its software does not reach this service, or calls itself by another name: see "
            "refused connections in the log, the firewall, and the address and port that the "
            "partner was given.",
        )
    last = f"the last good one ended on {_time(past.last)}" if past.last else "none was good"
    tried = past.transfers + past.failed
    return ok(
        PARTNER,
        f"{past.sessions} session{'' if past.sessions == 1 else 's'} of {partner.name} in the "
        f"last {DAYS} days, {last}; "
        f"{past.transfers} of {tried} transfers went through.",
    )


def settings_of(partner: Partner) -> Iterator[Finding]:
    """What the partner's settings ask of its software."""
    rules = [f"{rule.action} {rule.network}" for rule in partner.ip_rules.all()]
    accounts = list(partner.accounts.select_related("user", "partner"))
    off = sorted(a.username for a in accounts if not (a.enabled and a.user.is_active))
    words = [
        f"mode {partner.mode}",
        f"a taken name: {partner.overwrite_policy.value}",
        f"TLS session reuse {'required' if partner.require_tls_session_reuse else 'not required'}",
        f"missing directories {'made' if partner.create_directories else 'refused'}",
        *(["appending on"] if partner.append else []),
        f"ASCII {partner.ascii}",
        "close_notify "
        + ("not required with ALLO" if partner.accept_missing_close_notify else "required"),
        f"client certificates {partner.client_certificates}",
        f"addresses {', '.join(rules) or 'any'}",
        f"at most {partner.max_sessions} sessions",
    ]
    if partner.max_file_size:
        words.append(f"files of at most {partner.max_file_size} bytes")
    yield ok(SETTINGS, f"{'; '.join(words)}.")
    if not partner.enabled:
        yield problem(
            SETTINGS,
            "The partner is disabled: none of its accounts logs in.",
            f"partner_set {partner.name} --enabled on",
        )
    if not accounts:
        yield problem(
            SETTINGS,
            "The partner has no account.",
            f"account_create {partner.name} USERNAME --generate-password",
        )
    for username in off:
        yield warning(
            SETTINGS,
            f"The account {username} is disabled.",
            f"account_set {username} --enabled on",
        )
    if partner.client_certificates in (ClientCertificates.REQUIRED, ClientCertificates.INSTEAD):
        yield ok(
            SETTINGS,
            "Each login must show a client certificate; partner_certificates "
            f"{partner.name} says which.",
        )


def finding(partner: Partner, difficulty: Difficulty, last_good: datetime | None) -> Finding:
    """One cause. A problem, unless a session went through since."""
    where = [", ".join(difficulty.accounts), ", ".join(difficulty.addresses)]
    who = " from ".join(text for text in where if text)
    clients = f"; client: {' / '.join(difficulty.clients)}" if difficulty.clients else ""
    times = "once" if difficulty.count == 1 else f"{difficulty.count} times"
    told = [f"{times}, last on {_time(difficulty.last)}", f", {who}" if who else "", clients]
    if difficulty.known_by_address:
        told.append("; nobody had logged in, but the partner's sessions come from that address")
    since = last_good is not None and last_good >= difficulty.last
    if since:
        same = last_good == difficulty.last
        told.append(f"; {'that session ended well' if same else 'sessions went through since'}")
    mend = difficulty.remedy
    command = _filled(difficulty, partner)
    if command:
        mend += f" To change it: {command}"
    make = warning if since or difficulty.known_by_address else problem
    return make(difficulty.cause, f"{''.join(told)}. {difficulty.happened}", mend)


def _filled(difficulty: Difficulty, partner: Partner) -> str:
    known = {
        "partner": partner.name,
        "account": next(iter(difficulty.accounts), "USERNAME"),
        "address": next(iter(difficulty.addresses), "ADDRESS"),
    }
    return _PLACEHOLDER.sub(lambda match: known[match[1]], difficulty.command)


def _time(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if time else "-"
