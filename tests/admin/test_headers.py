"""What the admin site's answers forbid the browser."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

PAGES = [
    "index",
    "securedrop_ftp_partner_changelist",
    "securedrop_ftp_partner_add",
    "securedrop_ftp_account_changelist",
    "securedrop_ftp_account_add",
    "securedrop_ftp_upload_changelist",
    "securedrop_ftp_auditevent_changelist",
    "securedrop_ftp_lockout_changelist",
    "securedrop_ftp_livesession_changelist",
    "auth_user_changelist",
    "auth_user_add",
]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_keeps_to_its_own_origin_and_holds_nothing_inline(
    operator: Client, page: str
) -> None:
    answer = operator.get(reverse(f"admin:{page}"))
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    html = answer.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")", html)
    assert not re.search(r"\son[a-z]+=", html)
    assert "<style" not in html
    assert not re.search(r"\sstyle=", html)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)


def test_cookies_stay_on_tls_and_away_from_scripts(client: Client) -> None:
    client.get(reverse("admin:login"))
    cookie = client.cookies[settings.CSRF_COOKIE_NAME]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert settings.SESSION_COOKIE_SECURE
    assert settings.SESSION_COOKIE_HTTPONLY
