"""The lockout's rules: windows, scopes, dead reservations, unlocking, and axes' agreement."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt, AccessFailureLog
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from securedrop_ftp import clock as shared
from securedrop_ftp.access import lockout, network
from securedrop_ftp.access.lockout import Locked, Reservation, reserve
from securedrop_ftp.access.login import log_in, synthetic_request
from securedrop_ftp.access.provisioning import unlock_user
from securedrop_ftp.exceptions import AccessUnavailable, LoginFailed
from securedrop_ftp.models import Account, AuditEvent, Lockout, LoginAttempt
from tests.access.conftest import PASSWORD

ADDRESS = "192.0.2.1"


class Clock:
    """Moves the time that nodes share."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offset = timedelta(0)
        self._real = shared.now
        monkeypatch.setattr(shared, "now", self)

    def __call__(self) -> datetime:
        return self._real() + self.offset

    def forward(self, **time: float) -> None:
        self.offset += timedelta(**time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _fail(username: str = "alice", source: str = ADDRESS, times: int = 1) -> None:
    for _ in range(times):
        held = reserve(username, source)
        assert isinstance(held, Reservation), held
        lockout.fail(held)


def _locked(username: str = "alice", source: str = ADDRESS) -> bool:
    answer = reserve(username, source)
    if isinstance(answer, Reservation):
        lockout.succeed(answer)
    return isinstance(answer, Locked)


def test_five_failures_lock_for_half_an_hour_that_tries_do_not_prolong(
    db: None, clock: Clock
) -> None:
    _fail(times=5)
    for _ in range(29):
        clock.forward(minutes=1)
        assert _locked()
    clock.forward(minutes=1)
    assert not _locked()


def test_failures_older_than_a_quarter_of_an_hour_do_not_count(db: None, clock: Clock) -> None:
    _fail(times=4)
    clock.forward(minutes=15)
    _fail(times=4)
    assert not _locked()


def test_another_name_and_another_address_are_not_locked(db: None) -> None:
    _fail(times=5)
    assert _locked()
    assert not _locked("bob")
    assert not _locked(source="192.0.2.2")


def test_twenty_failures_lock_the_whole_address_and_no_other(db: None) -> None:
    for number in range(20):
        _fail(f"user{number}")
    assert _locked("someone new")
    assert not _locked("someone new", "192.0.2.2")


def test_a_partner_behind_one_address_survives_nineteen_guesses_on_other_names(db: None) -> None:
    for number in range(19):
        _fail(f"user{number}")
    assert not _locked("alice")


def test_addresses_of_one_ipv6_customer_count_as_one() -> None:
    first, second = (network.source_of(f"2001:db8:0:7::{n}") for n in (1, "ffff"))
    assert first == second == "2001:db8:0:7::/64"
    assert network.source_of("2001:db8:0:8::1") != first
    assert network.source_of("::ffff:192.0.2.1") == "192.0.2.1"


def test_open_reservations_make_the_next_wait_and_not_fail(db: None) -> None:
    held = [reserve("alice", ADDRESS) for _ in range(5)]
    with pytest.raises(AccessUnavailable):
        reserve("alice", ADDRESS, patience=0.05)
    assert isinstance(held[0], Reservation)
    lockout.succeed(held[0])
    assert isinstance(reserve("alice", ADDRESS), Reservation)


def test_a_reservation_whose_process_died_counts_as_a_failure(db: None, clock: Clock) -> None:
    for _ in range(5):
        reserve("alice", ADDRESS)
    clock.forward(seconds=lockout.RESERVATION_TIMEOUT + 1)
    assert _locked()


def test_the_limits_come_from_the_settings(db: None, conf: Any) -> None:
    conf(LOCKOUT_USER_IP_LIMIT=2, LOCKOUT_SECONDS=60.0)
    _fail(times=2)
    answer = reserve("alice", ADDRESS)
    assert isinstance(answer, Locked)
    assert answer.until - shared.now() <= timedelta(seconds=60)


def test_rows_that_count_no_more_are_swept(db: None, clock: Clock) -> None:
    _fail(times=5)
    clock.forward(hours=1)
    lockout.sweep(shared.now())
    assert not LoginAttempt.objects.exists()
    assert not Lockout.objects.exists()


# --- unlocking -----------------------------------------------------------------------


def test_unlocking_lifts_and_forgets_and_is_audited(account: Account) -> None:
    _fail(times=5)
    assert unlock_user("alice", "olga (test)") == 1
    assert not _locked()
    row = AuditEvent.objects.latest("seq")
    assert (row.event, row.partner, row.account) == ("account.changed", "acme", "alice")
    assert row.reason == "unlocked by olga (test)"


def test_after_an_unlock_the_full_number_of_tries_is_there_again(db: None) -> None:
    _fail(times=5)
    lockout.unlock_user("alice")
    _fail(times=4)
    assert not _locked()


def test_an_unlocked_address_does_not_lock_again_for_its_old_failures(db: None) -> None:
    for number in range(20):
        _fail(f"user{number}")
    assert lockout.unlock_source(ADDRESS) == 1
    _fail("another")
    assert not _locked("yet another")


# --- axes ----------------------------------------------------------------------------


def _log_in_wrong(times: int) -> None:
    for _ in range(times):
        with pytest.raises(LoginFailed):
            log_in("alice", "wrong", remote_ip=ADDRESS, session="")


def test_axes_rows_show_what_happened(account: Account) -> None:
    _log_in_wrong(7)
    attempt = AccessAttempt.objects.get()
    assert (attempt.username, attempt.ip_address, attempt.failures_since_start) == (
        "alice", ADDRESS, 5,
    )  # fmt: skip
    assert attempt.user_agent == "FTP"
    assert attempt.path_info == "/ftp/login"
    assert AccessFailureLog.objects.count() == 5


def test_axes_agrees_on_who_is_locked(account: Account) -> None:
    request = synthetic_request(ADDRESS)
    credentials = {"username": "alice"}

    def says() -> tuple[bool, int]:
        return (
            AxesProxyHandler.is_locked(request, credentials),
            AxesProxyHandler.get_failures(request, credentials),
        )

    _log_in_wrong(4)
    assert says() == (False, 4)
    _log_in_wrong(1)
    assert says() == (True, 5)
    unlock_user("alice", "test")
    assert says() == (False, 0)
    assert not AccessAttempt.objects.exists()


@pytest.mark.parametrize("way", ["command", "admin"])
def test_unlocking_through_axes_unlocks(account: Account, way: str) -> None:
    _log_in_wrong(5)
    if way == "command":
        call_command("axes_reset_username", "alice")
    else:
        AccessAttempt.objects.get().delete()
    assert log_in("alice", PASSWORD, remote_ip=ADDRESS, session="").username == "alice"


def test_a_success_clears_axes_count(account: Account) -> None:
    _log_in_wrong(3)
    log_in("alice", PASSWORD, remote_ip=ADDRESS, session="")
    assert not AccessAttempt.objects.exists()


def test_the_admin_site_is_locked_by_the_same_rules(db: None, client: Client) -> None:
    get_user_model().objects.create_superuser("olga", password=PASSWORD)
    form = {"username": "olga", "password": "wrong"}
    for _ in range(6):
        client.post(reverse("admin:login"), form)
    answer = client.post(reverse("admin:login"), form | {"password": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert answer.status_code in (200, 429)
    rows = AuditEvent.objects.filter(account="olga").order_by("seq")
    assert list(rows.values_list("event", flat=True)) == ["login.failed"] * 5 + ["login.locked"] * 2
    unlock_user("olga", "test")
    client.post(reverse("admin:login"), form | {"password": PASSWORD})
    assert "_auth_user_id" in client.session
    assert AuditEvent.objects.latest("seq").event == "login.succeeded"


@pytest.mark.parametrize("reset", [True, False], ids=["axes resets", "axes does not"])
def test_an_operators_login_lifts_nobody_elses_lockout(
    account: Account, client: Client, settings: Any, reset: bool
) -> None:
    settings.AXES_RESET_ON_SUCCESS = reset
    get_user_model().objects.create_superuser("olga", password=PASSWORD)
    _log_in_wrong(5)
    form = {"username": "olga", "password": PASSWORD}
    client.post(reverse("admin:login"), form, REMOTE_ADDR=ADDRESS)
    assert "_auth_user_id" in client.session
    assert _locked("alice")
    assert AccessAttempt.objects.filter(username="alice").exists()


def test_guesses_over_ftps_and_http_share_one_counter(account: Account, client: Client) -> None:
    for _ in range(3):
        client.post(
            reverse("admin:login"),
            {"username": "alice", "password": "wrong"},
            REMOTE_ADDR=ADDRESS,
        )
    _log_in_wrong(2)
    with pytest.raises(LoginFailed) as caught:
        log_in("alice", PASSWORD, remote_ip=ADDRESS, session="")
    assert caught.value.locked


def test_axes_refuses_a_locked_user_in_authenticate_itself(account: Account) -> None:
    _fail(times=5)
    request = synthetic_request(ADDRESS)
    assert authenticate(request, username="alice", password=PASSWORD) is None
