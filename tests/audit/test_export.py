"""Rows out: every column, in order, filtered, in constant memory, inert in a spreadsheet."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from securedrop_ftp.audit import export
from securedrop_ftp.events import Event
from securedrop_ftp.models import AuditEvent
from securedrop_ftp.signals import emit

COLUMNS = [
    "seq", "time", "event", "partner", "account", "remote_ip", "session", "path", "size",
    "sha256", "outcome", "reason", "reply", "version", "partner_id", "actor",
    "details", "prev_hash", "hash",
]  # fmt: skip
START = datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=UTC)


def _export(**options: Any) -> str:
    out = io.StringIO()
    call_command("audit_export", stdout=out, **options)
    return out.getvalue()


def _paths(**options: Any) -> list[str]:
    return [json.loads(line)["path"] for line in _export(**options).splitlines()]


@pytest.fixture
def trail(db: None) -> None:
    for day in range(4):
        for partner in ("acme", "globex"):
            name = "upload.committed" if day % 2 else "upload.aborted"
            time = START + timedelta(days=day)
            emit(Event(name, partner=partner, path=f"/{partner}{day}", size=day, time=time))


def test_a_line_holds_every_column_in_order(trail: None) -> None:
    row = json.loads(_export().splitlines()[0])
    assert list(row) == COLUMNS
    assert row["time"] == "2026-01-01T12:30:15.000250Z"
    assert row["seq"] == 1
    assert row["size"] == 0


def test_csv_holds_the_same(trail: None) -> None:
    rows = list(csv.DictReader(io.StringIO(_export(format="csv"))))
    lines = [json.loads(line) for line in _export().splitlines()]
    assert [list(row) for row in rows] == [COLUMNS] * 8
    assert [row["hash"] for row in rows] == [line["hash"] for line in lines]


def test_filters_narrow_the_rows(trail: None) -> None:
    assert _paths(partner="acme") == ["/acme0", "/acme1", "/acme2", "/acme3"]
    assert _paths(event="upload.aborted", partner="globex") == ["/globex0", "/globex2"]
    assert _paths(since=START + timedelta(days=3)) == ["/acme3", "/globex3"]
    assert _paths(until=START + timedelta(days=1)) == ["/acme0", "/globex0"]


def test_a_time_without_a_zone_is_utc(trail: None) -> None:
    out = io.StringIO()
    call_command("audit_export", "--since", "2026-01-04", stdout=out)
    assert len(out.getvalue().splitlines()) == 2


def test_a_wrong_argument_is_refused(db: None) -> None:
    for arguments in (["--since", "yesterday"], ["--event", "no.such"], ["--format", "xml"]):
        with pytest.raises(CommandError):
            call_command("audit_export", *arguments)


def test_an_export_can_be_verified_without_us(trail: None) -> None:
    previous = ""
    for line in _export().splitlines():
        row = json.loads(line)
        claimed = row.pop("hash")
        assert row["prev_hash"] == previous
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == claimed
        previous = claimed


def test_text_that_a_client_chose_runs_in_no_spreadsheet(db: None) -> None:
    emit(Event("login.failed", account="=cmd|' /C calc'!A0", reason="+1", path="@x"))
    row = next(csv.DictReader(io.StringIO(_export(format="csv"))))
    assert (row["account"], row["reason"], row["path"]) == ("'=cmd|' /C calc'!A0", "'+1", "'@x")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 100)

    def grow(first: int, count: int) -> None:
        AuditEvent.objects.bulk_create(
            [
                AuditEvent(
                    seq=n, event_id=uuid.UUID(int=n), time=START, event="session.opened",
                    path="x" * 5000,
                )
                for n in range(first, first + count)
            ],
            batch_size=50,
        )  # fmt: skip

    class Sink(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    def peak() -> int:
        gc.collect()
        tracemalloc.start()
        export.write(export.select(), Sink())
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    grow(1, 400)
    peak()  # what Django keeps from a first time is not the export's
    few = peak()
    grow(401, 2000)
    held = 2000 * 5000  # bytes of the added paths alone, if they were all held at once
    assert peak() < few + held / 4


def test_verify_says_so_and_names_the_first_broken_row(trail: None) -> None:
    out = io.StringIO()
    call_command("audit_verify", stdout=out)
    assert "8 rows" in out.getvalue()
    AuditEvent.objects.filter(seq=5)._raw_delete("default")
    with pytest.raises(CommandError, match="row 5: missing"):
        call_command("audit_verify")
