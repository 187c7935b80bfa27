"""Partners and accounts made, changed and unlocked by an operator: each act is validated, atomic
with its audit row, and says who did it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.access import lockout, network
from securedrop_ftp.access.names import MAX_PASSWORD_BYTES, password_fits
from securedrop_ftp.db import write_transaction
from securedrop_ftp.events import Event
from securedrop_ftp.models import Account, Lockout, Partner
from securedrop_ftp.signals import emit

# No 0, O, 1, l, I: passwords are read aloud.
_ALPHABET: Final = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"


def generate_password() -> str:
    """A password of 139 bits in four groups of six, easy to read aloud and to type."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(6)) for _ in range(4))
    return "-".join(groups)


@sensitive_variables("password")
def check_new_password(password: str, user: Any = None) -> None:
    """Raise ValidationError for a password that no login could send or that is too weak."""
    if not password_fits(password):
        raise ValidationError(
            f"The password is empty, longer than {MAX_PASSWORD_BYTES} bytes, or holds a NUL."
        )
    if not password.isprintable():
        raise ValidationError(
            "The password holds control characters; FTP clients cannot send them."
        )
    validate_password(password, user)


def create_partner(by: str, **values: Any) -> Partner:
    """A partner with ``values`` for its fields.

    Raises:
        ValidationError: a field is wrong, or the prefix overlaps another's.
    """
    with write_transaction():
        partner = Partner(**values)
        partner.save()
        partner_changed(
            partner,
            f"created by {by}: mode {partner.mode}, prefix {partner.prefix}, "
            f"storage {partner.storage}",
        )
    return partner


def change_partner(partner: Partner, by: str, **values: Any) -> None:
    """Set fields of a partner; the audit row names them, not their values (PEM texts are long).

    Raises:
        ValidationError: a field is wrong; nothing is changed.
    """
    with write_transaction():
        for name, value in values.items():
            setattr(partner, name, value)
        partner.save()
        partner_changed(partner, f"changed by {by}: {', '.join(sorted(values))}")


@sensitive_variables("password")
def create_account(
    partner: Partner, username: str, password: str, by: str, **values: Any
) -> Account:
    """A Django user and its account. ``password`` is taken as checked.

    Raises:
        ValidationError: the name is taken or not allowed, or a field is wrong.
    """
    model = get_user_model()
    with write_transaction():
        name = model.normalize_username(username)
        if model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists():
            raise ValidationError(f"There is a user “{name}” already.")
        user = model(**{model.USERNAME_FIELD: name})
        user.set_password(password)
        user.full_clean(exclude=("password",))
        user.save()
        account = Account(user=user, partner=partner, **values)
        account.save()
        account_changed(account, f"created by {by}")
    return account


@sensitive_variables("password")
def set_password(account: Account, password: str, by: str) -> None:
    """Give the account's user another password, taken as checked."""
    with write_transaction():
        account.user.set_password(password)
        account.user.save(update_fields=["password"])
        account_changed(account, f"password changed by {by}")


def unlock_user(username: str, by: str) -> int:
    """Lift the lockouts of ``username``. Returns how many; nothing is audited where none was."""
    with write_transaction():
        lifted = lockout.unlock_user(username)
        _clear_axes_rows(username=username)
        if lifted:
            emit(
                Event(
                    "account.changed",
                    partner=_partner_of(username),
                    account=username,
                    reason=f"unlocked by {by}",
                )
            )
    return lifted


def unlock_address(address: str, by: str) -> int:
    """Lift the lockout of a whole address (or of the /64 of an IPv6 one).

    Raises:
        ValueError: not an address.
    """
    source = address if "/" in address else network.source_of(address)
    with write_transaction():
        lifted = lockout.unlock_source(source)
        if lifted:
            emit(Event("account.changed", reason=f"address {source} unlocked by {by}"))
    return lifted


def unlock(rows: Sequence[Lockout], by: str) -> int:
    """Lift single lockouts."""
    count = 0
    for row in rows:
        if row.username == lockout.WHOLE_SOURCE:
            count += unlock_address(row.source, by)
        else:
            count += _unlock_one(row, by)
    return count


def _unlock_one(row: Lockout, by: str) -> int:
    with write_transaction():
        lifted = lockout.unlock(row)
        if lifted:
            _clear_axes_rows(username=row.username)
            emit(
                Event(
                    "account.changed",
                    partner=_partner_of(row.username),
                    account=row.username,
                    reason=f"unlocked from {row.source} by {by}",
                )
            )
    return lifted


def partner_changed(partner: Partner, reason: str) -> None:
    """Emit ``partner.changed``. Inside the transaction of the change."""
    emit(Event("partner.changed", partner=partner.name, reason=reason))


def account_changed(account: Account, reason: str) -> None:
    """Emit ``account.changed``. Inside the transaction of the change."""
    emit(
        Event(
            "account.changed",
            partner=account.partner.name,
            account=account.username,
            reason=reason,
        )
    )


def _partner_of(username: str) -> str:
    field = f"user__{get_user_model().USERNAME_FIELD}"
    account = Account.objects.select_related("partner").filter(**{field: username}).first()
    return account.partner.name if account is not None else ""


def _clear_axes_rows(**who: str) -> None:
    if apps.is_installed("axes"):
        from securedrop_ftp.access.axes_handler import forget_attempts

        forget_attempts(**who)
