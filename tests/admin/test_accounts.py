"""Accounts in admin: made with a password, changed, unlocked; each with an audit row."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from securedrop_ftp.access import lockout
from securedrop_ftp.access.lockout import Locked, Reservation
from securedrop_ftp.access.login import log_in
from securedrop_ftp.exceptions import LoginFailed
from securedrop_ftp.models import Account, AuditEvent, Lockout, Partner

ADD = "admin:securedrop_ftp_account_add"


def _form(of: Partner, **values: str) -> dict[str, str]:
    blank = {"username": "bob", "password1": "", "password2": "", "sub_prefix": ""}
    return {**blank, "partner": str(of.pk), "enabled": "on", **values}


def _last_reason() -> str:
    return AuditEvent.objects.filter(event="account.changed").latest("seq").reason


def _lock_out(username: str, address: str = "192.0.2.9") -> None:
    for _ in range(5):
        held = lockout.reserve(username, address)
        assert isinstance(held, Reservation)
        lockout.fail(held)
    assert isinstance(lockout.reserve(username, address), Locked)


def test_one_form_makes_the_user_and_the_account(operator: Client, partner: Partner) -> None:
    typed = {"password1": "typed-twice-by-olga", "password2": "typed-twice-by-olga"}
    answer = operator.post(reverse(ADD), _form(partner, **typed))
    assert answer.status_code == 302, answer.content.decode()
    principal = log_in("bob", "typed-twice-by-olga", remote_ip="192.0.2.1", session="s")
    assert principal.partner == "acme"
    reasons = AuditEvent.objects.filter(event="account.changed").values_list("reason", flat=True)
    assert list(reasons) == ["created by olga (admin)"]


def test_a_generated_password_is_shown_once_and_logs_in(operator: Client, partner: Partner) -> None:
    answer = operator.post(reverse(ADD), _form(partner))
    assert "no-store" in answer.headers["Cache-Control"]
    found = re.search(r'id="generated-password">([^<]+)<', answer.content.decode())
    assert found is not None
    assert log_in("bob", found[1], remote_ip="192.0.2.1", session="s").username == "bob"
    change = reverse("admin:securedrop_ftp_account_change", args=(Account.objects.get().pk,))
    for url in (change, reverse("admin:index"), reverse("admin:securedrop_ftp_account_changelist")):
        assert found[1] not in operator.get(url).content.decode()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"password1": "one-long-password", "password2": "another-password"}, "differ"),
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password1": "x" * 1025, "password2": "x" * 1025}, "longer than 1024"),
        ({"username": "alice"}, "There is a user"),
        ({"username": "no spaces"}, "Enter a valid username"),
        ({"partner": ""}, "This field is required"),
        ({"sub_prefix": "../up"}, "dot segments"),
        ({"permissions": "overwrite"}, "not given by mode"),
    ],
)
def test_a_wrong_form_says_what_is_wrong_and_makes_nothing(
    operator: Client, account: Account, values: dict[str, str], message: str
) -> None:
    answer = operator.post(reverse(ADD), _form(account.partner, **values))
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert Account.objects.count() == 1
    assert not get_user_model().objects.filter(username="bob").exists()


def test_a_change_is_audited_with_who_and_what(operator: Client, account: Account) -> None:
    url = reverse("admin:securedrop_ftp_account_change", args=(account.pk,))
    answer = operator.post(url, {"partner": str(account.partner_id), "sub_prefix": "in"})
    assert answer.status_code == 302, answer.content.decode()
    account.refresh_from_db()
    assert (account.enabled, account.sub_prefix) == (False, "in/")
    assert _last_reason() == "changed by olga (admin): enabled: True → False; sub_prefix: - → in"


def test_a_password_change_is_audited_without_the_password(
    operator: Client, account: Account
) -> None:
    url = reverse("admin:securedrop_ftp_account_password", args=(account.pk,))
    typed = {"password1": "an-altogether-new-one", "password2": "an-altogether-new-one"}
    assert operator.post(url, typed).status_code == 302
    assert log_in("alice", "an-altogether-new-one", remote_ip="192.0.2.1", session="s")
    with pytest.raises(LoginFailed):
        log_in("alice", "a-long-enough-password", remote_ip="192.0.2.1", session="s")
    rows = AuditEvent.objects.filter(reason="password changed by olga (admin)")
    assert rows.count() == 1
    assert "altogether" not in repr(list(AuditEvent.objects.values()))


def test_a_locked_account_shows_until_when_and_is_unlocked_with_a_button(
    operator: Client, account: Account
) -> None:
    _lock_out("alice")
    until = f"{Lockout.objects.get(username='alice').until:%Y-%m-%d %H:%M:%S}"
    change = reverse("admin:securedrop_ftp_account_change", args=(account.pk,))
    assert until in operator.get(change).content.decode()
    listed = operator.get(reverse("admin:securedrop_ftp_account_changelist"))
    assert until in listed.content.decode()
    unlock = reverse("admin:securedrop_ftp_account_unlock", args=(account.pk,))
    assert until in operator.get(unlock).content.decode()
    assert isinstance(lockout.reserve("alice", "192.0.2.9"), Locked)  # looking lifts nothing
    assert operator.post(unlock).status_code == 302
    assert isinstance(lockout.reserve("alice", "192.0.2.9"), Reservation)
    assert _last_reason() == "unlocked by olga (admin)"


def test_the_lockouts_page_names_users_and_whole_addresses_and_lifts_one(
    operator: Client, account: Account
) -> None:
    _lock_out("alice")
    for name in ("b", "c", "d", "e", "f"):
        for _ in range(3):
            held = lockout.reserve(name, "192.0.2.9")
            assert isinstance(held, Reservation)
            lockout.fail(held)
    page = operator.get(reverse("admin:securedrop_ftp_lockout_changelist")).content.decode()
    assert "everyone from this address" in page
    assert page.count(">Unlock<") == 2
    whole = Lockout.objects.get(username="")
    assert (
        operator.post(reverse("admin:securedrop_ftp_lockout_unlock", args=(whole.pk,))).status_code
        == 302
    )
    assert isinstance(lockout.reserve("g", "192.0.2.9"), Reservation)
    assert isinstance(lockout.reserve("alice", "192.0.2.9"), Locked)
    assert _last_reason() == "address 192.0.2.9 unlocked by olga (admin)"


def test_deleting_an_account_deletes_its_user_and_is_audited(
    operator: Client, account: Account
) -> None:
    url = reverse("admin:securedrop_ftp_account_delete", args=(account.pk,))
    assert operator.post(url, {"post": "yes"}).status_code == 302
    assert not get_user_model().objects.filter(username="alice").exists()
    assert _last_reason() == "deleted by olga (admin)"


def test_a_change_of_the_django_user_is_audited_too(operator: Client, account: Account) -> None:
    url = reverse("admin:auth_user_password_change", args=(account.user_id,))
    typed = {"password1": "behind-our-back-1234", "password2": "behind-our-back-1234"}
    operator.post(url, {**typed, "usable_password": "true"})
    assert _last_reason() == "user changed by olga (admin): Changed password."


def test_an_operator_without_the_permission_unlocks_nobody(
    client: Client, account: Account
) -> None:
    _lock_out("alice")
    clerk = get_user_model().objects.create_user("clerk", is_staff=True)
    client.force_login(clerk, backend="django.contrib.auth.backends.ModelBackend")
    unlock = reverse("admin:securedrop_ftp_account_unlock", args=(account.pk,))
    assert client.post(unlock).status_code == 403
    assert isinstance(lockout.reserve("alice", "192.0.2.9"), Locked)


def test_actions_lift_what_is_selected(operator: Client, account: Account) -> None:
    _lock_out("alice")
    accounts = reverse("admin:securedrop_ftp_account_changelist")
    action = {"action": "unlock_selected"}
    answer = operator.post(accounts, action | {"_selected_action": str(account.pk)}, follow=True)
    assert "Lockouts lifted: 1." in answer.content.decode()
    _lock_out("alice")
    lockouts = reverse("admin:securedrop_ftp_lockout_changelist")
    chosen = str(Lockout.objects.get(username="alice").pk)
    answer = operator.post(lockouts, action | {"_selected_action": chosen}, follow=True)
    assert "Lockouts lifted: 1." in answer.content.decode()
    assert isinstance(lockout.reserve("alice", "192.0.2.9"), Reservation)
    assert _last_reason() == "unlocked from 192.0.2.9 by olga (admin)"


def test_a_lockout_that_has_ended_meanwhile_says_so(operator: Client, account: Account) -> None:
    _lock_out("alice")
    row = Lockout.objects.get(username="alice")
    url = reverse("admin:securedrop_ftp_lockout_unlock", args=(row.pk,))
    assert "is locked out until" in operator.get(url).content.decode()
    lockout.unlock(row)
    answer = operator.get(url, follow=True)
    assert "That lockout has ended." in answer.content.decode()


def test_a_generated_new_password_is_shown_once(operator: Client, account: Account) -> None:
    url = reverse("admin:securedrop_ftp_account_password", args=(account.pk,))
    assert "A new password for" in operator.get(url).content.decode()
    answer = operator.post(url, {"password1": "", "password2": ""})
    found = re.search(r'id="generated-password">([^<]+)<', answer.content.decode())
    assert found is not None
    assert log_in("alice", found[1], remote_ip="192.0.2.1", session="s")


def test_accounts_deleted_by_action_each_leave_a_row(operator: Client, account: Account) -> None:
    url = reverse("admin:securedrop_ftp_account_changelist")
    form = {"action": "delete_selected", "_selected_action": str(account.pk), "post": "yes"}
    operator.post(url, form)
    assert not Account.objects.exists()
    assert _last_reason() == "deleted by olga (admin)"


def test_the_last_certificate_and_its_end_are_shown(operator: Client, account: Account) -> None:
    end = datetime.now(UTC) + timedelta(days=9, hours=1)
    Account.objects.filter(pk=account.pk).update(
        certificate_subject="CN=alice,O=Acme",
        certificate_fingerprint="ab" * 32,
        certificate_not_after=end,
    )
    change = reverse("admin:securedrop_ftp_account_change", args=(account.pk,))
    for url in (change, reverse("admin:securedrop_ftp_account_changelist")):
        assert f"{end:%Y-%m-%d} (soon)" in operator.get(url).content.decode()
    assert "ab" * 32 in operator.get(change).content.decode()


def test_every_user_that_is_deleted_in_one_act_is_audited(operator: Client) -> None:
    model = get_user_model()
    keys = [model.objects.create_user(name).pk for name in ("otto", "uma", "ute")]
    form = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    operator.post("/admin/auth/user/", form)
    assert not model.objects.filter(pk__in=keys).exists()
    rows = AuditEvent.objects.filter(event="account.changed").order_by("seq")
    deleted = [row.account for row in rows if row.reason.startswith("user deleted by olga (admin)")]
    assert sorted(deleted) == ["otto", "uma", "ute"]


def test_what_a_group_may_is_audited(operator: Client) -> None:
    operator.post("/admin/auth/group/add/", {"name": "night shift"})
    assert _last_reason().startswith("group night shift added by olga (admin)")
    keys = [Group.objects.create(name=name).pk for name in ("a", "b")]
    form = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    operator.post("/admin/auth/group/", form)
    assert _last_reason().startswith("group ")
    assert " deleted by olga (admin)" in _last_reason()
