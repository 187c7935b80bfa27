"""Statements that are built once do what the ORM's do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import DateTimeField, QuerySet
from django.test.utils import CaptureQueriesContext

from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.models import Account, AuditHead, Lockout, LoginAttempt
from securedrop_ftp.prepared import Delete, Given, Instances, Select, Update, insert

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
AWKWARD = "o'br%s\"; DROP TABLE securedrop_ftp_loginattempt --"

pytestmark = pytest.mark.django_db


def _attempts() -> QuerySet[LoginAttempt, Any]:
    return LoginAttempt.objects.filter(
        username=Given("username"), started__gte=Given("since", DateTimeField())
    )


BY_NAME = Select(lambda: _attempts().values_list("username", "state", "started"))
FAIL = Update(_attempts, state=Given("state"), started=Given("now", DateTimeField()))
FORGET = Delete(_attempts)


def _made(username: str) -> LoginAttempt:
    row = LoginAttempt(source="192.0.2.1", username=username, started=NOON)
    assert insert(row)
    return row


@pytest.mark.parametrize("username", ["alice", AWKWARD])
def test_a_row_that_is_inserted_is_the_orms(username: str) -> None:
    row = _made(username)
    found = LoginAttempt.objects.get(pk=row.pk)
    assert (found.username, found.state, found.started) == (username, "reserved", NOON)


@pytest.mark.parametrize("username", ["alice", AWKWARD])
def test_values_are_bound_and_come_back_as_the_orm_gives_them(username: str) -> None:
    _made(username)
    _made("another")
    assert BY_NAME.rows(username=username, since=NOON) == [(username, "reserved", NOON)]
    assert BY_NAME.rows(username=username, since=NOON + timedelta(seconds=1)) == []


def test_an_update_changes_its_rows_and_says_how_many() -> None:
    row, other = _made("alice"), _made("another")
    later = NOON + timedelta(hours=1)
    assert FAIL.run(username="alice", since=NOON, state="failed", now=later) == 1
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.state, row.started, other.state) == ("failed", later, "reserved")


def test_a_delete_takes_its_rows_only() -> None:
    _made("alice")
    _made("another")
    assert FORGET.run(username="alice", since=NOON) == 1
    assert list(LoginAttempt.objects.values_list("username", flat=True)) == ["another"]


def test_the_sql_is_built_once_and_is_the_orms() -> None:
    built = []

    def queryset() -> QuerySet[Any, Any]:
        built.append(1)
        return Lockout.objects.filter(source=Given("source")).values_list("source", "until")

    statement = Select(queryset)
    with CaptureQueriesContext(connection) as ours:
        statement.rows(source="192.0.2.1")
        statement.rows(source="192.0.2.2")
    with CaptureQueriesContext(connection) as theirs:
        for source in ("192.0.2.1", "192.0.2.2"):
            list(Lockout.objects.filter(source=source).values_list("source", "until"))
    assert built == [1]
    assert [q["sql"] for q in ours] == [q["sql"] for q in theirs]


def test_what_is_there_once_is_not_inserted_again_and_the_transaction_goes_on() -> None:
    assert insert(Lockout(source="192.0.2.1", username="", touched=NOON))
    again = Lockout(source="192.0.2.1", username="", touched=NOON)
    assert not insert(again)
    assert again._state.adding
    assert Lockout.objects.count() == 1
    AuditHead.objects.filter(pk=1).delete()
    assert insert(AuditHead(pk=1))
    assert not insert(AuditHead(pk=1))


def test_instances_come_with_what_they_refer_to() -> None:
    partner = create_partner("test", name="acme")
    account = create_account(partner, "alice", "a-long-enough-password", "test")
    statement = Instances(
        Account,
        lambda: Account.objects.filter(user__username=Given("name")),
        "user",
        "partner",
    )
    assert statement.first(name="nobody") is None
    with CaptureQueriesContext(connection) as queries:
        found = statement.first(name="alice")
        assert found is not None
        assert (found.user, found.partner) == (account.user, partner)
        assert found.permissions == account.permissions
        assert found.partner.created == partner.created
        assert found.user.is_active is True
    assert len(queries) == 1
    found.save()  # an instance like any other
