"""However an upload fails: storage as it was, one audit row, memory given back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import (
    Cancelled,
    LedgerUnavailable,
    OutcomeUnknown,
    SecureDropError,
    StorageRefused,
    StorageUnavailable,
    Truncated,
)
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.models import AuditEvent, Permission, Upload
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, make_principal, rows, states, stored

PART = 64 * KIB
BIG = bytes(range(256)) * (PART // 256) * 3 + b"tail"


@pytest.fixture
def faulty(backend: Backend) -> FaultyBackend:
    return FaultyBackend(backend)


@pytest.fixture
def house(faulty: FaultyBackend, db: None) -> House:
    return House(faulty)


def attempt(house: House, alice: Principal, data: bytes) -> SecureDropError | None:
    """One STOR as the data channel would do it: the error, if it failed."""
    try:
        stream = house.begin(alice, "/a")
    except SecureDropError as exc:
        return exc
    house.feed(stream, data)
    try:
        if stream.error is not None:
            house.cancel(stream, stream.error)
            return stream.error
        house.finish(stream)
    except SecureDropError as exc:
        return exc
    finally:
        assert house.intake.budget.used == 0
        assert house.intake.live == 0
    return None


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "big"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_whichever_storage_call_fails_the_ledger_agrees_with_storage(
    house: House, faulty: FaultyBackend, alice: Principal, data: bytes, after: bool, nth: int
) -> None:
    assert attempt(house, alice, b"old") is None
    faulty.calls.clear()
    faulty.fail("any", nth, after=after)
    error = attempt(house, alice, data)
    if len(faulty.calls) < nth:
        assert error is None  # there is no such call: the upload is done
    else:
        last = faulty.calls[nth - 1]
        assert isinstance(error, SecureDropError) or last == "abort"
    house.intake.heartbeat()
    published = stored(faulty.inner, "acme/a") == data
    assert states()[1:] in ([["committed"]] if published else [["aborted"], ["suspended"], []])
    assert stored(faulty.inner, "acme/a") in (b"old", data)
    assert len(rows()) == 2, rows()
    if isinstance(error, OutcomeUnknown):
        assert AuditEvent.objects.order_by("seq").last().reply.startswith("451 Outcome pending")  # type: ignore[union-attr]


def test_a_truncated_upload_changes_no_object(house: House, alice: Principal) -> None:
    attempt(house, alice, b"old")
    stream = house.begin(alice, "/a")
    house.feed(stream, b"half of i")
    house.cancel(stream, Truncated())
    assert stored(house.backend, "acme/a") == b"old"
    assert rows() == ["upload.committed", "upload.aborted"]
    event = AuditEvent.objects.order_by("seq").last()
    assert event is not None
    assert (event.size, event.reply[:3]) == (9, "426")


def test_a_cancel_after_the_publishing_step_waits_for_the_commit(
    house: House, alice: Principal
) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, b"whole")
    finished = stream.finish()
    house.work()
    assert finished.result().size == 5
    assert stream.cancel(Cancelled()).done()
    assert rows() == ["upload.committed"]


@pytest.mark.parametrize("steps", range(12))
def test_a_cancel_between_any_two_jobs_leaves_one_row_and_no_half_file(
    house: House, alice: Principal, steps: int
) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, BIG)
    finished = stream.finish()
    house.work(steps)
    cancelled = stream.cancel(Cancelled())
    house.work()
    assert cancelled.done()
    assert finished.done()
    if finished.exception() is None:
        assert stored(house.backend, "acme/a") == BIG
        assert rows() == ["upload.committed"]
    else:
        assert stored(house.backend, "acme/a") is None
        assert rows() == ["upload.suspended"]
    assert house.intake.budget.used == 0


def test_a_commit_that_fails_may_be_gone_on_with(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("commit")
    error = attempt(house, alice, BIG)
    assert isinstance(error, StorageUnavailable)
    seen = house.intake.suspended_for(alice, "/a")
    assert seen is not None
    assert seen.length == 3 * PART
    stream = house.begin(alice, "/a", offset=seen.length)
    house.feed(stream, BIG[seen.length :])
    receipt = house.finish(stream)
    assert receipt.joined_at == 3 * PART
    assert stored(faulty.inner, "acme/a") == BIG
    assert rows() == ["upload.suspended", "upload.resumed", "upload.committed"]


def test_a_refusal_by_storage_is_told_as_such(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("put_object", error=StorageRefused("no such bucket"))
    error = attempt(house, alice, b"x")
    assert error is not None
    assert answer(error).code == 550
    assert rows() == ["upload.aborted"]


def test_an_unexpected_error_of_the_publishing_call_is_an_unknown_outcome(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("put_object", after=True, error=RuntimeError("a bug"))
    error = attempt(house, alice, b"x")
    assert isinstance(error, OutcomeUnknown)
    assert states() == ["publishing"]
    house.intake.heartbeat()
    assert states() == ["committed"]
    assert rows() == ["upload.committed"]


# --- outcome pending ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "big"])
def test_a_retry_of_the_same_bytes_is_answered_from_the_ledger(
    house: House, faulty: FaultyBackend, alice: Principal, data: bytes
) -> None:
    faulty.fail("commit", after=True)
    faulty.fail("put_object", after=True)
    assert isinstance(attempt(house, alice, data), OutcomeUnknown)
    faulty._plans.clear()
    faulty.calls.clear()
    receipt = house.upload(alice, "/a", data)
    assert receipt.already_stored
    assert not {"commit", "put_object"} & set(faulty.calls)
    assert stored(faulty.inner, "acme/a") == data
    assert rows() == ["upload.committed", "upload.committed"]
    assert house.upload(alice, "/a", data).already_stored is False  # only the retry is


def test_a_retry_with_other_bytes_is_stored(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("put_object", after=True)
    attempt(house, alice, b"one")
    house.upload(alice, "/a", b"two")
    assert stored(faulty.inner, "acme/a") == b"two"


def test_a_retry_is_stored_again_where_the_first_copy_is_gone(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("put_object", after=True)
    attempt(house, alice, b"one")
    house.intake.heartbeat()
    faulty.inner.delete("acme/a")
    assert house.upload(alice, "/a", b"one").already_stored is False
    assert stored(faulty.inner, "acme/a") == b"one"


@pytest.mark.parametrize("policy", ["reject", "version"])
def test_the_retry_is_answered_under_each_policy(
    house: House, faulty: FaultyBackend, alice: Principal, policy: str
) -> None:
    from dataclasses import replace

    from securedrop_ftp.models import OverwritePolicy

    strict = replace(alice, overwrite=OverwritePolicy(policy))
    faulty.fail("put_object", after=True)
    attempt(house, strict, b"one")
    assert house.upload(strict, "/a", b"one").already_stored
    assert stored(faulty.inner, "acme/a (1)") is None


def test_an_unpublished_pending_upload_is_published_from_its_parts(
    house: House, faulty: FaultyBackend, alice: Principal
) -> None:
    faulty.fail("commit", error=OutcomeUnknown("no answer"))
    assert isinstance(attempt(house, alice, BIG), OutcomeUnknown)
    assert states() == ["publishing"]
    house.intake.heartbeat()
    assert states() == ["committed"]
    assert stored(faulty.inner, "acme/a") == BIG
    assert rows() == ["upload.committed"]


# --- the database --------------------------------------------------------------------------

STEPS = ["open_row", "record_parts", "mark_publishing", "mark_committed"]


@pytest.fixture
def broken(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``broken("mark_publishing")``: that job fails until ``broken()`` mends it."""
    names: set[str] = set()
    run = house.intake.ledger.run

    def failing(job):  # type: ignore[no-untyped-def]
        name = getattr(getattr(job, "func", job), "__name__", "")
        if names and (name in names or "all" in names):
            raise LedgerUnavailable from OperationalError("database is away")
        return run(job)

    monkeypatch.setattr(house.intake.ledger, "run", failing)

    def set_names(*given: str) -> None:
        names.clear()
        names.update(given)

    return set_names


