"""partner_create, account_create and account_unlock: what they make, print, audit and refuse."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError

from securedrop_ftp.access import lockout
from securedrop_ftp.access.lockout import Locked, Reservation
from securedrop_ftp.access.login import log_in
from securedrop_ftp.models import Account, AuditEvent, Partner

pytestmark = pytest.mark.django_db


def _run(*arguments: str, stdin: str = "", **options: Any) -> tuple[str, str]:
    """Standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin))
        call_command(*arguments, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def _lock_out(username: str, address: str, times: int = 5) -> None:
    for _ in range(times):
        held = lockout.reserve(username, address)
        assert isinstance(held, Reservation)
        lockout.fail(held)


def _last() -> AuditEvent:
    return AuditEvent.objects.latest("seq")


def test_a_partner_gets_its_name_as_prefix_and_drop_as_mode() -> None:
    out, _ = _run("partner_create", "acme")
    partner = Partner.objects.get()
    assert (partner.prefix, partner.mode, partner.storage) == ("acme/", "drop", "default")
    assert out == "Partner acme: mode drop, prefix acme/, storage default.\n"
    assert _last().event == "partner.changed"
    assert "(command): mode drop, prefix acme/" in _last().reason


def test_a_partner_takes_what_is_given() -> None:
    _run("partner_create", "acme", "--prefix", "in/acme", "--mode", "exchange")
    partner = Partner.objects.get()
    assert (partner.prefix, partner.mode) == ("in/acme/", "exchange")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["globex"], "There is a partner “globex” already."),
        (["x", "--prefix", "globex/in"], "overlaps “globex/” of partner “globex”"),
        (["../up"], "Use letters, digits, dot, dash and underscore"),
        (["x", "--prefix", "a/../b"], "dot segments"),
        (["x", "--storage", "tape"], "No storage “tape” in STORAGES"),
        (["x", "--mode", "everything"], "invalid choice"),
    ],
)
def test_a_wrong_partner_is_refused_with_a_sentence(arguments: list[str], says: str) -> None:
    _run("partner_create", "globex")
    with pytest.raises(CommandError, match=says.replace("(", r"\(")):
        _run("partner_create", *arguments)
    assert Partner.objects.count() == 1


def test_a_generated_password_alone_is_on_standard_output() -> None:
    _run("partner_create", "acme")
    out, err = _run("account_create", "acme", "alice", "--generate-password")
    password = out.rstrip("\n")
    assert log_in("alice", password, remote_ip="192.0.2.1", session="").partner == "acme"
    assert err == "Account alice of partner acme.\n"
    assert password not in repr(list(AuditEvent.objects.values()))


def test_a_password_comes_from_standard_input_spaces_and_all() -> None:
    _run("partner_create", "acme")
    out, _ = _run(
        "account_create", "acme", "alice", "--password-stdin", stdin=" spaces stay, é too \r\n"
    )
    assert out == ""
    assert log_in("alice", " spaces stay, é too ", remote_ip="192.0.2.1", session="")


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["nope", "bob", "--password-stdin"], "a-good-long-one", "There is no partner “nope”"),
        (["acme", "alice", "--password-stdin"], "a-good-long-one", "a user “alice” already"),
        (["acme", "b b", "--password-stdin"], "a-good-long-one", "Enter a valid username"),
        (["acme", "b" * 151, "--generate-password"], "", "at most 150 characters"),
        (["acme", "bob", "--password-stdin"], "", "No password came"),
        (["acme", "bob", "--password-stdin"], "short", "too short"),
        (["acme", "bob", "--password-stdin"], "x" * 1025, "longer than 1024 bytes"),
        (["acme", "bob", "--password-stdin"], "control\x07characters", "control characters"),
        (["acme", "bob"], "", "one of the arguments"),
        (["acme", "bob", "--generate-password", "--sub-prefix", "../x"], "", "dot segments"),
    ],
)
def test_a_wrong_account_is_refused_with_a_sentence(
    account: Account, arguments: list[str], stdin: str, says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        _run("account_create", *arguments, stdin=stdin)
    assert Account.objects.count() == get_user_model().objects.count() == 1


def test_unlocking_lifts_the_name_from_every_address(account: Account) -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        _lock_out("alice", address)
    out, _ = _run("account_unlock", "alice")
    assert out == "alice: unlocked.\n"
    assert isinstance(lockout.reserve("alice", "192.0.2.2"), Reservation)
    assert "unlocked by" in _last().reason
    assert _run("account_unlock", "alice")[0] == "alice: was not locked out.\n"


def test_a_locked_address_is_named_and_lifted_when_asked(account: Account) -> None:
    for number in range(4):
        _lock_out(f"user{number}", "192.0.2.1")
    out, _ = _run("account_unlock", "alice")
    assert "everyone from 192.0.2.1 is locked out until" in out
    assert isinstance(lockout.reserve("alice", "192.0.2.1"), Locked)
    out, _ = _run("account_unlock", "alice", "--address", "192.0.2.1")
    assert "192.0.2.1: unlocked." in out
    assert isinstance(lockout.reserve("alice", "192.0.2.1"), Reservation)


def test_unlocking_nobody_is_an_error(db: None) -> None:
    with pytest.raises(CommandError, match="There is no user “zed”"):
        _run("account_unlock", "zed")
    with pytest.raises(CommandError, match="is not an address"):
        _run("account_unlock", "zed", "--address", "here")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OperationalError("unable to open database file"), "may read and write .*DATA_DIR"),
        (OperationalError("database is locked"), "locked. Another process writes to .*try again"),
        (OperationalError("database or disk is full"), "Make room on the disk of"),
        (ProgrammingError("no such table: x"), "x.: run “python manage.py migrate” first"),
    ],
)
def test_a_database_that_fails_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("securedrop_ftp.management.commands.audit_verify.verify", fails)
    with pytest.raises(CommandError, match=says):
        _run("audit_verify")
