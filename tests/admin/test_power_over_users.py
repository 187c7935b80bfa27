"""Operators with some permissions do not reach users who have more."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

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
