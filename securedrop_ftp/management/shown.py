"""What commands print: a table for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import CommandParser
from django.utils import timezone

from securedrop_ftp.escaping import escape
from securedrop_ftp.models import Account, IPRule, Lockout, Partner

FORMATS: Final = ("table", "json")
Row = dict[str, Any]

#: What a list shows as a table; JSON has everything.
PARTNER_COLUMNS: Final = ("name", "enabled", "mode", "storage", "prefix", "accounts")
ACCOUNT_COLUMNS: Final = ("username", "partner", "enabled", "root", "locked_until", "last_login")
RULE_COLUMNS: Final = ("action", "network", "note")

_WIDEST: Final = 200


def add_format(parser: CommandParser) -> None:
    """Add the option ``--format table|json``."""
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="for people, or for scripts"
    )


def partner_row(partner: Partner) -> Row:
    """Everything that there is to know of a partner, PEM texts left out."""
    return {
        "name": partner.name,
        "enabled": partner.enabled,
        "mode": partner.mode,
        "overwrite": str(partner.overwrite_policy.value),
        "storage": partner.storage,
        "prefix": partner.prefix,
        "tls_session_reuse": partner.require_tls_session_reuse,
        "create_directories": partner.create_directories,
        "append": partner.append,
        "ascii": partner.ascii,
        "accept_missing_close_notify": partner.accept_missing_close_notify,
        "client_certificates": partner.client_certificates,
        "max_file_size": partner.max_file_size,
        "max_sessions": partner.max_sessions,
        "max_passive_listeners": partner.max_passive_listeners,
        "resume_window": partner.resume_window,
        "stall_window": partner.stall_window,
        "min_transfer_rate": partner.min_transfer_rate,
        "rules": [rule_row(rule) for rule in partner.ip_rules.all()],
        "accounts": sorted(account.username for account in partner.accounts.all()),
        "created": _time(partner.created),
        "changed": _time(partner.changed),
    }


def account_row(account: Account) -> Row:
    """Everything that there is to know of an account."""
    locked = Lockout.objects.filter(username=account.username, until__gt=timezone.now())
    return {
        "username": account.username,
        "partner": account.partner.name,
        "enabled": account.enabled,
        "user_active": account.user.is_active,
        "permissions": sorted(account.effective_permissions),
        "narrowed": bool(account.permissions),
        "sub_prefix": account.sub_prefix,
        "root": account.root,
        "client_fingerprints": account.client_fingerprints.split(),
        "made_with_its_user": account.owns_user,
        "locked_until": _time(locked.order_by("-until").values_list("until", flat=True).first()),
        "last_login": _time(account.user.last_login),
        "certificate_expires": _time(account.certificate_not_after),
        "created": _time(account.created),
        "changed": _time(account.changed),
    }


def rule_row(rule: IPRule) -> Row:
    """The columns of a network rule."""
    return {"action": rule.action, "network": rule.network, "note": rule.note}


def one(row: Row, form: str) -> str:
    """One thing: an object, or a line for each of its fields."""
    if form == "json":
        return json.dumps(row, indent=2)
    width = max(map(len, row))
    return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in row.items())


def many(rows: Iterable[Row], columns: Sequence[str], form: str) -> str:
    """A list: an array, or a table of ``columns``."""
    if form == "json":
        return json.dumps(list(rows), indent=2)
    cells = [list(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def deletion(deleted: Sequence[str], stays: Sequence[str], form: str) -> str:
    """What went, and what stays."""
    if form == "json":
        return json.dumps({"deleted": list(deleted), "stays": list(stays)}, indent=2)
    told = f"Deleted: {', '.join(deleted) or 'nothing was there'}."
    return f"{told}\nThese stay: {', '.join(stays)}." if stays else told


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(_item(item) for item in value)
    return escape(str(value), _WIDEST) if value not in (None, "") else "-"


def _item(item: Any) -> str:
    return " ".join(str(v) for v in item.values() if v) if isinstance(item, dict) else str(item)


def _time(time: datetime | None) -> str | None:
    """RFC 3339, UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
