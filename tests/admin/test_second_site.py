"""A second admin site's buttons lead to its own pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from securedrop_ftp.models import Account, LiveSession


def test_no_button_leads_into_the_other_site(
    operator: Client, account: Account, settings: Any
) -> None:
    settings.ROOT_URLCONF = "tests.admin.two_sites"
    now = timezone.now()
    LiveSession.objects.create(
        id="0123abcd",
        owner="node:boot:0",
        node="node",
        remote_ip="192.0.2.7",
        started=now,
        seen=now,
    )
    pages = (
        "livesession/",
        "livesession/0123abcd/end/",
        f"account/{account.pk}/change/",
        f"account/{account.pk}/password/",
        f"account/{account.pk}/unlock/",
    )
    for page in pages:
        answer = operator.get(f"/second/securedrop_ftp/{page}")
        assert answer.status_code == 200, page
        assert not re.findall(r'(?:href|action)="(/admin/[^"]*)"', answer.content.decode()), page
    ended = operator.post("/second/securedrop_ftp/livesession/0123abcd/end/")
    assert ended.headers["Location"].startswith("/second/")


pytestmark = pytest.mark.django_db
