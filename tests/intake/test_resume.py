"""Interrupted uploads: what their owner sees, and going on with them on any worker."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings as SettingsWrapper

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import (
    BadOffset,
    Exists,
    LeaseLost,
    SecureDropError,
    StorageUnavailable,
    Truncated,
    UploadBusy,
    UploadRejected,
)
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.ftps.answers import stored as told
from securedrop_ftp.intake import digest
from securedrop_ftp.intake.steps import set_hook
from securedrop_ftp.models import AuditEvent, OverwritePolicy, Permission, Upload
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, make_principal, rows, states, stored

PART = 64 * KIB
DATA = os.urandom(5 * PART + 123)


def cut(house: House, alice: Principal, at: int, path: str = "/a") -> None:
    """A STOR whose client vanishes after ``at`` bytes."""
    stream = house.begin(alice, path)
    house.feed(stream, DATA[:at])
    house.cancel(stream, Truncated())


def length(house: House, alice: Principal, path: str = "/a") -> int | None:
    seen = house.intake.suspended_for(alice, path)
    return seen.length if seen else None


@pytest.mark.parametrize(
    ("at", "durable"),
    [
        (PART, None),
        (PART + 1, PART),
        (2 * PART, PART),
        (2 * PART + 1, 2 * PART),
        (5 * PART + 122, 5 * PART),
    ],
)
def test_the_durable_length_lies_strictly_below_what_was_received(
    house: House, alice: Principal, at: int, durable: int | None
) -> None:
    cut(house, alice, at)
    assert length(house, alice) == durable
    assert stored(house.backend, "acme/a") is None
    assert rows() == ["upload.suspended" if durable else "upload.aborted"]


def test_a_suspended_upload_looks_new(house: House, alice: Principal) -> None:
    cut(house, alice, 3 * PART)
    seen = house.intake.suspended_for(alice, "/a")
    assert seen is not None
    assert abs((timezone.now() - seen.modified).total_seconds()) < 1


@pytest.mark.parametrize("append", [False, True])
def test_a_cut_upload_goes_on_at_another_worker_byte_for_byte(
    backend: Backend, alice: Principal, append: bool
) -> None:
    cut(House(backend), alice, 3 * PART + 17)
    other = House(backend, owner="here:boot:2")
    offset = length(other, alice)
    assert offset == 3 * PART
    stream = other.begin(alice, "/a", append=append, offset=None if append else offset)
    assert stream.received == offset
    other.feed(stream, DATA[offset:])
    receipt = other.finish(stream)
    assert stored(backend, "acme/a") == DATA
    assert receipt.sha256 == hashlib.sha256(DATA).hexdigest()
    assert f"; joined at {offset}" in told(receipt).text
    assert Upload.objects.get().digest_source == "midstate"
    assert rows() == ["upload.suspended", "upload.resumed", "upload.committed"]
    event = AuditEvent.objects.get(event="upload.committed")
    assert event.reason == f"joined at {offset}"


def test_an_upload_cut_many_times_at_random_bytes_arrives_whole(
    house: House, alice: Principal
) -> None:
    chance = random.Random(20)
    at = 0
    for _ in range(10):
        offset = length(house, alice) or 0
        stream = house.begin(alice, "/a", offset=offset or None)
        at = chance.randrange(offset, len(DATA))
        house.feed(stream, DATA[offset:at], chunk=chance.randrange(1, 2 * PART))
        house.cancel(stream, Truncated())
        now = length(house, alice) or 0
        assert offset <= now
        assert now < max(at, 1) or now == offset
    offset = length(house, alice) or 0
    stream = house.begin(alice, "/a", offset=offset or None)
    house.feed(stream, DATA[offset:])
    assert house.finish(stream).sha256 == hashlib.sha256(DATA).hexdigest()
    assert stored(house.backend, "acme/a") == DATA


@pytest.mark.parametrize("offset", [1, PART - 1, 2 * PART, 4 * PART, 3 * PART + 1])
def test_another_offset_than_the_durable_length_gets_554_naming_it(
    house: House, alice: Principal, offset: int
) -> None:
    cut(house, alice, 3 * PART + 17)
    with pytest.raises(BadOffset) as caught:
        house.begin(alice, "/a", offset=offset)
    assert answer(caught.value).code == 554
    assert str(3 * PART) in answer(caught.value).text
    assert length(house, alice) == 3 * PART
    assert rows() == ["upload.suspended", "upload.rejected"]


def test_an_appe_at_another_length_than_the_client_was_told_is_refused(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", append=True, offset=2 * PART)


def test_an_offset_with_nothing_suspended_gets_554(house: House, alice: Principal) -> None:
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", offset=5)


def test_appe_to_nothing_is_a_new_upload(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"x", append=True)
    assert stored(house.backend, "acme/a") == b"x"


def test_appe_to_a_finished_file_is_refused_and_leaves_it_whole(
    house: House, alice: Principal
) -> None:
    house.upload(alice, "/a", b"x")
    with pytest.raises(UploadRejected):
        house.begin(alice, "/a", append=True)
    assert stored(house.backend, "acme/a") == b"x"


def test_the_suspended_one_survives_a_plain_stor_until_that_is_committed(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    stream = house.begin(alice, "/a")
    house.feed(stream, b"anew")
    house.cancel(stream, Truncated())
    assert length(house, alice) == 3 * PART
    house.upload(alice, "/a", b"anew")
    assert length(house, alice) is None
    assert stored(house.backend, "acme/a") == b"anew"
    assert states() == ["aborted", "aborted", "committed"]


def test_its_owner_may_discard_it_in_any_mode(house: House, alice: Principal) -> None:
    cut(house, alice, 3 * PART + 17)
    meek = replace(alice, permissions=frozenset({Permission.UPLOAD, Permission.RESUME}))
    assert house.intake.discard_suspended(meek, "/a")
    assert not house.intake.discard_suspended(meek, "/a")
    assert length(house, alice) is None


def test_nobody_else_sees_it_or_goes_on_with_it(house: House, alice: Principal) -> None:
    cut(house, alice, 3 * PART + 17)
    for other in (make_principal(user="bob"), make_principal("globex", "eve")):
        assert house.intake.suspended_for(other, "/a") is None
        assert house.intake.suspended_under(other, "/") == []
        with pytest.raises(BadOffset):
            house.begin(other, "/a", offset=3 * PART)


def test_a_directory_lists_its_own_suspended_uploads_only(house: House, alice: Principal) -> None:
    for path in ("/a", "/in/b", "/in/deep/c", "/IN/d"):
        cut(house, alice, 2 * PART + 1, path)
    assert [s.path for s in house.intake.suspended_under(alice, "/in")] == ["/in/b"]
    assert [s.path for s in house.intake.suspended_under(alice, "/")] == ["/a"]


def test_after_the_window_it_is_gone(house: House, alice: Principal) -> None:
    cut(house, alice, 3 * PART + 17)
    assert length(house, replace(alice, resume_window=0)) is None
    Upload.objects.update(updated=timezone.now() - timedelta(days=2))
    assert house.intake.recovery.prune().expired == 1
    assert states() == ["aborted"]


def test_a_crash_leaves_one_part_less_than_was_recorded(backend: Backend, alice: Principal) -> None:
    dead = House(backend)
    stream = dead.begin(alice, "/a")
    dead.feed(stream, DATA[: 3 * PART + 17])
    dead.work()
    house = House(backend, owner="here:boot:2")
    assert house.intake.recovery.recover(lambda owner: owner == dead.owner) == {"suspended": 1}
    assert length(house, alice) == 2 * PART
    stream = house.begin(alice, "/a", offset=2 * PART)
    house.feed(stream, DATA[2 * PART :])
    assert house.finish(stream).sha256 == hashlib.sha256(DATA).hexdigest()
    assert stored(backend, "acme/a") == DATA


def test_a_server_killed_again_and_again_keeps_what_was_told(
    backend: Backend, alice: Principal
) -> None:
    offset = 0
    for number in range(6):
        house = House(backend, owner=f"here:boot:{number}")
        stream = house.begin(alice, "/a", offset=offset or None)
        house.feed(stream, DATA[offset : min(offset + 2 * PART + 5, len(DATA) - 1)])
        house.work()
        fresh = House(backend, owner="here:boot:x")
        fresh.intake.recovery.recover(lambda owner: True)
        now = length(fresh, alice) or 0
        assert now >= offset
        offset = now
    house = House(backend)
    stream = house.begin(alice, "/a", offset=offset)
    house.feed(stream, DATA[offset:])
    assert house.finish(stream).sha256 == hashlib.sha256(DATA).hexdigest()
    assert stored(backend, "acme/a") == DATA


def test_without_a_midstate_the_object_is_read_back(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_library", lambda: None)
    cut(house, alice, 3 * PART + 17)
    stream = house.begin(alice, "/a", offset=3 * PART)
    house.feed(stream, DATA[3 * PART :])
    receipt = house.finish(stream)
    assert receipt.sha256 == hashlib.sha256(DATA).hexdigest()
    assert Upload.objects.get().digest_source == "readback"
    assert Upload.objects.get().sha256 == receipt.sha256


def test_an_upload_whose_parts_storage_lost_gets_554_and_starts_anew(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    house.backend.sweep(lambda upload_id: False, older_than=timezone.now())
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", offset=3 * PART)
    assert length(house, alice) is None
    assert states() == ["aborted"]
    house.upload(alice, "/a", b"anew")
    assert stored(house.backend, "acme/a") == b"anew"


def test_the_resume_token_is_encrypted_in_the_ledger(
    house: House, alice: Principal, settings: SettingsWrapper
) -> None:
    cut(house, alice, 3 * PART + 17)
    row = Upload.objects.get()
    assert row.resume_token.startswith("gAAAA")
    assert str(row.pk) not in row.resume_token
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another" * 10
    settings.SECRET_KEY_FALLBACKS = [old]
    stream = house.begin(alice, "/a", offset=3 * PART)
    house.feed(stream, DATA[3 * PART :])
    house.finish(stream)
    assert stored(house.backend, "acme/a") == DATA


def test_a_resumed_version_keeps_its_reserved_name(house: House, alice: Principal) -> None:
    one = replace(alice, overwrite=OverwritePolicy.VERSION)
    two = make_principal(user="bob", overwrite=OverwritePolicy.VERSION)
    cut(house, one, 3 * PART + 17)
    assert house.upload(two, "/a", b"bob's").path == "/a (1)"
    stream = house.begin(one, "/a", offset=3 * PART)
    house.feed(stream, DATA[3 * PART :])
    assert house.finish(stream).path == "/a"
    assert stored(house.backend, "acme/a") == DATA


def test_a_file_that_grew_past_the_limit_while_resumed_is_refused(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    stream = house.begin(replace(alice, max_file_size=len(DATA) - 1), "/a", offset=3 * PART)
    house.feed(stream, DATA[3 * PART :])
    assert stream.error is not None
    house.cancel(stream, stream.error)
    assert stored(house.backend, "acme/a") is None
    assert states() == ["aborted"]


def test_an_appe_after_the_upload_expired_is_not_taken_for_a_new_file(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    house.intake.discard_suspended(alice, "/a")
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", append=True, offset=3 * PART)


# --- the older session still lives -------------------------------------------------------


def test_going_on_ends_ones_own_older_session_that_nobody_noticed_is_dead(
    backend: Backend, alice: Principal
) -> None:
    first, second = House(backend, owner="here:boot:1"), House(backend, owner="here:boot:2")
    old = first.begin(alice, "/a", session="old")
    first.feed(old, DATA[: 3 * PART + 17])
    first.work()
    offset = 2 * PART  # recorded are three parts, and nobody knows of a byte more
    new = second.begin(alice, "/a", session="new", offset=offset)
    second.feed(new, DATA[offset:])
    second.finish(new)
    finished = old.finish()
    first.work()
    assert isinstance(finished.exception(), LeaseLost)
    assert stored(backend, "acme/a") == DATA
    assert rows() == ["upload.suspended", "upload.resumed", "upload.committed"]


def test_a_wrong_offset_does_not_end_the_older_session(house: House, alice: Principal) -> None:
    old = house.begin(alice, "/a", session="old")
    house.feed(old, DATA[: 3 * PART + 17])
    house.work()
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", session="new", offset=PART)
    house.feed(old, DATA[3 * PART + 17 :])
    house.finish(old)
    assert stored(house.backend, "acme/a") == DATA


def test_an_upload_that_is_being_published_cannot_be_gone_on_with(
    backend: Backend, alice: Principal
) -> None:
    first, second = House(backend), House(backend, owner="here:boot:2")
    stream = first.begin(alice, "/a")
    first.feed(stream, DATA)
    refused: list[SecureDropError] = []

    def intrude(passed: str) -> None:
        if passed == "publishing.after":
            set_hook(None)
            try:
                second.begin(alice, "/a", append=True)
            except SecureDropError as exc:
                refused.append(exc)

    set_hook(intrude)
    try:
        first.finish(stream)
    finally:
        set_hook(None)
    assert [type(exc) for exc in refused] == [UploadBusy]


def test_another_accounts_live_upload_of_the_key_makes_going_on_wait(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    house.begin(make_principal(user="bob"), "/a")
    with pytest.raises(UploadBusy):
        house.begin(alice, "/a", offset=3 * PART)
    assert length(house, alice) == 3 * PART


def test_storage_that_is_away_leaves_it_suspended(backend: Backend, alice: Principal) -> None:
    faulty = FaultyBackend(backend)
    house = House(faulty)
    cut(house, alice, 3 * PART + 17)
    faulty.fail("resume")
    with pytest.raises(StorageUnavailable):
        house.begin(alice, "/a", offset=3 * PART)
    assert rows() == ["upload.suspended", "upload.resumed", "upload.suspended"]
    stream = house.begin(alice, "/a", offset=3 * PART)
    house.feed(stream, DATA[3 * PART :])
    house.finish(stream)
    assert stored(backend, "acme/a") == DATA


def test_going_on_needs_the_permission(house: House, alice: Principal) -> None:
    cut(house, alice, 3 * PART + 17)
    meek = replace(alice, permissions=alice.permissions - {Permission.RESUME})
    with pytest.raises(UploadRejected):
        house.begin(meek, "/a", offset=3 * PART)


def test_a_name_that_was_taken_meanwhile_is_kept_under_reject(
    house: House, alice: Principal
) -> None:
    cut(house, alice, 3 * PART + 17)
    house.upload(make_principal(user="bob"), "/a", b"bob's")
    with pytest.raises(Exists):
        house.begin(replace(alice, overwrite=OverwritePolicy.REJECT), "/a", offset=3 * PART)
    assert stored(house.backend, "acme/a") == b"bob's"


def test_a_token_that_no_key_opens_is_of_no_use(
    house: House, alice: Principal, settings: SettingsWrapper
) -> None:
    cut(house, alice, 3 * PART + 17)
    settings.SECRET_KEY = "another" * 10
    with pytest.raises(BadOffset):
        house.begin(alice, "/a", offset=3 * PART)
    assert states() == ["aborted"]
