"""Partners and accounts made, changed and unlocked by an operator: each act is validated, atomic
with its audit row, and says who did it."""

from __future__ import annotations

import ipaddress
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
from securedrop_ftp.events import By, Event, Operator
from securedrop_ftp.models import Account, Lockout, Partner, is_staff
from securedrop_ftp.signals import emit

# No 0, O, 1, l, I: passwords are read aloud.
_ALPHABET: Final = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"

STAFF: Final = (
    "This user is one of the staff. Operators get no account for files: make a user of its own."
)


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


def create_partner(by: By, **values: Any) -> Partner:
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
            by,
        )
    return partner


def change_partner(partner: Partner, by: By, **values: Any) -> None:
    """Set fields of a partner; the audit row names them, and what became of its name and place
    (the trail is followed by that), but no other values (PEM texts are long).

    Raises:
        ValidationError: a field is wrong; nothing is changed.
    """
    with write_transaction():
        told = []
        for name, value in sorted(values.items()):
            old = getattr(partner, name)
            moved = name in ("name", "prefix", "storage") and old != value
            told.append(f"{name}: {old} → {value}" if moved else name)
            setattr(partner, name, value)
        partner.save()
        partner_changed(partner, f"changed by {by}: {', '.join(told)}", by)


@sensitive_variables("password")
def create_account(
    partner: Partner,
    username: str,
    password: str,
    by: By,
    *,
    user: Any = None,
    **values: Any,
) -> Account:
    """A Django user and its account. ``password`` is taken as checked.

    With ``user`` the account is for that one, who exists already: ``username`` and ``password``
    are not looked at, and the account has no power over the user.

    Raises:
        ValidationError: the name is taken or not allowed, a field is wrong, or ``user`` is one of
            the staff or has an account.
    """
    with write_transaction():
        made = user is None
        if user is None:
            user = _create_user(username, password)
        elif is_staff(user):
            raise ValidationError(STAFF)
        account = Account(user=user, partner=partner, owns_user=made, **values)
        account.save()
        account_changed(account, f"created by {by}{'' if made else ', for a user who exists'}", by)
    return account


@sensitive_variables("password")
def _create_user(username: str, password: str) -> Any:
    model = get_user_model()
    name = model.normalize_username(username)
    if model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists():
        raise ValidationError(f"There is a user “{name}” already.")
    user = model(**{model.USERNAME_FIELD: name})
    user.set_password(password)
    user.full_clean(exclude=("password",))
    user.save()
    return user


@sensitive_variables("password")
def set_password(account: Account, password: str, by: By) -> None:
    """Give the account's user another password, taken as checked.

    Raises:
        ValidationError: the user is not the account's own (:func:`refuse_power`).
    """
    with write_transaction():
        user = _user_again(account)
        refuse_power(account)
        user.set_password(password)
        user.save(update_fields=["password"])
        account_changed(account, f"password changed by {by}", by)


def _goes_too(account: Account) -> bool:
    return account.governs_user


def delete_account(account: Account, by: By) -> bool:
    """Delete the account, and its user where that one was made with it and has no other power;
    else the user stays as it is. Returns whether the user went too."""
    with write_transaction():
        user = _user_again(account)
        both = _goes_too(account)
        account_changed(account, f"deleted by {by}{'' if both else '; its user stays'}", by)
        if both:
            user.delete()
        else:
            account.delete()
    return both


def refuse_power(account: Account) -> None:
    """Raise ValidationError unless power over the account is power over its user."""
    if is_staff(account.user):
        raise ValidationError(
            f"“{account.username}” is one of the staff: who may change accounts may not change "
            "that user. A superuser can, under Users."
        )
    if not account.owns_user:
        raise ValidationError(
            f"The user “{account.username}” was there before this account, which has no power "
            "over it: its password is changed where the user belongs."
        )


def _user_again(account: Account) -> Any:
    """The account's user as it is now: it may have become one of the staff since it was read."""
    user: Any = get_user_model()._default_manager.select_for_update().get(pk=account.user_id)
    account.user = user
    return user


def unlock_user(username: str, by: By) -> int:
    """Lift the lockouts of ``username``. Returns how many; nothing is audited where none was."""
    with write_transaction():
        lifted = lockout.unlock_user(username)
        _clear_axes_rows(username=username)
        if lifted:
            _unlocked(by, "unlocked", username)
    return lifted


def unlock_address(address: str, by: By) -> int:
    """Lift the lockout of a whole address (or of the /64 of an IPv6 one).

    Raises:
        ValueError: not an address.
    """
    source = str(ipaddress.ip_network(address)) if "/" in address else network.source_of(address)
    with write_transaction():
        lifted = lockout.unlock_source(source)
        if lifted:
            _unlocked(by, f"address {source} unlocked")
    return lifted


def unlock(rows: Sequence[Lockout], by: By) -> int:
    """Lift the lockouts of these rows, each with its audit row; how many were in force."""
    count = 0
    for row in rows:
        if row.username == lockout.WHOLE_SOURCE:
            count += unlock_address(row.source, by)
        else:
            count += _unlock_one(row, by)
    return count


def _unlock_one(row: Lockout, by: By) -> int:
    with write_transaction():
        lifted = lockout.unlock(row)
        if lifted:
            _clear_axes_rows(username=row.username)
            _unlocked(by, f"unlocked from {row.source}", row.username)
    return lifted


def _unlocked(by: By, what: str, username: str = "") -> None:
    emit(
        Event(
            "account.changed",
            **_partner_of(username),
            account=username,
            remote_ip=address_of(by),
            actor=name_of(by),
            reason=f"{what} by {by}",
        )
    )


def partner_changed(partner: Partner, reason: str, by: By = "") -> None:
    """Emit ``partner.changed``. Inside the transaction of the change."""
    emit(
        Event(
            "partner.changed",
            partner=partner.name,
            partner_id=partner.pk,
            remote_ip=address_of(by),
            reason=reason,
            actor=name_of(by),
        )
    )


def account_changed(account: Account, reason: str, by: By = "") -> None:
    """Emit ``account.changed``. Inside the transaction of the change."""
    emit(
        Event(
            "account.changed",
            partner=account.partner.name,
            partner_id=account.partner_id,
            account=account.username,
            remote_ip=address_of(by),
            actor=name_of(by),
            reason=reason,
        )
    )


def name_of(by: By) -> str:
    """The operator's name alone: what the trail is searched for."""
    return by.name if isinstance(by, Operator) else by


def address_of(by: By) -> str:
    """The address that an operator's request came from; ``""`` for a command."""
    return by.address if isinstance(by, Operator) else ""


def _partner_of(username: str) -> dict[str, Any]:
    if not username:
        return {}
    field = f"user__{get_user_model().USERNAME_FIELD}"
    account = Account.objects.select_related("partner").filter(**{field: username}).first()
    if account is None:
        return {}
    return {"partner": account.partner.name, "partner_id": account.partner_id}


def _clear_axes_rows(**who: str) -> None:
    if apps.is_installed("axes"):
        from securedrop_ftp.access.axes_handler import forget_attempts

        forget_attempts(**who)
