"""Partners, accounts and network rules as operators change them: validated, atomic with the audit
row, which says from what to what and who; what changes nothing leaves no row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.db.models.functions import Substr

from securedrop_ftp.access.provisioning import (
    account_changed,
    delete_account,
    partner_changed,
)
from securedrop_ftp.db import write_transaction
from securedrop_ftp.events import By
from securedrop_ftp.models import Account, Directory, IPRule, NameChange, Partner, Upload
from securedrop_ftp.models.upload import LIVE

#: Longer texts (PEM) stand in the audit trail by their digest.
_LONGEST_SHOWN: Final = 200

_M = TypeVar("_M", Partner, Account)


def shown(value: Any) -> str:
    """A field's value in an audit row."""
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(sorted(map(str, value))) or "-"
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        digest = hashlib.sha256(value.encode()).hexdigest()
        return f"({len(value)} characters, SHA-256 {digest[:16]}…)"
    return "-" if value in (None, "") else str(value)


def set_partner(partner: Partner, by: By, values: Mapping[str, Any]) -> list[str]:
    """Give fields of a partner other values. Returns what changed, ``mode: drop → exchange``;
    empty where everything was so already, and then nothing is written.

    Raises:
        ValidationError: a field is wrong; nothing is changed.
    """
    with write_transaction():
        changes = _set(partner, values)
        if changes:
            partner_changed(partner, f"changed by {by}: {'; '.join(changes)}", by)
    return changes


def set_account(account: Account, by: By, values: Mapping[str, Any]) -> list[str]:
    """As :func:`set_partner`, for an account. Its password is not among the fields.

    Raises:
        ValidationError: a field is wrong; nothing is changed.
    """
    with write_transaction():
        changes = _set(account, values)
        if changes:
            account_changed(account, f"changed by {by}: {'; '.join(changes)}", by)
    return changes


def _set(row: _M, values: Mapping[str, Any]) -> list[str]:
    before = _locked(row)
    for name, value in values.items():
        setattr(row, name, value)
    row.full_clean()  # brings prefixes, fingerprints and the like into their one form
    changes = _compared(before, row, values)
    if changes:
        row.save()
    return changes


def _locked(row: _M) -> _M:
    """The row as it is now, and nobody else's until the transaction ends; ``row`` follows it."""
    now: _M = type(row)._default_manager.select_for_update(of=("self",)).get(pk=row.pk)
    row.refresh_from_db()
    return now


def _compared(before: Model, after: Model, names: Iterable[str]) -> list[str]:
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return [f"{name}: {shown(old)} → {shown(new)}" for name, old, new in pairs if old != new]


# --- network rules -------------------------------------------------------------------


def add_rule(partner: Partner, by: By, action: str, network: str, note: str = "") -> bool:
    """Returns whether it is new.

    Raises:
        ValidationError: not an address or a network.
    """
    with write_transaction():
        rule = IPRule(partner=partner, action=action, network=network, note=note)
        rule.clean()  # the network in its one form
        if partner.ip_rules.filter(action=action, network=rule.network).exists():
            return False
        rule.save()
        partner_changed(partner, f"changed by {by}: added IP rule {rule}", by)
    return True


def remove_rule(partner: Partner, by: By, action: str, network: str) -> bool:
    """Returns whether it was there.

    Raises:
        ValidationError: not an address or a network.
    """
    with write_transaction():
        rule = IPRule(partner=partner, action=action, network=network)
        rule.clean()
        removed, _ = partner.ip_rules.filter(action=action, network=rule.network).delete()
        if removed:
            partner_changed(partner, f"changed by {by}: removed IP rule {rule}", by)
    return bool(removed)


# --- the end of a partner ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Belongings:
    """What goes with a partner: its accounts, its network rules and its rows in the ledger."""

    accounts: int
    rules: int
    uploads: int


def belongings(partner: Partner) -> Belongings:
    """Count what goes with the partner, now."""
    return Belongings(partner.accounts.count(), partner.ip_rules.count(), partner.uploads.count())


def _refuse_while_uploads_run(partner: Partner) -> None:
    running = Upload.objects.filter(partner=partner, state__in=LIVE).count()
    if not running and NameChange.objects.filter(partner=partner).exists():
        raise ValidationError(
            f"A rename or deletion of “{partner.name}” is under way, or waits to be settled; "
            "uploads_recover tells. Delete it then."
        )
    if running:
        raise ValidationError(
            f"{running} upload{'s' if running > 1 else ''} of “{partner.name}” "
            f"{'are' if running > 1 else 'is'} running. Disable it (partner_set "
            f"{partner.name} --enabled off), wait until its sessions have ended, and delete "
            "it then."
        )


def delete_partner(partner: Partner, by: By) -> Belongings:
    """Delete a partner with its accounts, network rules and ledger rows. Its files in storage and
    its audit rows stay.

    Raises:
        ValidationError: an upload, a rename or a deletion of it is running.
    """
    with write_transaction():
        _locked(partner)
        _refuse_while_uploads_run(partner)
        gone = belongings(partner)
        for account in partner.accounts.select_related("user", "partner"):
            delete_account(account, by)
        Upload.objects.filter(partner=partner).delete()
        head = Substr("key", 1, len(partner.prefix))
        directories = Directory.objects.filter(storage=partner.storage)
        directories.alias(head=head).filter(head=partner.prefix).delete()
        partner_changed(
            partner,
            f"deleted by {by} with {gone.accounts} accounts and {gone.uploads} ledger rows; the "
            f"files under {partner.prefix} in storage {partner.storage} stay",
            by,
        )
        partner.delete()
    return gone
