"""TOTP in the admin site: asked of those who have it, required of all where the operator says so,
and no way to guess codes at leisure."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from securedrop_ftp.models import AuditEvent
from tests.admin.conftest import OPERATOR_PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> Any:
    return get_user_model().objects.create_superuser("olga", password=OPERATOR_PASSWORD)


@pytest.fixture
def enrolled(olga: Any) -> str:
    out = io.StringIO()
    call_command("admin_totp", "olga", stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


def _code() -> str:
    device = TOTPDevice.objects.get()
    return f"{TOTP(device.bin_key).token():06}"


def _log_in(client: Client, **more: str) -> bool:
    form = {"username": "olga", "password": OPERATOR_PASSWORD, **more}
    client.post(reverse("admin:login"), form)
    return client.get(reverse("admin:index")).status_code == 200


def test_without_a_device_the_password_is_enough_unless_required(
    client: Client, olga: Any, settings: Any
) -> None:
    assert _log_in(client)
    settings.ADMIN_REQUIRE_TOTP = True
    assert client.get(reverse("admin:index")).status_code == 302  # not for old sessions either
    assert not _log_in(Client())


def test_who_has_a_device_needs_its_code(client: Client, enrolled: str, settings: Any) -> None:
    settings.ADMIN_REQUIRE_TOTP = True
    assert not _log_in(client)
    assert _log_in(client, otp_token=_code())


def test_a_code_works_once(client: Client, enrolled: str) -> None:
    code = _code()
    assert _log_in(client, otp_token=code)
    assert not _log_in(Client(), otp_token=code)


def test_wrong_codes_lock_out_and_are_audited(client: Client, enrolled: str) -> None:
    for _ in range(5):
        assert not _log_in(client, otp_token="000000")
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    assert not _log_in(client, otp_token=_code())
    rows = AuditEvent.objects.filter(account="olga", event__startswith="login.").order_by("seq")
    events = list(rows.values_list("event", flat=True))
    assert events == ["login.failed"] * 5 + ["login.locked"]


def test_enrolling_prints_what_an_app_takes_and_audits_no_key(enrolled: str) -> None:
    parts = urlsplit(enrolled)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    secret = parse_qs(parts.query)["secret"][0]
    row = AuditEvent.objects.latest("seq")
    assert row.event == "account.changed"
    assert row.reason.startswith("second factor set by ")
    assert secret not in repr(list(AuditEvent.objects.values()))


def test_enrolling_again_replaces_and_remove_removes(client: Client, enrolled: str) -> None:
    call_command("admin_totp", "olga", stdout=io.StringIO(), stderr=io.StringIO())
    assert TOTPDevice.objects.count() == 1
    call_command("admin_totp", "olga", "--remove", stdout=io.StringIO())
    assert _log_in(client)


def test_the_admin_site_makes_no_second_factor_and_shows_no_key(
    client: Client, olga: Any, enrolled: str, settings: Any
) -> None:
    settings.ADMIN_REQUIRE_TOTP = True
    assert _log_in(client, otp_token=_code())
    pages = "/admin/otp_totp/totpdevice/"
    device = TOTPDevice.objects.get()
    form = {"user": olga.pk, "name": "mine", "confirmed": "on", "key": "11" * 20, "step": 30}
    form |= {"t0": 0, "digits": 6, "tolerance": 1, "drift": 0, "throttling_failure_count": 0}
    assert client.get(f"{pages}add/").status_code == 403
    assert client.post(f"{pages}add/", form).status_code == 403
    assert client.post(f"{pages}{device.pk}/change/", form).status_code == 403
    for page in (pages, f"{pages}{device.pk}/change/"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert device.key.encode() not in answer.content
    for page in ("config", "qrcode"):
        assert client.get(f"{pages}{device.pk}/{page}/").status_code != 200
    assert list(TOTPDevice.objects.values_list("key")) == [(device.key,)]


@pytest.mark.parametrize("how", ["button", "action"])
def test_who_removes_a_second_factor_in_admin_is_audited(
    client: Client, olga: Any, enrolled: str, how: str
) -> None:
    assert _log_in(client, otp_token=_code())
    other = get_user_model().objects.create_superuser("otto", password=OPERATOR_PASSWORD)
    device = TOTPDevice.objects.create(user=other, name="totp")
    pages = "/admin/otp_totp/totpdevice/"
    if how == "button":
        client.post(f"{pages}{device.pk}/delete/", {"post": "yes"})
    else:
        client.post(
            pages, {"action": "delete_selected", "_selected_action": [device.pk], "post": "yes"}
        )
    assert not TOTPDevice.objects.filter(pk=device.pk).exists()
    row = AuditEvent.objects.latest("seq")
    assert (row.event, row.account) == ("account.changed", "otto")
    assert row.reason == "second factor removed by olga (admin)"


def test_nobody_is_enrolled_by_mistake(db: None) -> None:
    with pytest.raises(CommandError, match="There is no user “nobody”"):
        call_command("admin_totp", "nobody")


def test_a_partner_with_the_right_password_is_no_operator(client: Client, account: Any) -> None:
    form = {"username": "alice", "password": "a-long-enough-password"}
    for _ in range(6):
        client.post(reverse("admin:login"), form)
    assert "_auth_user_id" not in client.session
    assert AuditEvent.objects.filter(event="login.failed", account="alice").count() == 5


def test_sessions_from_before_the_second_factor_end_with_its_enrolment(
    client: Client, olga: Any
) -> None:
    assert _log_in(client)
    call_command("admin_totp", "olga", stdout=io.StringIO(), stderr=io.StringIO())
    index = reverse("admin:index")
    assert client.get(index).status_code == 302
    client.get(reverse("admin:login"))
    assert "_auth_user_id" not in client.session
    assert _log_in(client, otp_token=_code())
    # Another device in the place of this one: the session that it verified ends as well.
    call_command("admin_totp", "olga", stdout=io.StringIO(), stderr=io.StringIO())
    assert client.get(index).status_code == 302
