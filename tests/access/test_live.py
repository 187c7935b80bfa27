"""Sessions end when what let them in is no more (security bar, row 31)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from securedrop_ftp.access.live import standings, still_allowed
from securedrop_ftp.access.login import log_in
from securedrop_ftp.access.principal import principal_of
from securedrop_ftp.access.provisioning import create_account, create_partner, set_password
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Account, IPRule, Partner, Permission
from tests.access.conftest import PASSWORD


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


def _change_password(account: Account) -> None:
    set_password(account, "another-long-password", "test")


def _keep_files(account: Account) -> None:
    account.partner.overwrite = "reject"
    account.partner.save()


def _require_reuse(account: Account) -> None:
    account.partner.require_tls_session_reuse = True
    account.partner.save()


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
        (_change_password, "The password was changed."),
        (_keep_files, "The partner's overwrite policy was changed."),
        (_require_reuse, "The partner's data channels must resume the TLS session now."),
    ],
)
def test_a_session_ends_when_the_operator_takes_its_right_away(
    account: Account, change: Callable[[Account], None], says: str
) -> None:
    account.partner.require_tls_session_reuse = False
    account.partner.save()
    session = (principal_of(account), "192.0.2.7")
    assert still_allowed([session]) == [None]
    change(account)
    assert still_allowed([session]) == [says]


def test_a_right_that_is_added_ends_no_session(account: Account) -> None:
    session = (principal_of(account), "192.0.2.7")
    account.partner.mode = "exchange"
    account.partner.save()
    assert still_allowed([session]) == [None]


def test_limits_and_what_was_added_take_effect_in_the_session(account: Account) -> None:
    session = (principal_of(account), "192.0.2.7")
    Partner.objects.update(
        mode="exchange", max_file_size=10, max_sessions=3, max_passive_listeners=2, resume_window=60
    )
    (standing,) = standings([session])
    now = standing.principal
    assert standing.ended is None
    assert (now.max_file_size, now.max_sessions) == (10, 3)
    assert (now.max_passive_listeners, now.resume_window) == (2, 60)
    assert now.may(Permission.DOWNLOAD)


def test_a_password_hashed_anew_by_a_login_is_not_a_changed_one(account: Account) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    User.objects.filter(pk=account.user_id).update(password=f"argon2{cheap}")
    session = (log_in("alice", PASSWORD, remote_ip="192.0.2.7", session="s"), "192.0.2.7")
    assert User.objects.get(pk=account.user_id).password != f"argon2{cheap}"
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
