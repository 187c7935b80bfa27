"""Live sessions cost a write when something changed, and strangers cost none."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from securedrop_ftp.engine import presence
from securedrop_ftp.engine.presence import Board, Snapshot
from securedrop_ftp.models import LiveSession
from tests.fixtures.databases import SharedDatabase

START = datetime(2026, 1, 1, tzinfo=UTC)


def shot(number: int, account: str = "alice", moved: int = 0) -> Snapshot:
    start = START + timedelta(microseconds=moved)  # computed anew each time
    return Snapshot(f"s{number}", "acme", account, "192.0.2.1", "idle", moved, start)


def writes(board: Board, snapshots: list[Snapshot]) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        board.publish(snapshots)
    # Of several at once the log says "5 times: UPDATE …".
    found = [re.match(r"(?:\d+ times: )?(INSERT|UPDATE|DELETE)", q["sql"]) for q in queries]
    return [match[1] for match in found if match]


@pytest.mark.django_db
def test_row_58_what_did_not_change_is_not_written() -> None:
    board = Board("node:ftps:boot:1", "node")
    many = [shot(number) for number in range(100)]
    assert set(writes(board, many)) == {"INSERT"}
    assert writes(board, many) == []
    many[7] = shot(7, moved=5)
    assert writes(board, many) == ["UPDATE"]
    assert LiveSession.objects.get(pk="s7").bytes_moved == 5
    assert writes(board, many[:50]) == ["DELETE"]
    assert LiveSession.objects.count() == 50


@pytest.mark.django_db
def test_row_58_strangers_have_no_row() -> None:
    board = Board("node:ftps:boot:1", "node")
    assert writes(board, [shot(number, account="") for number in range(100)]) == []
    board.publish([shot(1, account=""), shot(2)])
    assert list(LiveSession.objects.values_list("pk", flat=True)) == ["s2"]


@pytest.mark.django_db
def test_an_operators_wish_is_told_though_nothing_else_changed() -> None:
    board = Board("node:ftps:boot:1", "node")
    board.publish([shot(1), shot(2)])
    LiveSession.objects.filter(pk="s2").update(end_requested_by="olga")
    assert board.publish([shot(1), shot(2)]) == {"s2": "olga"}


@pytest.mark.django_db
def test_rows_that_somebody_removed_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board("node:ftps:boot:1", "node")
    board.publish([shot(1), shot(2)])
    LiveSession.objects.all().delete()
    monkeypatch.setattr(presence, "RECONCILE_EVERY", 0.0)
    board._reconcile_at = 0.0
    board.publish([shot(1), shot(2)])
    assert LiveSession.objects.count() == 2


@pytest.mark.django_db
def test_a_failed_write_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board("node:ftps:boot:1", "node")
    board.publish([shot(1)])
    with monkeypatch.context() as patch:
        patch.setattr(LiveSession.objects, "bulk_create", _fail)
        with pytest.raises(RuntimeError):
            board.publish([shot(1), shot(2)])
    board.publish([shot(1), shot(2)])
    assert LiveSession.objects.count() == 2


def _fail(*_args: object, **_more: object) -> None:
    raise RuntimeError("on purpose")


PERSISTENCE = """
from django.db import connection
import django; django.setup()
with connection.cursor() as cursor:
    if connection.vendor == "postgresql":
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = "
                       "'securedrop_ftp_livesession'")
        print(cursor.fetchone()[0])
    else:
        print("u")
"""


def test_the_table_is_not_logged_on_postgresql(shared_database: SharedDatabase) -> None:
    assert shared_database.run("-c", PERSISTENCE).strip() == "u"
