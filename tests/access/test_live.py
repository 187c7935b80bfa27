"""Sessions end when what let them in is no more (security bar, row 31)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries

from securedrop_ftp.access.live import still_allowed
from securedrop_ftp.access.principal import principal_of
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Account, IPRule


def _disable_user(account: Account) -> None:
    account.user.is_active = False
    account.user.save()


def _disable_account(account: Account) -> None:
    account.enabled = False
    account.save()


def _disable_partner(account: Account) -> None:
    account.partner.enabled = False
    account.partner.save()


def _deny_network(account: Account) -> None:
    IPRule.objects.create(partner=account.partner, action="deny", network="192.0.2.0/24")


def _allow_elsewhere(account: Account) -> None:
    IPRule.objects.create(partner=account.partner, action="allow", network="198.51.100.0/24")


def _narrow(account: Account) -> None:
    account.permissions = ["upload"]
    account.save()


def _move(account: Account) -> None:
    account.sub_prefix = "elsewhere/"
    account.save()


def _delete(account: Account) -> None:
    account.user.delete()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_disable_user, "The account was disabled."),
        (_disable_account, "The account was disabled."),
        (_disable_partner, "The partner was disabled."),
        (_deny_network, "The address is no longer allowed."),
        (_allow_elsewhere, "The address is no longer allowed."),
        (_narrow, "The account's settings were changed."),
        (_move, "The account's settings were changed."),
        (_delete, "The account was removed."),
    ],
)
def test_a_session_ends_when_the_operator_takes_its_right_away(
    account: Account, change: Callable[[Account], None], says: str
) -> None:
    session = (principal_of(account), "192.0.2.7")
    assert still_allowed([session]) == [None]
    change(account)
    assert still_allowed([session]) == [says]


def test_a_right_that_is_added_ends_no_session(account: Account) -> None:
    session = (principal_of(account), "192.0.2.7")
    account.partner.mode = "exchange"
    account.partner.save()
    assert still_allowed([session]) == [None]


def test_a_thousand_sessions_cost_two_queries(
    account: Account, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    other = create_account(create_partner("t", name="bob"), "bob", "a-long-password-too", "t")
    sessions = [(principal_of(a), "192.0.2.7") for a in (account, other)] * 500
    _disable_account(other)
    with django_assert_num_queries(2):
        answers = still_allowed(sessions)
    assert answers == [None, "The account was disabled."] * 500


def test_a_database_that_fails_ends_no_session(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securedrop_ftp.access.live._load_accounts", lambda ids: 1 / 0)
    with pytest.raises(AccessUnavailable):
        still_allowed([(principal_of(account), "192.0.2.7")])
