"""Changes of users, groups and passwords say who, from where, and what was given or taken."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from securedrop_ftp.models import Account, AuditEvent
from tests.admin.conftest import OPERATOR_PASSWORD

JOINED = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
TYPED = {"password1": "an-altogether-new-one", "password2": "an-altogether-new-one"}


def rows() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(event="account.changed").order_by("seq"))


def test_grants_are_named(operator: Client) -> None:
    clerk = User.objects.create_user("clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="view_group"))
    group = Group.objects.create(name="lookers")
    given = Permission.objects.get(codename="change_account")
    values = {"is_staff": "on", "groups": [group.pk], "user_permissions": [given.pk]}
    url = reverse("admin:auth_user_change", args=(clerk.pk,))
    assert operator.post(url, {"username": "clerk", **JOINED, **values}).status_code == 302
    (row,) = rows()
    assert row.account == "clerk"
    for told in (
        "user changed by olga (admin)",
        "is_active: True → False",
        "is_staff: False → True",
        "groups: +lookers",
        "user_permissions: +securedrop_ftp.change_account, -auth.view_group",
    ):
        assert told in row.reason


def test_a_hundred_grants_are_all_named(operator: Client) -> None:
    every = list(Permission.objects.select_related("content_type"))
    values = {"name": "all", "permissions": [p.pk for p in every]}
    assert operator.post(reverse("admin:auth_group_add"), values).status_code == 302
    named = {name for row in rows() for name in re.findall(r"\+(\w+\.\w+)", row.reason)}
    assert named == {f"{p.content_type.app_label}.{p.codename}" for p in every}


def test_changes_of_accounts_and_users_have_the_operators_address(
    operator: Client, account: Account
) -> None:
    there: Any = {"REMOTE_ADDR": "192.0.2.44"}
    user = User.objects.create_user("clerk")
    password = reverse("admin:securedrop_ftp_account_password", args=(account.pk,))
    change = reverse("admin:securedrop_ftp_account_change", args=(account.pk,))
    users = reverse("admin:auth_user_password_change", args=(user.pk,))
    new = {"partner": str(account.partner_id), "username": "bob", **TYPED}
    AuditEvent.objects.all()._raw_delete("default")  # what the fixtures left
    operator.post(password, TYPED, **there)
    operator.post(change, {"partner": str(account.partner_id), "sub_prefix": "in"}, **there)
    operator.post(reverse("admin:securedrop_ftp_account_add"), new, **there)
    operator.post(users, TYPED, **there)
    operator.post(reverse("admin:auth_user_delete", args=(user.pk,)), {"post": "yes"}, **there)
    delete = reverse("admin:securedrop_ftp_account_delete", args=(account.pk,))
    operator.post(delete, {"post": "yes"}, **there)
    assert [row.remote_ip for row in rows()] == ["192.0.2.44"] * 6


def test_an_own_password_change_leaves_a_row_and_ends_the_other_sessions(
    operator: Client,
) -> None:
    other = Client()
    other.force_login(
        User.objects.get(username="olga"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert other.get(reverse("admin:index")).status_code == 200
    form = {
        "old_password": OPERATOR_PASSWORD,
        "new_password1": TYPED["password1"],
        "new_password2": TYPED["password2"],
    }
    url = reverse("admin:password_change")
    assert operator.post(url, form | {"old_password": "wrong"}).status_code == 200
    assert not rows()
    assert operator.post(url, form, REMOTE_ADDR="192.0.2.44").status_code == 302
    (row,) = rows()
    assert (row.account, row.remote_ip) == ("olga", "192.0.2.44")
    assert row.reason == "own password changed by olga (admin)"
    assert operator.get(reverse("admin:index")).status_code == 200
    assert other.get(reverse("admin:index")).status_code == 302


@pytest.mark.django_db
def test_djangos_own_commands_leave_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-long-enough-password")
    arguments = {"username": "root", "email": "root@example.com", "interactive": False}
    call_command("createsuperuser", stdout=io.StringIO(), **arguments)
    typed = iter(["an-altogether-new-one"] * 2)
    monkeypatch.setattr("getpass.getpass", lambda **_: next(typed))
    call_command("changepassword", "root", stdout=io.StringIO())
    created, changed = rows()
    assert created.account == changed.account == "root"
    assert re.fullmatch(r"superuser created by \S+ \(command\)", created.reason)
    assert re.fullmatch(r"password changed by \S+ \(command\)", changed.reason)
