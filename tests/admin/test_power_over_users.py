"""Operators with some permissions do not reach users who have more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django_otp.plugins.otp_totp.models import TOTPDevice

from securedrop_ftp.models import Account

PASSWORD = "a-superusers-own-password"
NEW = {"password1": "chosen-by-mallory-now", "password2": "chosen-by-mallory-now"}


def may(name: str, *codenames: str) -> User:
    """One of the staff with these permissions."""
    user = User.objects.create_user(name, password=f"the-password-of-{name}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(codenames)
    return user


@pytest.fixture
def mallory(client: Client, db: None) -> Client:
    codenames = ("view_account", "change_account", "delete_account", "view_partner")
    client.force_login(
        may("mallory", *codenames), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


def test_who_may_change_accounts_does_not_reach_a_superuser(
    mallory: Client, account: Account
) -> None:
    root = account.user
    root.is_superuser = root.is_staff = True
    root.set_password(PASSWORD)
    root.save()
    url = reverse("admin:securedrop_ftp_account_password", args=(account.pk,))
    page = mallory.get(reverse("admin:securedrop_ftp_account_change", args=(account.pk,)))
    assert url not in page.content.decode()
    assert "may not change that user" in mallory.post(url, NEW, follow=True).content.decode()
    listed = reverse("admin:securedrop_ftp_account_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [account.pk], "post": "yes"}
    assert mallory.post(listed, chosen).status_code == 302
    assert not Account.objects.exists()
    root.refresh_from_db()
    assert root.check_password(PASSWORD)


# --- Django's own users ----------------------------------------------------------------

JOINED = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
USERS = ("view_user", "add_user", "change_user", "delete_user")
GROUPS = ("view_group", "add_group", "change_group", "delete_group")


def keeper(client: Client, *more: str) -> User:
    """Logged in: one who keeps users and groups, and their second factors."""
    user = may("keeper", *USERS, *GROUPS, "view_totpdevice", "delete_totpdevice", *more)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return user


def superuser() -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def inactive_superuser() -> User:
    return User.objects.create_user("root", password=PASSWORD, is_superuser=True, is_active=False)


def colleague_with_more() -> User:
    user = may("root", "change_partner")
    user.set_password(PASSWORD)
    user.save()
    return user


def inactive_member_of_a_group_with_more() -> User:
    user = User.objects.create_user("root", password=PASSWORD, is_active=False)
    group = Group.objects.create(name="more")
    group.permissions.set(Permission.objects.filter(codename="change_partner"))
    user.groups.add(group)
    return user


@pytest.mark.django_db
@pytest.mark.parametrize(
    "made",
    [superuser, inactive_superuser, colleague_with_more, inactive_member_of_a_group_with_more],
)
def test_who_keeps_users_does_not_reach_those_with_more_power(
    client: Client, made: Callable[[], User]
) -> None:
    keeper(client)
    root = made()
    device = TOTPDevice.objects.create(user=root)
    before = User.objects.values().get(pk=root.pk)
    change = reverse("admin:auth_user_change", args=(root.pk,))
    answers = [
        client.post(reverse("admin:auth_user_password_change", args=(root.pk,)), NEW),
        client.post(change, {"username": "mine", "is_active": "on", **JOINED}),
        client.post(reverse("admin:auth_user_delete", args=(root.pk,)), {"post": "yes"}),
        client.post(
            reverse("admin:otp_totp_totpdevice_delete", args=(device.pk,)), {"post": "yes"}
        ),
    ]
    chosen = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), chosen)
    assert [answer.status_code for answer in answers] == [403] * 4
    assert User.objects.values().get(pk=root.pk) == before
    assert TOTPDevice.objects.filter(pk=device.pk).exists()


@pytest.mark.django_db
def test_who_keeps_users_gives_nobody_power(client: Client) -> None:
    me = keeper(client)
    group = Group.objects.create(name="members")
    me.groups.add(group)
    every = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    power = {
        **JOINED,
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "user_permissions": every,
        "groups": [str(group.pk)],
    }
    other = User.objects.create_user("clerk", password=PASSWORD)
    for user in (me, other):
        url = reverse("admin:auth_user_change", args=(user.pk,))
        assert client.post(url, {"username": user.username, **power}).status_code == 302
    url = reverse("admin:auth_group_change", args=(group.pk,))
    assert client.post(url, {"name": "renamed", "permissions": every}).status_code == 302
    for user in (me, other):
        user.refresh_from_db()
        assert not user.is_superuser
    assert not other.is_staff
    assert not other.groups.exists()
    assert not other.user_permissions.exists()
    assert not Group.objects.get(name="renamed").permissions.exists()
    assert me.user_permissions.count() == 10


@pytest.mark.django_db
def test_who_keeps_users_reaches_those_with_no_more_power(client: Client) -> None:
    keeper(client)
    equal = may("colleague", "change_user")
    url = reverse("admin:auth_user_password_change", args=(equal.pk,))
    assert client.post(url, NEW).status_code == 302
    equal.refresh_from_db()
    assert equal.check_password(NEW["password1"])


@pytest.mark.django_db
def test_a_group_with_more_power_is_not_taken_from_its_members(client: Client) -> None:
    keeper(client)
    inactive_member_of_a_group_with_more()
    group = Group.objects.get()
    url = reverse("admin:auth_group_delete", args=(group.pk,))
    assert client.post(url, {"post": "yes"}).status_code == 403
    assert Group.objects.exists()
