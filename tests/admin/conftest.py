"""An operator logged in to the admin site, and a partner with an account."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.models import Account, Partner

OPERATOR_PASSWORD = "an-operators-password"


@pytest.fixture
def partner(db: None) -> Partner:
    return create_partner("test", name="acme")


@pytest.fixture
def account(partner: Partner) -> Account:
    return create_account(partner, "alice", "a-long-enough-password", "test")


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    user = get_user_model().objects.create_superuser("olga", password=OPERATOR_PASSWORD)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
