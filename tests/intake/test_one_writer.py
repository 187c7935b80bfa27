"""One writer per key, and what policies make of a name that is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import islice
from uuid import UUID

import pytest

from securedrop_ftp import clock
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import (
    Exists,
    IsADirectory,
    LeaseLost,
    SecureDropError,
    TooLarge,
    UploadBusy,
    UploadRejected,
)
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.ftps.answers import stored as told
from securedrop_ftp.intake import opening
from securedrop_ftp.intake.names import numbered
from securedrop_ftp.models import AuditEvent, OverwritePolicy, Permission, Upload, UploadState
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, make_principal, rows, states, stored

PART = 64 * KIB


@pytest.fixture
def bob(db: None) -> Principal:
    return make_principal(user="bob")


def test_the_same_accounts_older_session_is_fenced(house: House, alice: Principal) -> None:
    old = house.begin(alice, "/a", session="old")
    house.feed(old, b"stale")
    new = house.begin(alice, "/a", session="new")
    house.feed(new, b"fresh")
    house.finish(new)
    assert isinstance(old.error, LeaseLost)
    house.cancel(old, old.error)
    assert stored(house.backend, "acme/a") == b"fresh"
    assert states() == ["aborted", "committed"]
    assert rows() == ["upload.aborted", "upload.committed"]
    assert house.intake.budget.used == 0


@pytest.mark.parametrize("size", [5, 3 * PART + 5])
def test_a_fenced_session_of_another_worker_cannot_publish(
    backend: Backend, alice: Principal, size: int
) -> None:
    first, second = House(backend, owner="here:boot:1"), House(backend, owner="here:boot:2")
    old = first.begin(alice, "/a", session="old")
    first.feed(old, b"s" * size)
    finished = old.finish()
    new = second.begin(alice, "/a", session="new")
    second.feed(new, b"f" * size)
    second.finish(new)
    first.work()
    assert isinstance(finished.exception(), LeaseLost)
    assert stored(backend, "acme/a") == b"f" * size
    assert rows().count("upload.committed") == 1
    assert len(rows()) == 2
    assert first.intake.budget.used == 0


def test_a_heartbeat_tells_a_fenced_session_of_another_worker(
    backend: Backend, alice: Principal
) -> None:
    first, second = House(backend, owner="here:boot:1"), House(backend, owner="here:boot:2")
    old = first.begin(alice, "/a")
    second.begin(alice, "/a")
    first.intake.heartbeat()
    assert isinstance(old.error, LeaseLost)


def test_another_accounts_live_upload_is_busy(
    house: House, alice: Principal, bob: Principal
) -> None:
    stream = house.begin(alice, "/a")
    with pytest.raises(UploadBusy) as caught:
        house.begin(bob, "/a")
    assert answer(caught.value).code == 450
    house.feed(stream, b"alice's")
    house.finish(stream)
    assert stored(house.backend, "acme/a") == b"alice's"
    assert rows() == ["upload.rejected", "upload.committed"]


def test_a_lease_that_has_run_out_is_taken_over(
    backend: Backend, alice: Principal, bob: Principal
) -> None:
    dead = House(backend, conf=replace(House(backend).conf, lease_seconds=-1.0))
    dead.begin(alice, "/a")
    house = House(backend, owner="here:boot:2")
    house.upload(bob, "/a", b"bob's")
    assert states() == ["aborted", "committed"]
    assert rows() == ["upload.aborted", "upload.committed"]


def test_row_113_an_upload_that_goes_on_to_publish_is_not_taken_over(
    backend: Backend, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL shows what was committed between two statements of one transaction: the row was
    being received when the new upload looked, and is being published when it reads it whole."""
    first, second = House(backend), House(backend, owner="here:boot:2")
    old = first.begin(alice, "/a", session="old")
    first.feed(old, b"the first")
    read = opening._whole

    def read_later(pk: UUID) -> Upload:
        later = clock.now() + timedelta(seconds=60)
        held = Upload.objects.filter(pk=pk, state=UploadState.RECEIVING)
        held.update(state=UploadState.PUBLISHING, lease_until=later)
        return read(pk)

    monkeypatch.setattr(opening, "_whole", read_later)
    with pytest.raises(UploadBusy):
        second.begin(alice, "/a", session="new")
    assert states() == ["publishing"]  # its writer's to end
    Upload.objects.update(state=UploadState.RECEIVING)
    first.finish(old)
    assert (states(), stored(backend, "acme/a")) == (["committed"], b"the first")


