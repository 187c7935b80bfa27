"""Power over an account is power over its user only where the user was made with it and is not one
of the staff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from securedrop_ftp.access import provisioning
from securedrop_ftp.access.live import still_allowed
from securedrop_ftp.access.login import log_in
from securedrop_ftp.access.principal import principal_of
from securedrop_ftp.exceptions import LoginFailed
from securedrop_ftp.models import Account, AuditEvent, Partner
from tests.access.conftest import PASSWORD, events

OTHER = "quite-another-password"


def _customer() -> User:
    return get_user_model().objects.create_user(
        "customer", email="customer@shop.example", password=PASSWORD, first_name="Cus"
    )


def _of_a_customer(partner: Partner) -> Account:
    return provisioning.create_account(partner, "", "", "test", user=_customer())


def _promoted(flag: str) -> Callable[[Partner], Account]:
    def made(partner: Partner) -> Account:
        account = provisioning.create_account(partner, "customer", PASSWORD, "test")
        User.objects.filter(pk=account.user_id).update(**{flag: True})
        return account  # as it was read before: its user seems harmless

    return made


LIVES = pytest.mark.parametrize(
    "made",
    [_of_a_customer, _promoted("is_staff"), _promoted("is_superuser")],
    ids=["was there before", "became staff", "became superuser"],
)


@LIVES
def test_a_user_with_a_life_of_its_own_keeps_its_password(
    partner: Partner, made: Callable[[Partner], Account]
) -> None:
    account = made(partner)
    with pytest.raises(ValidationError):
        provisioning.set_password(account, OTHER, "mallory")
    assert User.objects.get(username="customer").check_password(PASSWORD)
    assert not AuditEvent.objects.filter(reason__contains="password").exists()


@LIVES
def test_a_user_with_a_life_of_its_own_survives_its_account(
    partner: Partner, made: Callable[[Partner], Account]
) -> None:
    account = made(partner)
    before = User.objects.values().get(username="customer")
    assert provisioning.delete_account(account, "mallory") is False
    assert not Account.objects.exists()
    assert User.objects.values().get(username="customer") == before
    assert AuditEvent.objects.latest("seq").reason == "deleted by mallory; its user stays"


def test_a_user_made_with_its_account_goes_with_it(account: Account) -> None:
    assert provisioning.delete_account(account, "test") is True
    assert not User.objects.exists()


def test_an_account_for_a_customer_changes_nothing_of_the_customer(partner: Partner) -> None:
    user = _customer()
    before = User.objects.values().get()
    provisioning.create_account(partner, "someone", OTHER, "test", user=user, sub_prefix="in")
    assert User.objects.values().get() == before
    assert log_in("customer", PASSWORD, remote_ip="192.0.2.1", session="s").root == "acme/in/"


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_no_account_is_made_for_the_staff(partner: Partner, flag: str) -> None:
    user = User(username="boss", **{flag: True})
    user.save()
    with pytest.raises(ValidationError, match="one of the staff"):
        provisioning.create_account(partner, "boss", OTHER, "test", user=user)
    assert not Account.objects.exists()


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_staff_do_not_log_in_and_their_sessions_end(account: Account, flag: str) -> None:
    session = (principal_of(account), "192.0.2.7")
    User.objects.filter(pk=account.user_id).update(**{flag: True})
    with pytest.raises(LoginFailed):
        log_in("alice", PASSWORD, remote_ip="192.0.2.7", session="s")
    assert events()[-1] == ("login.failed", "staff")
    assert still_allowed([session]) == ["The account's user became one of the staff."]


def test_a_user_model_that_knows_no_staff(partner: Partner) -> None:
    class Plain:
        pass

    from securedrop_ftp.models import is_staff

    user: Any = Plain()
    assert not is_staff(user)
