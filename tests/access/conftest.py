"""A partner with an account, and a count of the work that a login does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from securedrop_ftp.access import lockout
from securedrop_ftp.access.hashers import Argon2id
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.conf import get_conf
from securedrop_ftp.models import Account, AuditEvent, Partner

PASSWORD = "a-long-enough-password"


@pytest.fixture(autouse=True)
def _nothing_abandoned() -> Iterator[None]:
    """A test's rollback takes rows away, but not what this process remembers of them."""
    yield
    lockout._abandoned.clear()


@pytest.fixture
def partner(db: None) -> Partner:
    return create_partner("test", name="acme")


@pytest.fixture
def account(partner: Partner) -> Account:
    return create_account(partner, "alice", PASSWORD, "test")


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """``verified``: against a stored hash; ``burnt``: of nothing."""
    counts: Counter[str] = Counter()
    verify, encode = Argon2id.verify, Argon2id.encode

    def counting_verify(self: Argon2id, password: str, encoded: str) -> bool:
        counts["verified"] += 1
        return verify(self, password, encoded)

    def counting_encode(self: Argon2id, password: str, salt: str) -> str:
        counts["burnt"] += 1
        return encode(self, password, salt)

    monkeypatch.setattr(Argon2id, "verify", counting_verify)
    monkeypatch.setattr(Argon2id, "encode", counting_encode)
    return counts


def events() -> list[tuple[str, str]]:
    """``(event, reason)`` of every login row, in order."""
    rows = AuditEvent.objects.filter(event__startswith="login.").order_by("seq")
    return list(rows.values_list("event", "reason"))


@pytest.fixture
def conf(settings: Any) -> Iterator[Callable[..., None]]:
    """``conf(LOCKOUT_SECONDS=60.0)`` changes our settings for the test."""

    def change(**values: Any) -> None:
        settings.SECUREDROP = {**settings.SECUREDROP, **values}
        get_conf.cache_clear()

    yield change
    get_conf.cache_clear()