def test_row_113_an_upload_whose_writer_is_back_is_not_settled(
    backend: Backend, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = House(backend), House(backend, owner="here:boot:2")
    old = first.begin(alice, "/a", session="old")
    first.feed(old, b"the first")
    Upload.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    read = opening._whole

    def read_later(pk: UUID) -> Upload:
        later = clock.now() + timedelta(seconds=60)
        Upload.objects.update(state=UploadState.PUBLISHING, lease_until=later)
        return read(pk)

    monkeypatch.setattr(opening, "_whole", read_later)
    with pytest.raises(UploadBusy):
        second.begin(alice, "/a", session="new")
    assert states() == ["publishing"]


def test_an_upload_that_is_being_published_cannot_be_fenced(
    backend: Backend, alice: Principal
) -> None:
    from securedrop_ftp.intake.steps import set_hook

    first, second = House(backend), House(backend, owner="here:boot:2")
    stream = first.begin(alice, "/a")
    first.feed(stream, b"x")
    refused: list[SecureDropError] = []

    def intrude(step: str) -> None:
        if step == "publishing.after":
            set_hook(None)
            try:
                second.begin(alice, "/a")
            except SecureDropError as exc:
                refused.append(exc)

    set_hook(intrude)
    try:
        first.finish(stream)
    finally:
        set_hook(None)
    assert [type(exc) for exc in refused] == [UploadBusy]


# --- policies ------------------------------------------------------------------------


def test_reject_refuses_before_the_first_byte(house: House, alice: Principal) -> None:
    strict = replace(alice, overwrite=OverwritePolicy.REJECT)
    house.upload(strict, "/a", b"one")
    with pytest.raises(Exists):
        house.begin(strict, "/a")
    assert rows() == ["upload.committed", "upload.rejected"]
    event = AuditEvent.objects.order_by("seq").last()
    assert event is not None
    assert event.reply.startswith("550 ")


def test_an_account_that_may_not_overwrite_keeps_anothers_file_under_replace(
    house: House, alice: Principal
) -> None:
    meek = replace(alice, permissions=alice.permissions - {Permission.OVERWRITE})
    house.upload(make_principal(user="bob"), "/a", b"one")
    with pytest.raises(Exists):
        house.begin(meek, "/a")
    assert stored(house.backend, "acme/a") == b"one"


def test_a_file_that_appears_meanwhile_is_kept_under_reject(house: House, alice: Principal) -> None:
    strict = replace(alice, overwrite=OverwritePolicy.REJECT)
    stream = house.begin(strict, "/a")
    house.feed(stream, b"late")
    other = House(house.backend)
    other.backend.mkdir("acme") if house.backend.name == "filesystem" else None
    from securedrop_ftp.storage.protocol import ObjectSpec

    spec = ObjectSpec("acme/a", "somebody-elses")
    other.backend.put_object(spec, memoryview(b"early"), sha256="", replace=True)
    with pytest.raises(Exists):
        house.finish(stream)
    assert stored(house.backend, "acme/a") == b"early"
    assert rows() == ["upload.aborted"]


def test_version_stores_under_a_numbered_name_and_says_so(house: House, alice: Principal) -> None:
    keeps = replace(alice, overwrite=OverwritePolicy.VERSION)
    texts = [told(house.upload(keeps, "/in/a.txt", b"%d" % n)).text for n in range(5)]
    assert "stored as" not in texts[0]
    assert "stored as a (1).txt" in texts[1]
    assert [stored(house.backend, f"acme/in/a ({n}).txt") for n in range(1, 5)] == [
        b"1",
        b"2",
        b"3",
        b"4",
    ]
    assert stored(house.backend, "acme/in/a.txt") == b"0"
    event = AuditEvent.objects.order_by("seq").last()
    assert event is not None
    assert event.path == "/in/a (4).txt"


@pytest.mark.parametrize("second", ["alice", "bob"])
def test_two_uploads_at_once_get_two_names_under_version(
    house: House, alice: Principal, bob: Principal, second: str
) -> None:
    one = replace(alice, overwrite=OverwritePolicy.VERSION)
    two = replace(bob if second == "bob" else alice, overwrite=OverwritePolicy.VERSION)
    first, other = house.begin(one, "/a.txt"), house.begin(two, "/a.txt", session="s2")
    house.feed(first, b"1")
    house.feed(other, b"2")
    assert {house.finish(first).path, house.finish(other).path} == {"/a.txt", "/a (1).txt"}
    assert rows() == ["upload.committed"] * 2


@pytest.mark.parametrize("numbers", [1, 5])
def test_a_number_that_was_taken_long_ago_is_passed_over(
    house: House, alice: Principal, numbers: int
) -> None:
    """The name is free in storage, another upload is on its way to it, and of yesterday there are
    numbered ones."""
    alice = replace(alice, overwrite=OverwritePolicy.VERSION)
    for _ in range(numbers + 1):
        house.upload(alice, "/a.txt", b"yesterday")
    house.backend.delete("acme/a.txt")
    Upload.objects.update(finished=clock.now() - timedelta(days=1))
    first = house.begin(alice, "/a.txt")
    house.feed(first, b"1")
    assert house.upload(alice, "/a.txt", b"2", session="s2").path == f"/a ({numbers + 1}).txt"
    assert house.finish(first).path == "/a.txt"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme/a.txt", "acme/a (1).txt"),
        ("a", "a (1)"),
        (".profile", ".profile (1)"),
        ("x/archive.tar.gz", "x/archive.tar (1).gz"),
        ("d.d/ü" + "é" * 126 + ".x", "d.d/ü" + "é" * 123 + " (1).x"),
    ],
)
def test_numbered_names_keep_their_suffix_and_their_length(name: str, expected: str) -> None:
    assert numbered(name, 1) == expected
    assert len(numbered(name, 12345).rpartition("/")[2].encode()) <= 255


