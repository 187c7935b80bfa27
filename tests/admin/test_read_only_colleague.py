"""A colleague who may look is shown no button that answers with a refusal."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from securedrop_ftp.events import Event
from securedrop_ftp.models import Account, LiveSession
from securedrop_ftp.signals import emit

MODELS = ("partner", "account", "livesession", "lockout", "upload", "auditevent")


@pytest.fixture
def colleague(account: Account) -> Client:
    user = get_user_model().objects.create_user("lou", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    emit(Event("login.failed", account="alice", remote_ip="192.0.2.1"))
    LiveSession.objects.create(
        pk="s1", account="alice", partner="acme", remote_ip="192.0.2.1", node="n",
        started=timezone.now(), seen=timezone.now(),
    )  # fmt: skip
    return client


@pytest.mark.parametrize("model", MODELS)
def test_every_link_on_every_page_answers(colleague: Client, model: str) -> None:
    seen = {reverse(f"admin:securedrop_ftp_{model}_changelist")}
    waiting = set(seen)
    while waiting:
        url = waiting.pop()
        answer = colleague.get(url)
        assert answer.status_code in (200, 302), url
        links = set(re.findall(r'href="(/admin/securedrop_ftp/[^"?#]+)"', answer.content.decode()))
        links = {link for link in links if f"/{model}/" in link}
        waiting |= links - seen
        seen |= links