@pytest.mark.parametrize("data", [b"small", BIG], ids=["small", "big"])
@pytest.mark.parametrize("step", STEPS)
def test_whichever_ledger_write_fails_the_row_is_settled_when_the_database_is_back(
    house: House, alice: Principal, broken: Callable[..., None], step: str, data: bytes
) -> None:
    stream = None
    error: SecureDropError | None = None
    broken("all" if step == "open_row" else step)
    try:
        stream = house.begin(alice, "/a")
        house.feed(stream, data)
        broken("all") if step != "record_parts" else None
        house.finish(stream)
    except SecureDropError as exc:
        error = exc
    published = stored(house.backend, "acme/a") == data
    broken()
    house.intake.heartbeat()
    if step == "record_parts":
        assert error is None
    else:
        assert error is not None
        assert answer(error).code == (421 if step == "open_row" else 451)
    assert len(rows()) == 1, rows()
    assert states() in ([["committed"]] if published else [["aborted"], ["suspended"], []])
    assert (stored(house.backend, "acme/a") == data) == published
    assert len(house.intake.unsettled) == 0


def test_a_commit_that_the_ledger_does_not_take_is_pending_and_told_so(
    house: House, alice: Principal, broken: Callable[..., None]
) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, b"x")
    broken("mark_committed")
    with pytest.raises(OutcomeUnknown):
        house.finish(stream)
    assert stored(house.backend, "acme/a") == b"x"
    broken()
    house.intake.heartbeat()
    assert Upload.objects.get().unconfirmed
    assert house.upload(alice, "/a", b"x").already_stored


