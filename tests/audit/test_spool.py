"""Events outlive a database that is away: on disk, in order, and once."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from securedrop_ftp.audit import spool as spool_module
from securedrop_ftp.audit.spool import Spool, record, record_within, replay
from securedrop_ftp.db import DatabaseWriter
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import AuditUnavailable
from securedrop_ftp.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)


class Database:
    """Goes away and comes back, as the audit receiver sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from securedrop_ftp.audit import receivers

        append = receivers.append
        self.away = False

        def reach(row: AuditEvent) -> bool:
            if self.away:
                raise OperationalError("could not connect to server")
            return append(row)

        monkeypatch.setattr(receivers, "append", reach)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    return Database(monkeypatch)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    made = Spool(tmp_path / "audit-spool")
    monkeypatch.setattr(spool_module, "_spool", made)
    yield made
    made.close()


@pytest.fixture
def writer() -> Iterator[DatabaseWriter]:
    started = DatabaseWriter().start()
    yield started
    started.close()
    connection.close()


def _event(number: int) -> Event:
    return Event("session.closed", account=f"n{number}", path="\udcff\n", size=number)


def _accounts() -> list[str]:
    return list(AuditEvent.objects.order_by("seq").values_list("account", flat=True))


def _record_all(writer: DatabaseWriter, numbers: range) -> None:
    for future in [record(writer, _event(n)) for n in numbers]:
        future.result(10)


def _replay_all(writer: DatabaseWriter, spool: Spool) -> None:
    replay(writer).result(10)
    while spool.pending:
        writer.call(lambda: None, 10)


def test_an_event_is_a_row_when_its_future_is_done(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    record(writer, _event(1)).result(10)
    assert _accounts() == ["n1"]
    assert not spool.directory.exists()


def test_events_while_the_database_is_away_become_rows_in_their_order(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    _record_all(writer, range(2))
    database.away = True
    _record_all(writer, range(2, 40))
    assert _accounts() == ["n0", "n1"]
    assert len(next(spool.directory.glob("*.jsonl")).read_bytes().splitlines()) == 38
    database.away = False
    _replay_all(writer, spool)
    assert _accounts() == [f"n{n}" for n in range(40)]
    assert next(spool.directory.glob("*.jsonl")).stat().st_size == 0


def test_an_event_goes_behind_those_that_wait(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    database.away = True
    _record_all(writer, range(5))
    database.away = False
    _record_all(writer, range(5, 7))
    assert _accounts() == [f"n{n}" for n in range(7)]


def test_a_long_spool_is_replayed_in_chunks_and_in_order(
    spool: Spool, writer: DatabaseWriter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "CHUNK", 4)
    database.away = True
    _record_all(writer, range(10))
    database.away = False
    _record_all(writer, range(10, 12))  # there is more than a chunk before it: it queues
    _replay_all(writer, spool)
    assert _accounts() == [f"n{n}" for n in range(12)]


def test_a_spooled_row_is_what_the_direct_one_would_have_been(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    event = _event(7)
    database.away = True
    record(writer, event).result(10)
    database.away = False
    _replay_all(writer, spool)
    row = AuditEvent.objects.get()
    assert (row.event_id, row.time, row.path, row.size) == (
        event.event_id, event.time, "\\udcff\\x0a", 7,
    )  # fmt: skip


def test_a_replay_that_is_rolled_back_is_done_again(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    spool.record(_event(1))

    def job() -> None:
        spool.replay()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        writer.call(job, 10)
    spool.rewind()
    assert _accounts() == []
    _replay_all(writer, spool)
    assert _accounts() == ["n1"]


def test_lines_that_were_rows_already_are_not_rows_again(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    # A crash between the commit and the note that it was done.
    from securedrop_ftp.signals import emit

    for number in range(3):
        spool.record(_event(number))
    lines = next(spool.directory.glob("*.jsonl")).read_bytes().splitlines()
    emit(spool_module._load(lines[0]))
    _replay_all(writer, spool)
    assert _accounts() == ["n0", "n1", "n2"]


@pytest.mark.integration
def test_a_dead_process_file_is_adopted_and_a_living_one_is_not(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    program = (
        "import sys, pathlib, django; django.setup()\n"
        "from securedrop_ftp.audit.spool import Spool\n"
        "from securedrop_ftp.events import Event\n"
        "spool = Spool(pathlib.Path(sys.argv[1]))\n"
        "spool.record(Event('session.closed', account='orphan'))\n"
        "print('recorded', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(spool.directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "recorded\n"
        _replay_all(writer, spool)
        assert _accounts() == []
    finally:
        child.kill()
        child.wait(10)
        child.communicate()
    _replay_all(writer, spool)
    assert _accounts() == ["orphan"]


def test_a_file_is_not_adopted_while_its_process_is_about_to_lock_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Spool(spool.directory)
    flock = fcntl.flock

    def adopt_first(file: Any, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        other.adopt()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", adopt_first)
    spool.record(_event(1))
    assert [len(path.read_bytes()) > 0 for path in spool.directory.glob("*.jsonl")] == [True]


def test_half_a_line_of_a_killed_process_loses_no_other(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    spool.directory.mkdir()
    whole = spool_module._dump(_event(1))
    (spool.directory / "00000000000000000001-1.jsonl").write_bytes(whole + whole[:40])
    spool.record(_event(2))
    _replay_all(writer, spool)
    assert _accounts() == ["n2", "n1"]


def test_a_line_that_no_database_takes_is_set_aside_and_holds_up_nobody(
    spool: Spool, writer: DatabaseWriter, database: Database
) -> None:
    spool.record(Event("session.closed", account="bad", size=2**70))
    spool.record(_event(2))
    _replay_all(writer, spool)
    assert _accounts() == ["n2"]
    assert b'"bad"' in (spool.directory / "rejected").read_bytes()


def test_without_database_and_disk_the_caller_hears_it(
    spool: Spool, writer: DatabaseWriter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(event: Event) -> None:
        raise OSError(28, "No space left on device")

    database.away = True
    monkeypatch.setattr(spool, "record", full)
    future: Future[Any] = record(writer, _event(1))
    with pytest.raises(AuditUnavailable):
        future.result(10)


def test_the_spool_is_readable_by_its_owner_only(spool: Spool) -> None:
    spool.record(_event(1))
    file = next(spool.directory.glob("*.jsonl"))
    assert file.stat().st_mode & 0o077 == 0
    assert spool.directory.stat().st_mode & 0o077 == 0


def test_an_event_that_the_writer_does_not_come_to_is_on_the_disk_and_a_row_once(
    spool: Spool, writer: DatabaseWriter
) -> None:
    goes_on = threading.Event()
    held = writer.submit(lambda: goes_on.wait(10))
    try:
        record_within(writer, _event(1), 0.05)
        assert len(next(spool.directory.glob("*.jsonl")).read_bytes().splitlines()) == 1
    finally:
        goes_on.set()
    assert held.result(10)
    writer.call(lambda: None, 10)
    assert _accounts() == ["n1"]
    assert not spool.pending


def test_an_event_that_the_disk_does_not_take_either_is_told_and_a_row_later(
    spool: Spool, writer: DatabaseWriter
) -> None:
    spool.directory.write_text("no directory")
    goes_on = threading.Event()
    writer.submit(lambda: goes_on.wait(10))
    try:
        with capture_logs() as log:
            record_within(writer, _event(1), 0.05)
        assert [line["event"] for line in log] == ["audit.event_late"]
    finally:
        goes_on.set()
    writer.call(lambda: None, 10)
    assert _accounts() == ["n1"]
