"""What logging in relies on is checked, each with an id and a hint."""

from __future__ import annotations

from typing import Any

import pytest

from securedrop_ftp.checks.login import AXES_BACKEND, HASHER, check_login

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
DJANGOS = "django.contrib.auth.hashers.Argon2PasswordHasher"
SQLITE = {"default": {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {}}}
POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql"}}


def test_the_projects_own_settings_are_fine() -> None:
    assert check_login() == []


@pytest.mark.parametrize(
    ("name", "value", "ids"),
    [
        ("PASSWORD_HASHERS", [DJANGOS], ["securedrop.W040"]),
        ("PASSWORD_HASHERS", [HASHER, DJANGOS], ["securedrop.W040"]),
        ("AXES_HANDLER", "axes.handlers.database.AxesDatabaseHandler", ["securedrop.W041"]),
        ("AUTHENTICATION_BACKENDS", [MODEL_BACKEND], ["securedrop.W041"]),
        ("AUTHENTICATION_BACKENDS", [AXES_BACKEND, MODEL_BACKEND], []),
        ("DATABASES", SQLITE, ["securedrop.W042"]),
        ("DATABASES", POSTGRES, []),
    ],
)
def test_a_weak_setting_has_an_id_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, ids: list[str]
) -> None:
    # Not pytest-django's settings: those would reload databases and handlers.
    monkeypatch.setattr(f"django.conf.settings.{name}", value)
    messages = check_login()
    assert [message.id for message in messages] == ids
    assert all(message.hint for message in messages)
