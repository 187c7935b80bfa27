"""Rows: one for each event, numbered without gaps, append-only, with nothing in them that forges
or steers."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from securedrop_ftp import signals
from securedrop_ftp.audit import receivers, statements
from securedrop_ftp.audit.chain import verify
from securedrop_ftp.escaping import escape
from securedrop_ftp.events import EVENT_NAMES, Event
from securedrop_ftp.exceptions import AuditUnavailable
from securedrop_ftp.models import AuditEvent, AuditHead
from securedrop_ftp.models.audit_event import AppendOnly
from securedrop_ftp.signals import emit
from tests.fixtures.databases import SharedDatabase


def _seqs() -> list[int]:
    return list(AuditEvent.objects.order_by("seq").values_list("seq", flat=True))


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_every_event_leaves_a_row(db: None, name: str) -> None:
    emit(Event(name, outcome="denied", partner="acme", size=5))
    row = AuditEvent.objects.get()
    assert (row.event, row.outcome, row.partner, row.size) == (name, "denied", "acme", 5)


def test_an_event_that_is_sent_twice_is_one_row_and_takes_one_number(db: None) -> None:
    event = Event("session.opened")
    for _ in range(3):
        emit(event)
    emit(Event("session.closed"))
    assert _seqs() == [1, 2]


def test_a_rolled_back_transaction_gives_its_numbers_back(db: None) -> None:
    emit(Event("session.opened"))
    with transaction.atomic():
        emit(Event("upload.committed"))
        transaction.set_rollback(True)
    emit(Event("session.closed"))
    assert _seqs() == [1, 2]
    assert verify().broken == ""


def test_numbers_have_no_gap_and_the_chain_holds_over_four_processes(
    shared_database: SharedDatabase,
) -> None:
    answer = json.loads(shared_database.run("-m", "tests.audit.emitter", "4", "30"))
    assert answer["seqs"] == list(range(1, answer["expected"] + 1))
    assert answer["rolled_back"] == []
    assert answer["broken"] == ""


def test_rows_cannot_be_updated_or_deleted_through_the_orm(db: None) -> None:
    emit(Event("session.opened"))
    row = AuditEvent.objects.get()
    row.reason = "forged"
    for act in (
        row.save,
        row.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(reason="forged"),
    ):
        with pytest.raises(AppendOnly):
            act()
    assert AuditEvent.objects.get().reason == ""


def test_a_row_that_cannot_be_written_raises(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(row: AuditEvent) -> bool:
        raise OSError("no")

    monkeypatch.setattr(receivers, "append", fails)
    with pytest.raises(AuditUnavailable):
        emit(Event("session.opened"))


def test_an_act_is_undone_with_its_row_even_where_its_caller_goes_on(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    emit(Event("session.opened"))

    def fail(row: AuditEvent) -> bool:
        raise OSError

    monkeypatch.setattr(statements, "insert", fail)
    with transaction.atomic():  # of the caller, who takes no notice
        AuditHead.objects.filter(pk=1).update(hash="changed with the act")
        with pytest.raises(AuditUnavailable):
            emit(Event("upload.committed"))
    assert AuditHead.objects.get().seq == 1
    assert verify().broken == ""


def test_a_row_that_the_head_knows_not_of_is_not_taken_for_this_one(db: None) -> None:
    emit(Event("session.opened"))
    AuditHead.objects.filter(pk=1).update(seq=0, hash="")
    with pytest.raises(AuditUnavailable), transaction.atomic():
        emit(Event("session.closed"))
    assert AuditHead.objects.get().seq == 0
    assert _seqs() == [1]


def test_a_foreign_receiver_that_raises_changes_nothing(db: None) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError("someone else's bug")

    signals.session_opened.connect(broken)
    try:
        emit(Event("session.opened"))
    finally:
        signals.session_opened.disconnect(broken)
    assert AuditEvent.objects.count() == 1


def test_connecting_twice_writes_one_row(db: None) -> None:
    receivers.connect()
    receivers.connect()
    emit(Event("session.opened"))
    assert AuditEvent.objects.count() == 1


# --- text ----------------------------------------------------------------------------

FORGERIES = [
    "a\nlogin.succeeded account=root",
    "a\r\n2026-01-01 info",
    "\x1b]0;owned\x07\x1b[2J",
    "a\u2028b\u2029c",
    "user\u202egpj.exe",
    "\u2066hidden\u2069",
    "zero\u200bwidth\ufeff",
    "\ud800lone",
    "nul\x00byte\x7f\x9b",
    "\U000e0041tag",
]


@pytest.mark.parametrize("text", FORGERIES)
def test_what_forges_lines_or_steers_terminals_is_escaped(
    db: None,
    text: str,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Any,
) -> None:
    with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
        emit(Event("login.failed", account=text, path=text, reason=text, extra={"more": text}))
    row = AuditEvent.objects.get()
    for shown in (row.account, row.path, row.reason):
        assert shown.isprintable()
        assert shown.encode("utf-8").decode("unicode_escape") == text
    assert len(caplog.records) == 1
    values: Any = caplog.records[0].msg
    assert values["seq"] == 1
    assert all(v.isprintable() for v in values.values() if isinstance(v, str))


def test_details_are_escaped_and_bounded(
    db: None, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    details = {"client": "a\x1b[2J\n", "long": "x" * 9999, "many": [{"n\n": 1}] * 99, "tls": None}
    with caplog.at_level(logging.INFO), django_capture_on_commit_callbacks(execute=True):
        emit(Event("session.closed", details=details))
    row = AuditEvent.objects.get()
    assert row.details is not None
    assert row.details["client"] == "a\\x1b[2J\\x0a"
    assert len(row.details["long"]) == receivers.DETAIL_TEXT
    assert row.details["many"] == [{"n\\x0a": 1}] * receivers.DETAIL_ITEMS
    values: Any = caplog.records[0].msg
    assert values["client"] == row.details["client"]
    assert verify().broken == ""


def test_the_escaped_form_is_unambiguous(db: None) -> None:
    assert escape("a\nb", 99) != escape("a\\x0ab", 99)


@given(st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_stored_visible_and_bounded(text: str) -> None:
    shown = escape(text, 20)
    assert len(shown) <= 20
    assert all(c.isprintable() or c.isspace() for c in shown)
    assert not set(shown) & set("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    shown.encode("utf-8")


def test_a_megabyte_of_text_is_cut_to_the_column(db: None) -> None:
    long = "\x01" * 1_000_000
    emit(Event("login.failed", account=long, path=long, reason=long, reply=long, session=long))
    row = AuditEvent.objects.get()
    for name, limit in receivers.LIMITS.items():
        assert len(getattr(row, name) or "") <= limit
    assert row.path.endswith("…")


# --- the chain -----------------------------------------------------------------------


def _tamper(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE {t} SET reason = 'x' WHERE seq = 3", "row 3: its contents"),
        ("UPDATE {t} SET size = 0 WHERE seq = 3", "row 3: its contents"),
        ("UPDATE {t} SET time = '2020-01-01 00:00:00' WHERE seq = 3", "row 3: its contents"),
        ("DELETE FROM {t} WHERE seq = 3", "row 3: missing"),
        ("DELETE FROM {t} WHERE seq = 1", "row 1: missing"),
        ("DELETE FROM {t} WHERE seq = 5", "row 5: missing"),
        ("UPDATE {t} SET prev_hash = '' WHERE seq = 4", "row 4: prev_hash"),
        ("UPDATE {t} SET hash = 'x' WHERE seq = 4", "row 4: its contents"),
        ("UPDATE securedrop_ftp_audithead SET seq = 4", "row 4: its hash is not"),
        ("UPDATE securedrop_ftp_audithead SET hash = 'x'", "row 5: its hash is not"),
        ("DELETE FROM securedrop_ftp_audithead", "row 1: beyond"),
    ],
)
def test_the_chain_breaks_at_the_row_that_was_touched(db: None, sql: str, says: str) -> None:
    for number in range(5):
        emit(Event("upload.committed", path=f"/{number}", size=number))
    assert verify().rows == 5
    assert verify().broken == ""
    _tamper(sql.format(t="securedrop_ftp_auditevent"))
    assert says in verify().broken


def test_an_empty_trail_holds(db: None) -> None:
    assert verify().broken == ""
    assert not AuditHead.objects.exists()
