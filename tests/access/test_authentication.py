"""Logins over FTPS run Django's steps in fewer statements, where these are known."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from securedrop_ftp.access import authentication
from securedrop_ftp.access.authentication import authenticate
from securedrop_ftp.access.lockout import Reservation
from securedrop_ftp.access.login import synthetic_request
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.models import Account

PASSWORD = "correct-horse-battery-staple"
pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return create_account(create_partner("test", name="acme"), "alice", PASSWORD, "test")


def _request() -> Any:
    return synthetic_request("192.0.2.7", Reservation(1, "192.0.2.7", "alice"))


def _told(name: str, password: str) -> tuple[str, list[str]]:
    """The user's name or ``""``, and the names that Django's signal told of as failed."""
    failed: list[str] = []

    def note(sender: Any, credentials: dict[str, Any], **kwargs: Any) -> None:
        failed.append(credentials["username"])

    user_login_failed.connect(note)
    try:
        user = authenticate(_request(), username=name, password=password)
    finally:
        user_login_failed.disconnect(note)
    return (user.get_username() if user is not None else ""), failed


@pytest.mark.parametrize("shorter", [True, False])
def test_both_ways_give_the_same_answers(
    account: Account, monkeypatch: pytest.MonkeyPatch, shorter: bool
) -> None:
    assert authentication._is_usual()
    monkeypatch.setattr(authentication, "_is_usual", lambda: shorter)
    assert _told("alice", PASSWORD) == ("alice", [])
    assert _told("alice", "another") == ("", ["alice"])
    assert _told("nobody", PASSWORD) == ("", ["nobody"])
    account.user.is_active = False
    account.user.save()
    assert _told("alice", PASSWORD) == ("", ["alice"])


@pytest.mark.parametrize(
    "settings_of",
    [
        {"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]},
        {"AXES_HANDLER": "axes.handlers.database.AxesDatabaseHandler"},
    ],
)
def test_any_other_back_end_or_handler_is_asked_by_django(
    settings: Settings, settings_of: dict[str, Any]
) -> None:
    for name, value in settings_of.items():
        setattr(settings, name, value)
    assert not authentication._is_usual()


def test_the_last_login_is_written_in_one_statement(account: Account) -> None:
    assert account.user.last_login is None
    with CaptureQueriesContext(connection) as queries:
        user_logged_in.send(type(account.user), request=_request(), user=account.user)
    assert len(queries) == 1
    account.user.refresh_from_db()
    assert account.user.last_login is not None