def test_a_free_number_is_found_in_few_questions() -> None:
    from securedrop_ftp.intake.names import first_free_number, free_numbers

    asked: list[int] = []

    def taken(number: int) -> bool:
        asked.append(number)
        return number < 3000

    assert first_free_number(taken) == 3000
    assert len(asked) < 30
    assert list(islice(free_numbers(lambda n: n in {0, 2, 3}), 3)) == [1, 4, 5]


# --- refusals ------------------------------------------------------------------------


def test_a_directory_is_not_overwritten(house: House, alice: Principal) -> None:
    house.upload(alice, "/in/a", b"x")
    with pytest.raises(IsADirectory):
        house.begin(alice, "/in")
    assert rows()[-1] == "upload.rejected"


def test_who_may_not_upload_is_refused(house: House, alice: Principal) -> None:
    with pytest.raises(UploadRejected):
        house.begin(replace(alice, permissions=frozenset()), "/a")
    assert rows() == ["upload.rejected"]


def test_an_announced_size_over_the_limit_is_refused_early(house: House, alice: Principal) -> None:
    house.begin(replace(alice, max_file_size=10), "/a", announced=10)
    with pytest.raises(TooLarge) as caught:
        house.begin(replace(alice, max_file_size=10), "/b", announced=11)
    assert answer(caught.value).code == 552
    assert rows()[-1] == "upload.rejected"


def test_more_than_the_backends_parts_take_is_refused_early(house: House, alice: Principal) -> None:
    with pytest.raises(TooLarge):
        house.begin(alice, "/a", announced=10_001 * 256 * KIB)


def test_a_row_that_has_ended_is_not_ended_again(house: House, alice: Principal) -> None:
    from securedrop_ftp.intake import takeover
    from securedrop_ftp.models import Upload

    house.upload(alice, "/a", b"x")
    row = Upload.objects.select_related("partner").get()
    assert takeover.retire(row, resumable=True, reason="late", reply="") is None
    assert house.intake.recovery.settle(row) == "committed"
    assert rows() == ["upload.committed"]
