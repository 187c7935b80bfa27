"""Appending to a finished file: a whole new version each time, or the file as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.utils import timezone

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB, MIB
from securedrop_ftp.exceptions import (
    AlreadyFinished,
    AnothersFile,
    AppendedAlready,
    AppendedFileChanged,
    LeaseLost,
    NotAtTheEnd,
    SecureDropError,
    StorageUnavailable,
    TooLarge,
    TooManyAppends,
    Truncated,
)
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.ftps.answers import stored as told
from securedrop_ftp.intake import appending, digest
from securedrop_ftp.intake.appending import APPENDS
from securedrop_ftp.intake.digest import PlainSha256
from securedrop_ftp.intake.steps import set_hook
from securedrop_ftp.models import AuditEvent, Upload, UploadState
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, make_principal, rows, stored
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]

pytestmark = pytest.mark.integration

#: Below S3's smallest part, above it, and at odd places of the parts here (64 KiB, GCS's 256 KiB).
SIZES: Final = (0, 1, 64 * KIB, 300 * KIB + 7, 5 * MIB, 5 * MIB + 300 * KIB + 7)
MORE: Final = os.urandom(70 * KIB)


@pytest.fixture(params=servers.QUICK)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


@pytest.fixture
def appender(db: None) -> Principal:
    return make_principal(append=True)


@pytest.fixture
def memory(db: None, tmp_path: Path) -> House:
    return House(servers.make_backend("memory", tmp_path, lambda name: None))


@pytest.fixture
def s3(request: pytest.FixtureRequest, db: None, tmp_path: Path) -> House:
    return House(servers.make_backend("moto", tmp_path, request.getfixturevalue))


def append(house: House, who: Principal, data: bytes = MORE, **changes: Any) -> str:
    receipt = house.upload(who, "/a", data, **{"append": True, **changes})
    return str(told(receipt))


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_is_published_with_its_digest(
    house: House, appender: Principal, size: int
) -> None:
    old = os.urandom(size)
    house.upload(appender, "/a", old)
    text = append(house, appender)
    whole = old + MORE
    assert stored(house.backend, "acme/a") == whole
    assert f"appended at {size}" in text
    assert hashlib.sha256(whole).hexdigest() in text
    append(house, appender, b"and", append=False, offset=len(whole))
    assert stored(house.backend, "acme/a") == whole + b"and"
    last = Upload.objects.get(current=True)
    assert (last.size, last.sha256) == (len(whole) + 3, hashlib.sha256(whole + b"and").hexdigest())
    assert rows() == ["upload.committed"] * 3
    assert not house.intake.budget.used


def test_nothing_more_is_the_same_file(house: House, appender: Principal) -> None:
    for size in (0, 100, 5 * MIB + 1):
        old = os.urandom(size)
        house.upload(appender, "/a", old)
        append(house, appender, b"")
        assert stored(house.backend, "acme/a") == old


def test_who_may_not_is_told_as_before(memory: House, alice: Principal) -> None:
    memory.upload(alice, "/a", b"old")
    for changes in ({"append": True}, {"offset": 3}):
        with pytest.raises(AlreadyFinished) as refused:
            memory.begin(alice, "/a", **changes)
        assert "nothing is appended to it" in str(answer(refused.value))


def test_the_offset_is_the_files_length(memory: House, appender: Principal) -> None:
    memory.upload(appender, "/a", b"old")
    with pytest.raises(NotAtTheEnd) as refused:
        memory.begin(appender, "/a", offset=2)
    assert str(answer(refused.value)).startswith("554 The file has 3 bytes; REST 3 appends")


def test_a_name_that_is_free_makes_a_file(memory: House, appender: Principal) -> None:
    append(memory, appender, b"first")
    assert stored(memory.backend, "acme/a") == b"first"


def test_anothers_file_and_a_tools_are_left(memory: House, appender: Principal) -> None:
    memory.upload(make_principal(user="anna"), "/a", b"hers")
    with pytest.raises(AnothersFile) as refused:
        memory.begin(appender, "/a", append=True)
    assert "this account stored" in str(answer(refused.value))
    memory.upload(appender, "/mine", b"mine")
    memory.backend.delete("acme/a")
    memory.backend.rename("acme/mine", "acme/a", replace=False)  # behind the service
    with pytest.raises(AnothersFile):
        memory.begin(appender, "/a", offset=4)


def test_so_often_a_day_and_no_more(memory: House, appender: Principal) -> None:
    memory.upload(appender, "/a", b"")
    for _ in range(APPENDS):
        append(memory, appender, b".")
    with pytest.raises(TooManyAppends) as refused:
        append(memory, appender)
    assert str(answer(refused.value)).startswith("552 A file is appended to at most 20 times")
    assert stored(memory.backend, "acme/a") == b"." * APPENDS
    yesterday = timezone.now() - timedelta(hours=25)
    Upload.objects.exclude(current=True).update(finished=yesterday)
    append(memory, appender, b"!")
    memory.upload(appender, "/a", b"whole")  # is no append


def test_the_limit_is_the_whole_files(memory: House, appender: Principal) -> None:
    limited = make_principal(append=True, max_file_size=10)
    memory.upload(limited, "/a", b"12345678")
    with pytest.raises(TooLarge):
        memory.begin(limited, "/a", append=True, announced=3)
    with pytest.raises(TooLarge):
        append(memory, limited, b"901")
    append(memory, limited, b"90")
    assert stored(memory.backend, "acme/a") == b"1234567890"


# --- what comes in between ----------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 5 * MIB + 1])
def test_an_append_that_breaks_off_leaves_the_file(
    house: House, appender: Principal, size: int
) -> None:
    old = os.urandom(size)
    house.upload(appender, "/a", old)
    stream = house.begin(appender, "/a", append=True)
    house.feed(stream, os.urandom(6 * MIB))
    house.cancel(stream, Truncated())
    assert stored(house.backend, "acme/a") == old
    assert rows()[-1] == "upload.aborted"
    assert house.intake.suspended_for(appender, "/a") is None
    assert house.intake.meaning.seen(appender, "/a").entry.size == size
    append(house, appender)
    assert stored(house.backend, "acme/a") == old + MORE


@pytest.mark.parametrize("what", ["delete", "rename", "replace"])
def test_a_file_that_went_meanwhile_is_not_brought_back(
    house: House, appender: Principal, what: str
) -> None:
    house.upload(appender, "/a", b"old")
    stream = house.begin(appender, "/a", append=True)
    house.feed(stream, MORE)
    if what == "delete":
        house.delete(appender, "/a")
    elif what == "rename":
        house.rename(appender, "/a", "/b")
    else:  # a tool's, of the same length
        house.backend.delete("acme/a")
        house.upload(make_principal(), "/t", b"its")
        house.backend.rename("acme/t", "acme/a", replace=False)
    with pytest.raises(AppendedFileChanged) as refused:
        house.finish(stream)
    assert str(answer(refused.value)).startswith("450 The file was replaced")
    expected = {"delete": None, "rename": None, "replace": b"its"}[what]
    assert stored(house.backend, "acme/a") == expected
    assert rows()[-1] == "upload.aborted"


def test_what_the_ledger_says_of_the_file_counts(memory: House, appender: Principal) -> None:
    """Between the look at storage and the row that says publishing."""
    memory.upload(appender, "/a", b"old")
    stream = memory.begin(appender, "/a", append=True)
    memory.feed(stream, MORE)

    def lose(step: str) -> None:
        if step == "publishing.before":
            Upload.objects.filter(current=True).update(current=False)

    set_hook(lose)
    try:
        with pytest.raises(AppendedFileChanged):
            memory.finish(stream)
    finally:
        set_hook(None)
    assert stored(memory.backend, "acme/a") == b"old"


def test_other_bytes_of_the_same_length_are_not_appended_to(
    house: House, appender: Principal
) -> None:
    for size in (100, 5 * MIB + 1):
        house.upload(appender, "/a", os.urandom(size))
        house.upload(make_principal(), "/t", other := os.urandom(size))
        house.backend.rename("acme/t", "acme/a", replace=True)
        with pytest.raises(AppendedFileChanged):
            append(house, appender)
        assert stored(house.backend, "acme/a") == other
        assert rows()[-1] == "upload.aborted"


def test_a_later_session_of_the_account_takes_it_over(memory: House, appender: Principal) -> None:
    memory.upload(appender, "/a", b"old")
    first = memory.begin(appender, "/a", append=True)
    memory.feed(first, b"lost")
    append(memory, appender, b" new")
    with pytest.raises(LeaseLost):
        memory.finish(first)
    assert stored(memory.backend, "acme/a") == b"old new"


def test_an_interrupted_upload_that_was_to_replace_it_is_gone_on_with(
    memory: House, appender: Principal
) -> None:
    memory.upload(appender, "/a", b"old")
    whole = os.urandom(300 * KIB)
    stream = memory.begin(appender, "/a")
    memory.feed(stream, whole)
    memory.cancel(stream, Truncated())
    kept = memory.intake.suspended_for(appender, "/a")
    assert kept is not None
    append(memory, appender, b" more")
    assert stored(memory.backend, "acme/a") == b"old more"

    stream = memory.begin(appender, "/a")
    memory.feed(stream, whole)
    memory.cancel(stream, Truncated())
    memory.upload(appender, "/a", whole[kept.length :], offset=kept.length)
    assert stored(memory.backend, "acme/a") == whole


# --- crashes -----------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


STEPS: Final = (
    "admitted.before",
    "admitted.after",
    "begin.before",
    "begin.after",
    "part.before",
    "part.after",
    "part.recorded",
    "publishing.before",
    "publishing.after",
    "commit.after",
    "committed.after",
)


@pytest.mark.parametrize("at", STEPS)
@pytest.mark.parametrize("size", [10, 5 * MIB + 1])
def test_a_crash_leaves_the_old_file_or_the_new(
    house: House, appender: Principal, size: int, at: str
) -> None:
    old = os.urandom(size)
    house.upload(appender, "/a", old)

    def kill(step: str) -> None:
        if step == at:
            raise Killed

    set_hook(kill)
    try:
        append(house, appender)
    except Killed:
        pass
    finally:
        set_hook(None)
    after = House(house.backend, owner="here:boot:2")
    hour_ago = timezone.now() - timedelta(hours=1)  # nothing sent then may still land
    Upload.objects.filter(state__in=("receiving", "publishing")).update(updated=hour_ago)
    after.intake.recovery.recover(lambda owner: True)
    assert not Upload.objects.filter(state__in=("receiving", "publishing", "suspended")).exists()
    now = stored(house.backend, "acme/a")
    assert now in (old, old + MORE)
    current = Upload.objects.get(current=True)
    assert current.sha256 == hashlib.sha256(now).hexdigest()
    if at in ("commit.after", "committed.after"):
        assert now == old + MORE
    swept = house.backend.sweep(lambda upload_id: False, older_than=timezone.now())
    assert not swept or at == "begin.after"  # before the ledger heard of it


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_storage_that_fails_leaves_the_file(house: House, appender: Principal, nth: int) -> None:
    old = os.urandom(5 * MIB + 1)
    house.upload(appender, "/a", old)
    inner = house.backend
    faulty = house.backend = FaultyBackend(inner)
    faulty.fail("any", nth)
    try:
        append(house, appender)
    except SecureDropError as exc:
        assert isinstance(exc, StorageUnavailable)  # noqa: PT017
        house.backend = inner
        assert stored(inner, "acme/a") == old
        append(house, appender)
    assert stored(inner, "acme/a") == old + MORE


def test_an_outcome_that_was_pending_is_told_and_nothing_is_appended_twice(
    memory: House, appender: Principal
) -> None:
    memory.upload(appender, "/a", b"old")
    inner = memory.backend
    faulty = memory.backend = FaultyBackend(inner)
    faulty.fail("put_object", after=True)
    with pytest.raises(SecureDropError) as pending:
        append(memory, appender, b" new")
    assert str(answer(pending.value)).startswith("451")
    with pytest.raises(SecureDropError):  # settles it; the file that was looked at is no more
        append(memory, appender, b" new")
    with pytest.raises(AppendedAlready) as refused:
        append(memory, appender, b" new")
    assert "What you sent last was stored: the file has 7 bytes" in str(answer(refused.value))
    append(memory, appender, b" next")
    assert stored(inner, "acme/a") == b"old new next"


# --- S3 ----------------------------------------------------------------------------------


def _calls(house: House, who: Principal) -> list[str]:
    inner = house.backend
    faulty = house.backend = FaultyBackend(inner)
    try:
        append(house, who)
    finally:
        house.backend = inner
    return faulty.calls


def test_s3_copies_and_reads_nothing(
    s3: House, appender: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "COPIED", 6 * MIB)
    monkeypatch.setattr(appending, "AT_ONCE", 2)
    old = os.urandom(31 * MIB)
    s3.upload(appender, "/a", old)
    calls = _calls(s3, appender)
    assert (calls.count("read"), calls.count("put_part"), calls.count("copy_parts")) == (0, 1, 3)
    assert stored(s3.backend, "acme/a") == old + MORE
    last = Upload.objects.get(current=True)
    assert (last.digest_source, len(last.parts)) == ("midstate", 7)
    assert last.sha256 == hashlib.sha256(old + MORE).hexdigest()


@pytest.mark.parametrize("why", ["of before", "no midstates"])
def test_where_no_state_was_kept_the_file_is_read_once(
    s3: House, appender: Principal, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    old = os.urandom(9 * MIB)
    if why == "no midstates":
        monkeypatch.setattr(digest, "_library", lambda: None)
    s3.upload(appender if why == "no midstates" else make_principal(), "/a", old)
    calls = _calls(s3, appender)
    assert (calls.count("read"), calls.count("put_part"), calls.count("copy_parts")) == (2, 1, 1)
    assert stored(s3.backend, "acme/a") == old + MORE
    assert isinstance(digest.new_digest(), PlainSha256) == (why == "no midstates")
    assert _calls(s3, appender).count("read") == (0 if why == "of before" else 2)


def test_s3_takes_small_files_into_the_first_part(s3: House, appender: Principal) -> None:
    s3.upload(appender, "/a", os.urandom(5 * MIB - 1))
    stream = s3.begin(appender, "/a", append=True)
    s3.feed(stream, os.urandom(5 * MIB))
    s3.finish(stream)
    sizes = [part[2] for part in Upload.objects.get(current=True).parts]
    assert sizes == [5 * MIB, 5 * MIB - 1]


def test_the_state_goes_with_the_file_that_is_replaced(s3: House, appender: Principal) -> None:
    s3.upload(appender, "/a", b"1")
    append(s3, appender)
    kept = list(Upload.objects.filter(digest_state__isnull=False))
    assert [row.current for row in kept] == [True]
    s3.delete(appender, "/a")
    assert not Upload.objects.filter(digest_state__isnull=False).exists()
    s3.upload(make_principal(), "/a", b"1")  # of a partner who appends nothing
    assert not Upload.objects.filter(digest_state__isnull=False).exists()


def test_each_step_has_its_row(memory: House, appender: Principal) -> None:
    memory.upload(appender, "/a", b"old")
    append(memory, appender, b" new")
    row = AuditEvent.objects.filter(event="upload.committed").order_by("-time")[0]
    assert (row.size, row.reason) == (7, "appended at 3")
    first, second = Upload.objects.filter(state=UploadState.COMMITTED).order_by("started")
    assert (first.appends_to, second.appends_to) == (None, first.pk)
