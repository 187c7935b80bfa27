"""The partner or account that an argument names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from securedrop_ftp.models import Account, Partner


def partner_named(name: str) -> Partner:
    """Raises CommandError, with a name that is close, where there is none."""
    partner = Partner.objects.filter(name=name).first()
    if partner is None:
        names = Partner.objects.values_list("name", flat=True)
        raise CommandError(
            f"There is no partner “{name}”. {_close(name, names)}"
            "partner_list shows all, and partner_create makes one."
        )
    return partner


def account_named(username: str) -> Account:
    """Raises CommandError, with a name that is close, where there is none."""
    field = f"user__{get_user_model().USERNAME_FIELD}"
    rows = Account.objects.select_related("user", "partner")
    account = rows.filter(**{field: username}).first()
    if account is None:
        names = Account.objects.values_list(field, flat=True)
        raise CommandError(
            f"There is no account “{username}”. {_close(username, names)}"
            "account_list shows all, and account_create makes one."
        )
    return account


def _close(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), n=1)
    return f"Did you mean “{found[0]}”? " if found else ""
