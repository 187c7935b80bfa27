"""Live control: which sessions must end because what let them in is no more, and what the others
may from now on (rows 31 and 73).

A session ends where something that it may have used already was taken away: it was disabled, its
password was changed, an address, a certificate, a permission, the root, a policy. Limits, and what
was added, take effect in the session as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.access.certificates import refusal_reason
from securedrop_ftp.access.principal import Principal, principal_of
from securedrop_ftp.db import renew_connections
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Account, IPRule, OverwritePolicy, is_staff

#: Ids in one query: SQLite takes 999 variables in old builds.
CHUNK: Final = 500


#: From the strictest: who goes to the left takes something away.
_LOOSER: Final = (OverwritePolicy.REJECT, OverwritePolicy.VERSION, OverwritePolicy.REPLACE)


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a live session: why it must end, or who it is from now on."""

    ended: str | None
    principal: Principal


def standings(principals: Sequence[tuple[Principal, str]]) -> list[Standing]:
    """For each ``(principal, remote_ip)`` of a live session. Two queries for each :data:`CHUNK`
    accounts or partners. Blocking.

    Raises:
        AccessUnavailable: the database failed; nothing is known.
    """
    renew_connections()
    try:
        accounts = _load_accounts({p.account_id for p, _ in principals})
        rules = _load_rules({p.partner_id for p, _ in principals})
    except Exception as exc:
        raise AccessUnavailable("The database did not answer.") from exc
    found = []
    for p, ip in principals:
        account = accounts.get(p.account_id)
        ended = _why_not(p, ip, account, rules.get(p.partner_id, []))
        now = p if ended or account is None else principal_of(account, p.certificate)
        found.append(Standing(ended, now))
    return found


def still_allowed(principals: Sequence[tuple[Principal, str]]) -> list[str | None]:
    """For each live session ``None``, or why it must end; :func:`standings` judges."""
    return [standing.ended for standing in standings(principals)]


def _chunks(ids: set[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[i : i + CHUNK] for i in range(0, len(ordered), CHUNK)]


def _load_accounts(ids: set[int]) -> dict[int, Account]:
    found: dict[int, Account] = {}
    for chunk in _chunks(ids):
        found |= Account.objects.select_related("user", "partner").in_bulk(chunk)
    return found


def _load_rules(ids: set[int]) -> dict[int, list[tuple[str, str]]]:
    rules: dict[int, list[tuple[str, str]]] = {}
    for chunk in _chunks(ids):
        rows = IPRule.objects.filter(partner_id__in=chunk)
        for partner_id, action, net in rows.values_list("partner_id", "action", "network"):
            rules.setdefault(partner_id, []).append((action, net))
    return rules


def _why_not(
    principal: Principal, ip: str, account: Account | None, rules: list[tuple[str, str]]
) -> str | None:
    if account is None:
        return "The account was removed."
    if not account.enabled or not account.user.is_active:
        return "The account was disabled."
    if is_staff(account.user):
        return "The account's user became one of the staff."
    if not account.partner.enabled:
        return "The partner was disabled."
    if not network.allowed(ip, rules):
        return "The address is no longer allowed."
    reason = refusal_reason(account, principal.certificate)  # expired, revoked, or newly required
    if reason:
        return f"The login would be refused now: {reason}."
    return _taken_away(principal, principal_of(account, principal.certificate))


def _taken_away(then: Principal, now: Principal) -> str | None:
    if now.stamp != then.stamp:
        return "The password was changed."
    if (now.partner_id, now.root, now.storage) != (then.partner_id, then.root, then.storage):
        return "The account's settings were changed."
    if not then.permissions <= now.permissions:
        return "The account's settings were changed."
    if _LOOSER.index(now.overwrite) < _LOOSER.index(then.overwrite):
        return "The partner's overwrite policy was changed."
    if now.require_tls_session_reuse and not then.require_tls_session_reuse:
        return "The partner's data channels must resume the TLS session now."
    return None
