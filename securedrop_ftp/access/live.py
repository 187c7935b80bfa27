"""Live control: which sessions must end because what let them in is no more (row 31)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.access.certificates import trouble
from securedrop_ftp.access.principal import Principal, principal_of
from securedrop_ftp.db import renew_connections
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Account, IPRule, is_staff

#: Ids in one query: SQLite takes 999 variables in old builds.
CHUNK: Final = 500


def still_allowed(principals: Sequence[tuple[Principal, str]]) -> list[str | None]:
    """For each ``(principal, remote_ip)`` of a live session: ``None``, or why it must end.

    Two queries for each :data:`CHUNK` accounts or partners. Blocking.

    Raises:
        AccessUnavailable: the database failed; nothing is known.
    """
    renew_connections()
    try:
        accounts = _load_accounts({p.account_id for p, _ in principals})
        rules = _load_rules({p.partner_id for p, _ in principals})
    except Exception as exc:
        raise AccessUnavailable("The database did not answer.") from exc
    return [
        _why_not(p, ip, accounts.get(p.account_id), rules.get(p.partner_id, []))
        for p, ip in principals
    ]


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
    reason = trouble(account, principal.certificate)  # expired, revoked, or newly required
    if reason:
        return f"The login would be refused now: {reason}."
    now = principal_of(account)
    if (now.partner_id, now.root, now.storage) != (
        principal.partner_id,
        principal.root,
        principal.storage,
    ) or not principal.permissions <= now.permissions:
        return "The account's settings were changed."
    return None