@pytest.fixture
def losing(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``losing("mark_committed", away=True)``: the database does that job once, but its answer is
    lost; with ``away`` it then answers nothing more until ``losing()``."""
    run = house.intake.ledger.run
    lost: list[str] = []
    away: list[bool] = []

    def failing(job: Callable[[], object]) -> object:
        if away == [True, True]:
            raise LedgerUnavailable from OperationalError("database is away")
        name = getattr(getattr(job, "func", job), "__name__", "")
        answer = run(job)
        if name in lost:
            lost.clear()
            away[:] = [True, *away]
            raise LedgerUnavailable from OperationalError("the connection was closed")
        return answer

    monkeypatch.setattr(house.intake.ledger, "run", failing)

    def lose(*names: str, and_go_away: bool = False) -> None:
        lost[:] = names
        away[:] = [True] if and_go_away else []

    return lose


POLICIES = ("reject", "replace", "version")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_commit_whose_answer_alone_was_lost_is_a_commit(
    house: House, losing: Callable[..., None], policy: str
) -> None:
    losing("mark_committed")
    receipt = house.upload(make_principal(overwrite=policy), "/a", b"x")
    assert (receipt.path, receipt.already_stored) == ("/a", False)
    row = Upload.objects.get()
    assert (row.state, row.unconfirmed) == ("committed", False)
    assert AuditEvent.objects.get(event="upload.committed").reply.startswith("226")


@pytest.mark.parametrize("beat", [True, False], ids=["after a beat", "at once"])
@pytest.mark.parametrize("policy", POLICIES)
def test_who_was_told_that_the_outcome_is_pending_stores_nothing_twice(
    house: House, losing: Callable[..., None], policy: str, beat: bool
) -> None:
    alice = make_principal(overwrite=policy)
    losing("mark_committed", and_go_away=True)
    with pytest.raises(OutcomeUnknown):
        house.upload(alice, "/a", b"x")
    losing()
    if beat:
        house.intake.heartbeat()
    again = house.upload(alice, "/a", b"x")
    assert (again.path, again.already_stored) == ("/a", True)
    first, second = Upload.objects.order_by("started")
    assert first.reason.startswith("451"), "what the client was told"
    assert (first.key, second.key, first.state) == ("acme/a", "acme/a", "committed")
    assert stored(house.backend, "acme/a (1)") is None


@pytest.mark.parametrize("away", [True, False])
def test_the_answer_to_a_retry_may_get_lost_too(
    house: House, losing: Callable[..., None], away: bool
) -> None:
    alice = make_principal(overwrite="reject")
    losing("mark_committed", and_go_away=True)
    with pytest.raises(OutcomeUnknown):
        house.upload(alice, "/a", b"x")
    losing("answer_from", and_go_away=away)
    if away:
        with pytest.raises(LedgerUnavailable):
            house.upload(alice, "/a", b"x")
        losing()
        assert house.upload(alice, "/a", b"x").already_stored
    else:
        assert house.upload(alice, "/a", b"x").already_stored
    assert not Upload.objects.filter(unconfirmed=True).exists()


def test_parts_of_an_aborted_upload_leave_storage(tmp_path: Path, db: None) -> None:
    from dataclasses import replace

    faulty = FaultyBackend(FilesystemBackend(FileSystemStorage(location=str(tmp_path))))
    house = House(faulty)
    alice = replace(make_principal(), permissions=frozenset({Permission.UPLOAD}))
    stream = house.begin(alice, "/a")
    house.feed(stream, BIG)
    house.cancel(stream, Truncated())
    assert states() == ["aborted"]
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
