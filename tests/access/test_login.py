"""Who gets in, who does not, and that refusals cannot be told apart by the work they cost."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import OperationalError

from securedrop_ftp.access import authentication, hashers, lockout
from securedrop_ftp.access.login import REFUSAL_STEP, log_in
from securedrop_ftp.access.principal import Principal, principal_of
from securedrop_ftp.exceptions import (
    AccessUnavailable,
    LoginFailed,
    NoStorageForLogin,
    StorageNotSeen,
)
from securedrop_ftp.ftps.answers import FTPS, answer
from securedrop_ftp.models import Account, AuditEvent, IPRule, LoginAttempt, Partner, Permission
from tests.access.conftest import PASSWORD, events

ADDRESS = "192.0.2.1"


def _try(username: str = "alice", password: str = PASSWORD, address: str = ADDRESS) -> Principal:
    return log_in(username, password, remote_ip=address, session="s1")


def _reason(username: str = "alice", password: str = PASSWORD, address: str = ADDRESS) -> str:
    with pytest.raises(LoginFailed) as caught:
        _try(username, password, address)
    return caught.value.reason


def test_the_right_password_makes_a_principal(account: Account) -> None:
    principal = _try()
    assert (principal.username, principal.partner, principal.root) == ("alice", "acme", "acme/")
    assert principal.may(Permission.UPLOAD)
    assert not principal.may(Permission.DOWNLOAD)
    row = AuditEvent.objects.get(event="login.succeeded")
    assert (row.partner, row.account, row.remote_ip, row.session, row.outcome) == (
        "acme", "alice", ADDRESS, "s1", "success",
    )  # fmt: skip
    account.user.refresh_from_db()
    assert account.user.last_login is not None


def test_a_success_forgets_the_failures_before_it(account: Account) -> None:
    for _ in range(4):
        assert _reason(password="wrong") == "password"
    _try()
    for _ in range(4):
        assert _reason(password="wrong") == "password"
    _try()
    assert not LoginAttempt.objects.exists()


def _disable_account(account: Account) -> None:
    account.enabled = False
    account.save()


def _disable_partner(account: Account) -> None:
    account.partner.enabled = False
    account.partner.save()


def _disable_user(account: Account) -> None:
    account.user.is_active = False
    account.user.save()


@pytest.mark.parametrize("disable", [_disable_account, _disable_partner, _disable_user])
def test_a_disabled_account_partner_or_user_is_refused(
    account: Account, hashes: Counter[str], disable: Any
) -> None:
    disable(account)
    assert _reason() == "inactive"
    assert hashes == {"burnt": 1}


def test_staff_without_an_account_does_not_get_in_over_ftps(
    partner: Partner, hashes: Counter[str]
) -> None:
    get_user_model().objects.create_superuser("root", password=PASSWORD)
    hashes.clear()
    assert _reason("root") == "unknown"
    assert hashes == {"burnt": 1}  # and is no oracle for the operator's password


def test_every_refusal_does_the_work_of_one_hash(account: Account, hashes: Counter[str]) -> None:
    hashes.clear()
    work = {}
    for name, attempt in {
        "wrong": ("alice", "wrong"),
        "unknown": ("nobody", PASSWORD),
        "impossible": ("a\x00b", PASSWORD),
        "too long": ("alice", "x" * 5000),
    }.items():
        assert _reason(*attempt) in ("password", "unknown")
        work[name] = sum(hashes.values())
        hashes.clear()
    for _ in range(4):
        _reason(password="wrong")
    hashes.clear()
    assert _reason() == "locked"
    work["locked"] = sum(hashes.values())
    assert hashes["verified"] == 0  # the right password was given, and not looked at
    hashes.clear()
    IPRule.objects.create(partner=account.partner, action="deny", network=ADDRESS)
    assert _reason() == "network"
    work["network"] = sum(hashes.values())
    assert work == dict.fromkeys(work, 1)


def test_every_refusal_leaves_at_the_same_time(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("securedrop_ftp.access.login.time.monotonic", lambda: clock[0])
    replies = set()
    for name, password in (("alice", "wrong"), ("nobody", "x"), ("alice", PASSWORD[:-1])):
        with pytest.raises(LoginFailed) as caught:
            _try(name, password)
        replies.add((caught.value.reply_at, answer(caught.value)))
    assert [at for at, _ in replies] == [100.0 + REFUSAL_STEP]


def test_no_guess_is_counted_from_a_network_that_may_not_come_in(account: Account) -> None:
    IPRule.objects.create(partner=account.partner, action="allow", network="198.51.100.0/24")
    for _ in range(7):
        assert _reason() == "network"
    IPRule.objects.all().delete()
    _try()


@pytest.mark.parametrize(
    "name", ["", "a\x00b", "a\nb", "\x1b[2J", "\udcff", "x" * 256, "x" * 100_000, "ab\u202ec"]
)
def test_a_name_that_no_user_can_have_never_reaches_the_user_table(
    account: Account, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securedrop_ftp.access.login.Account.objects", None)
    assert _reason(name) == "unknown"
    row = AuditEvent.objects.latest("seq")
    assert row.event == "login.failed"
    assert row.account.isprintable()
    assert len(row.account) <= 255


@pytest.mark.parametrize("password", ["", "x" * 1025, "é" * 513, "a\x00b", "\udcff"])
def test_a_password_that_no_account_can_have_is_wrong(
    account: Account, hashes: Counter[str], password: str
) -> None:
    hashes.clear()
    assert _reason(password=password).startswith("password")
    assert hashes == {"burnt": 1}


def test_spellings_of_one_name_share_one_counter(account: Account) -> None:
    for name in ("alice", "ａlice", "a\uff4cice", "alice", "ａｌｉｃｅ"):
        assert _reason(name, "wrong") == "password"
    assert _reason("ａlicｅ") == "locked"


@pytest.mark.slow
def test_an_old_hash_is_replaced_by_ours_at_the_next_login(account: Account) -> None:
    account.user.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    account.user.save()
    _try()
    account.user.refresh_from_db()
    assert account.user.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    _try()


@pytest.mark.parametrize("usual", [True, False], ids=["our steps", "a project's back ends"])
def test_a_hash_that_another_login_stored_meanwhile_stays(
    account: Account, usual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "_is_usual", lambda: usual)
    _store(account, make_password(PASSWORD, hasher="pbkdf2_sha256"))
    theirs = make_password(PASSWORD)
    _meanwhile(monkeypatch, lambda: _store(account, theirs))
    principal = _try()
    assert _stored(account) == theirs
    account.user.refresh_from_db()
    assert principal.stamp == principal_of(account).stamp, "live control would end the session"


def test_a_password_that_was_changed_meanwhile_is_not_changed_back(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(account, make_password(PASSWORD, hasher="pbkdf2_sha256"))
    changed = make_password("quite-another-password")
    _meanwhile(monkeypatch, lambda: _store(account, changed))
    assert _reason() == "password"
    assert _stored(account) == changed


def _store(account: Account, encoded: str) -> None:
    get_user_model().objects.filter(pk=account.user_id).update(password=encoded)


def _stored(account: Account) -> str:
    return get_user_model().objects.get(pk=account.user_id).password


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """``act`` comes while the hash that replaces the outdated one is made."""

    def hashed(password: str) -> str:
        act()
        return make_password(password)

    monkeypatch.setattr(hashers, "make_password", hashed)


# --- what fails ----------------------------------------------------------------------


def test_a_database_that_fails_never_logs_in_and_counts_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    for place in ("_find", "lockout.reserve", "authenticate", "emit"):
        with monkeypatch.context() as patch:
            patch.setattr(f"securedrop_ftp.access.login.{place}", fails)
            for _ in range(6):
                with pytest.raises(AccessUnavailable) as caught:
                    _try()
                assert answer(caught.value).code == 421
    assert not LoginAttempt.objects.exists()
    assert events() == []
    _try()


def test_a_back_end_that_raises_never_logs_in_and_tells_no_password(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: Any, username: str, password: str) -> None:
        raise RuntimeError(f"LDAP bind failed for {username} with {password}")

    monkeypatch.setattr("securedrop_ftp.access.login.authenticate", fails)
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessUnavailable) as caught:
        _try()
    shown = caplog.text + "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    in_log_in = shown.split("securedrop_ftp/access/login.py")[-1]
    assert PASSWORD not in caplog.text
    assert PASSWORD not in in_log_in


def test_a_reservation_whose_release_failed_is_released_with_the_next_attempt(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lockout.reserve("alice", ADDRESS)
    assert isinstance(held, lockout.Reservation)
    with monkeypatch.context() as patch:
        patch.setattr(lockout, "_release_abandoned", lambda: 1 / 0)
        lockout.abandon(held)
    assert LoginAttempt.objects.filter(pk=held.id).exists()
    _try()
    assert not LoginAttempt.objects.filter(pk=held.id).exists()


def test_a_login_whose_audit_row_cannot_be_written_fails(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "securedrop_ftp.audit.receivers.append", lambda row: (_ for _ in ()).throw(OSError())
    )
    with pytest.raises(AccessUnavailable):
        _try()
    assert not LoginAttempt.objects.exists()


def _finds(*answers: NoStorageForLogin | StorageNotSeen | None) -> Callable[[Principal], Any]:
    left = list(answers)
    return lambda principal: left.pop(0)


def test_a_login_whose_files_are_not_there_is_refused_in_its_row_and_counts_nothing(
    account: Account,
) -> None:
    find_files = _finds(StorageNotSeen(), NoStorageForLogin("storage “default”: gone"))
    with pytest.raises(StorageNotSeen):
        log_in("alice", PASSWORD, remote_ip=ADDRESS, session="s1", find_files=find_files)
    assert not AuditEvent.objects.filter(event__startswith="login.").exists()
    assert not LoginAttempt.objects.exists()
    with pytest.raises(NoStorageForLogin):
        log_in("alice", PASSWORD, remote_ip=ADDRESS, session="s1", find_files=find_files, door=FTPS)
    row = AuditEvent.objects.get(event__startswith="login.")
    assert (row.event, row.outcome, row.reason) == (
        "login.failed", "denied", "storage “default”: gone",
    )  # fmt: skip
    assert row.reply.startswith("421 ")
    assert not LoginAttempt.objects.exists()


def test_a_wrong_password_does_not_hear_of_the_storage(account: Account) -> None:
    with pytest.raises(LoginFailed):
        log_in("alice", "wrong", remote_ip=ADDRESS, session="s1", find_files=_finds())
