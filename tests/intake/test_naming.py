"""Renames and deletions: names that are held, owned and told truly, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.utils import timezone

from securedrop_ftp.access.changes import delete_partner
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import (
    Exists,
    NameBusy,
    NotFound,
    OutcomeUnknown,
    StorageRefused,
    Truncated,
)
from securedrop_ftp.intake import name_changes
from securedrop_ftp.intake.steps import NAMING_STEPS, set_hook
from securedrop_ftp.models import (
    AuditEvent,
    NameChange,
    OverwritePolicy,
    Partner,
    Permission,
    Upload,
)
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.generic.backend import GenericBackend
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import CONF, House, make_principal, stored
from tests.intake.test_recovery import Crash, crash_at


@pytest.fixture(params=["memory", "filesystem", "copying"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """``copying``: a storage that renames by copies, as object stores do."""
    if request.param == "memory":
        return MemoryBackend()
    if request.param == "copying":
        return GenericBackend(InMemoryStorage(), replace(CONF, spool_dir=str(tmp_path)))
    return FilesystemBackend(FileSystemStorage(location=str(tmp_path / "storage")))


def under(principal: Principal, policy: OverwritePolicy, *without: Permission) -> Principal:
    permissions = principal.permissions - frozenset(without)
    return replace(principal, overwrite=policy, permissions=permissions)


def acts(name: str) -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(event=name).order_by("seq")
    return list(rows.values_list("path", "outcome"))


def names() -> list[tuple[str, str, bool]]:
    return list(Upload.objects.order_by("started").values_list("path", "key", "current"))


def long_ago() -> None:
    """What was asked of storage can no longer be carried out."""
    NameChange.objects.update(updated=timezone.now() - timedelta(hours=1))


# --- what a rename delivers ------------------------------------------------------------


def test_reject_keeps_what_has_the_name(house: House, alice: Principal) -> None:
    alice = under(alice, OverwritePolicy.REJECT)
    house.upload(alice, "/a", b"old")
    house.upload(alice, "/b", b"new")
    with pytest.raises(Exists):
        house.rename(alice, "/b", "/a")
    assert stored(house.backend, "acme/a") == b"old"
    assert stored(house.backend, "acme/b") == b"new"
    assert not NameChange.objects.exists()


@pytest.mark.parametrize(
    ("may_overwrite", "owner", "replaced"),
    [(True, "bob", True), (False, "alice", True), (False, "bob", False)],
    ids=["who may overwrite", "one's own", "another's"],
)
def test_replace_needs_the_permission_or_a_target_of_ones_own(
    house: House, alice: Principal, may_overwrite: bool, owner: str, replaced: bool
) -> None:
    house.upload(make_principal(user=owner), "/a", b"old")
    without = () if may_overwrite else (Permission.OVERWRITE,)
    alice = under(alice, OverwritePolicy.REPLACE, *without)
    house.upload(alice, "/b", b"new")
    if replaced:
        assert house.rename(alice, "/b", "/a").path == "/a"
    else:
        with pytest.raises(Exists):
            house.rename(alice, "/b", "/a")
    assert stored(house.backend, "acme/a") == (b"new" if replaced else b"old")
    assert stored(house.backend, "acme/b") == (None if replaced else b"new")


def test_version_numbers_the_name_and_tells_it(house: House, alice: Principal) -> None:
    alice = under(alice, OverwritePolicy.VERSION)
    for day in range(3):
        house.upload(alice, "/stock.tmp", b"day %d" % day)
        renamed = house.rename(alice, "/stock.tmp", "/stock.csv")
        number = f" ({day})" if day else ""
        assert renamed.path == f"/stock{number}.csv"
        assert renamed.version_of == ("/stock.csv" if day else "")
        assert stored(house.backend, f"acme/stock{number}.csv") == b"day %d" % day


def test_under_version_the_name_means_what_the_account_sent_last(
    house: House, alice: Principal
) -> None:
    alice = under(alice, OverwritePolicy.VERSION)
    house.upload(make_principal(user="bob"), "/job.tmp", b"bob's, of last week")
    assert house.upload(alice, "/job.tmp", b"alice's").path == "/job (1).tmp"
    house.rename(alice, "/job.tmp", "/job.xml")
    assert stored(house.backend, "acme/job.xml") == b"alice's"
    assert stored(house.backend, "acme/job.tmp") == b"bob's, of last week"


# --- what the ledger knows of names ----------------------------------------------------


def test_ledger_and_trail_follow_a_rename(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"x")
    house.rename(alice, "/a", "/in/b")
    assert names() == [("/in/b", "acme/in/b", True)]
    row = AuditEvent.objects.get(event="file.renamed")
    assert row.path == "/a -> /in/b"
    assert row.details == {
        "key": "acme/a",
        "new_key": "acme/in/b",
        "upload_id": str(Upload.objects.get().pk),
    }


def test_a_directory_takes_what_is_in_it_along_and_nothing_else(
    house: House, alice: Principal
) -> None:
    for path in ("/in/a", "/in/deep/b", "/IN/c", "/in2/d"):
        house.upload(alice, path, b"x")
    house.rename(alice, "/in", "/out")
    assert sorted(names()) == [
        ("/IN/c", "acme/IN/c", True),
        ("/in2/d", "acme/in2/d", True),
        ("/out/a", "acme/out/a", True),
        ("/out/deep/b", "acme/out/deep/b", True),
    ]


def test_what_was_deleted_or_replaced_is_nobodys_own(house: House, alice: Principal) -> None:
    bob = make_principal(user="bob")
    house.upload(alice, "/a", b"x")
    house.upload(bob, "/a", b"y")
    house.upload(alice, "/b", b"x")
    house.delete(alice, "/b")
    assert names() == [
        ("/a", "acme/a", False),
        ("/a", "acme/a", True),
        ("/b", "acme/b", False),
    ]
    assert house.intake.meaning.finished(alice, "/a", whose=True).own is None
    assert house.intake.meaning.finished(bob, "/a", whose=True).may_rename_own


def test_what_a_rename_replaced_is_nobodys_own(house: House, alice: Principal) -> None:
    house.upload(make_principal(user="bob"), "/a", b"old")
    house.upload(alice, "/b", b"new")
    house.rename(alice, "/b", "/a")
    assert names() == [("/a", "acme/a", False), ("/a", "acme/a", True)]


def test_ones_own_may_be_renamed_for_a_day(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"x")
    for hours, may in ((23, True), (25, False)):
        Upload.objects.update(finished=timezone.now() - timedelta(hours=hours))
        assert house.intake.meaning.finished(alice, "/a", whose=True).may_rename_own is may


# --- two at one name -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    set_hook(None)


def in_the_midst(step: str, act: Callable[[], Any]) -> list[Any]:
    """Run ``act`` once, when that step is passed; what it returned or raised."""
    seen: list[Any] = []

    def hook(passed: str) -> None:
        if passed == step and not seen:
            seen.append(None)
            try:
                seen[0] = act()
            except Exception as exc:
                seen[0] = exc

    set_hook(hook)
    return seen


@pytest.mark.parametrize("path", ["/a", "/b"])
@pytest.mark.parametrize("step", ["rename.claimed", "rename.moving", "rename.done"])
def test_nothing_is_published_at_the_names_of_a_rename(
    house: House, alice: Principal, step: str, path: str
) -> None:
    house.upload(alice, "/a", b"old")
    seen = in_the_midst(step, lambda: house.upload(alice, path, b"late"))
    house.rename(alice, "/a", "/b")
    assert isinstance(seen[0], NameBusy)
    assert stored(house.backend, "acme/b") == b"old"
    assert stored(house.backend, "acme/a") is None


def test_an_upload_that_is_being_published_keeps_its_name(house: House, alice: Principal) -> None:
    house.upload(alice, "/b", b"old")
    seen = in_the_midst("publishing.after", lambda: house.rename(alice, "/b", "/a"))
    house.upload(alice, "/a", b"mine")
    assert isinstance(seen[0], NameBusy)
    assert stored(house.backend, "acme/a") == b"mine"
    assert stored(house.backend, "acme/b") == b"old"
    assert not NameChange.objects.exists()


def test_an_upload_below_a_directory_hinders_its_rename(house: House, alice: Principal) -> None:
    house.upload(alice, "/in/a", b"x")
    stream = house.begin(alice, "/in/b")
    with pytest.raises(NameBusy):
        house.rename(alice, "/in", "/out")
    house.cancel(stream, Truncated())
    house.rename(alice, "/in", "/out")
    assert stored(house.backend, "acme/out/a") == b"x"


def test_an_upload_that_is_received_hinders_no_rename_of_the_file_before(
    house: House, alice: Principal
) -> None:
    house.upload(alice, "/a", b"old")
    stream = house.begin(alice, "/a")
    house.feed(stream, b"new")
    house.rename(alice, "/a", "/b")
    house.finish(stream)
    assert stored(house.backend, "acme/a") == b"new"
    assert stored(house.backend, "acme/b") == b"old"


@pytest.mark.parametrize("act", ["rename", "delete", "above"])
def test_two_changes_never_meet_at_a_name(house: House, alice: Principal, act: str) -> None:
    house.upload(alice, "/in/a", b"x")
    others: dict[str, Callable[[], Any]] = {
        "rename": lambda: house.rename(alice, "/in/a", "/in/c"),
        "delete": lambda: house.delete(alice, "/in/a"),
        "above": lambda: house.rename(alice, "/in", "/out"),
    }
    seen = in_the_midst("rename.moving", others[act])
    house.rename(alice, "/in/a", "/in/b")
    assert isinstance(seen[0], NameBusy)
    assert stored(house.backend, "acme/in/b") == b"x"


def test_under_version_an_upload_on_its_way_keeps_its_name(house: House, alice: Principal) -> None:
    alice = under(alice, OverwritePolicy.VERSION)
    house.upload(alice, "/b", b"renamed")
    stream = house.begin(alice, "/a", session="s2")
    house.feed(stream, b"on its way")
    assert house.rename(alice, "/b", "/a").path == "/a (1)"
    assert house.finish(stream).path == "/a"
    assert stored(house.backend, "acme/a") == b"on its way"
    assert stored(house.backend, "acme/a (1)") == b"renamed"


def test_under_version_an_upload_that_comes_amid_a_rename_keeps_its_name(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is admitted behind the rename's look and before its claim."""
    alice = under(alice, OverwritePolicy.VERSION)
    house.upload(alice, "/b", b"renamed")
    claim = name_changes.claim
    streams: list[Any] = []

    def late(change: NameChange) -> None:
        if not streams:
            streams.append(house.begin(alice, "/a", session="s2"))
            house.feed(streams[0], b"on its way")
        claim(change)

    monkeypatch.setattr(name_changes, "claim", late)
    assert house.rename(alice, "/b", "/a").path == "/a (1)"
    assert house.finish(streams[0]).path == "/a"


def test_a_source_that_is_busy_costs_no_number(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another rename of the file is under way, no other number of the target helps."""
    alice = under(alice, OverwritePolicy.VERSION)
    house.upload(alice, "/a", b"x")
    tried: list[str] = []
    claim = name_changes.claim

    def counted(change: NameChange) -> None:
        tried.append(change.target)
        claim(change)

    monkeypatch.setattr(name_changes, "claim", counted)
    seen = in_the_midst("rename.moving", lambda: house.rename(alice, "/a", "/c"))
    house.rename(alice, "/a", "/b")
    assert isinstance(seen[0], NameBusy)
    assert tried == ["acme/b", "acme/c"]


# --- what fails on the way -------------------------------------------------------------


@pytest.mark.parametrize("step", [step for step in NAMING_STEPS if step.startswith("rename")])
def test_a_rename_that_dies_at_a_step_is_done_or_undone(
    house: House, alice: Principal, step: str
) -> None:
    house.upload(alice, "/a", b"mine")
    crash_at(step)
    try:
        house.rename(alice, "/a", "/b")
    except Crash:
        pass
    else:
        assert step in ("rename.copied", "rename.recorded")  # it renames in one step
        return
    set_hook(None)
    long_ago()
    House(house.backend).intake.recovery.recover(lambda owner: True)
    assert not NameChange.objects.exists()
    here = {key for key in ("acme/a", "acme/b") if stored(house.backend, key) == b"mine"}
    ((path, key, current),) = names()
    assert (here, path, current) == ({key}, f"/{key[-1]}", True)
    assert acts("file.renamed") == [("/a -> /b", "success" if key == "acme/b" else "failure")]


def test_recovery_names_the_number_that_a_rename_got(house: House, alice: Principal) -> None:
    alice = under(alice, OverwritePolicy.VERSION)
    house.upload(alice, "/in/b.txt", b"old")
    house.upload(alice, "/a", b"mine")
    crash_at("rename.done")
    with pytest.raises(Crash):
        house.rename(alice, "/a", "/in/b.txt")
    set_hook(None)
    House(house.backend).intake.recovery.recover(lambda owner: True)
    assert stored(house.backend, "acme/in/b (1).txt") == b"mine"
    assert acts("file.renamed") == [("/a -> /in/b (1).txt", "success")]
    assert ("/in/b.txt", "acme/in/b (1).txt", True) in names()


@pytest.mark.parametrize("step", [step for step in NAMING_STEPS if step.startswith("delete")])
def test_a_deletion_that_dies_at_a_step_is_done_or_undone(
    house: House, alice: Principal, step: str
) -> None:
    house.upload(alice, "/a", b"mine")
    crash_at(step)
    with pytest.raises(Crash):
        house.delete(alice, "/a")
    set_hook(None)
    long_ago()
    House(house.backend).intake.recovery.recover(lambda owner: True)
    assert not NameChange.objects.exists()
    gone = stored(house.backend, "acme/a") is None
    assert names() == [("/a", "acme/a", not gone)]
    assert acts("file.deleted") == [("/a", "success" if gone else "failure")]


def test_a_refusal_of_storage_leaves_both_names_free(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"mine")
    faulty: Any = FaultyBackend(house.backend)
    house.backend = faulty
    faulty.fail("rename", error=StorageRefused())
    with pytest.raises(StorageRefused):
        house.rename(alice, "/a", "/b")
    assert not NameChange.objects.exists()
    house.rename(alice, "/a", "/b")


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_no_answer_holds_the_names_until_it_is_settled(
    house: House, alice: Principal, done: bool
) -> None:
    house.upload(alice, "/a", b"mine")
    inner, faulty = house.backend, FaultyBackend(house.backend)
    still: Any = faulty
    house.backend = still
    faulty.fail("rename", after=done)
    with pytest.raises(OutcomeUnknown):
        house.rename(alice, "/a", "/b")
    assert acts("file.renamed") == []
    with pytest.raises((NameBusy, NotFound)):
        house.rename(alice, "/a", "/c")
    long_ago()
    house.intake.recovery.settle_expired()
    assert not NameChange.objects.exists()
    assert stored(inner, "acme/b" if done else "acme/a") == b"mine"
    row = AuditEvent.objects.get(event="file.renamed")
    assert (row.outcome, row.reply) == ("success" if done else "failure", "451 pending")


def test_what_may_still_be_carried_out_is_not_undone(house: House, alice: Principal) -> None:
    """A late copy or deletion would hit what others stored under the name meanwhile."""
    house.upload(alice, "/a", b"mine")
    faulty: Any = FaultyBackend(house.backend)
    house.backend = faulty
    faulty.fail("rename")
    with pytest.raises(OutcomeUnknown):
        house.rename(alice, "/a", "/b")
    house.intake.recovery.settle_expired()
    assert NameChange.objects.exists() is faulty.capabilities.lands_late


def test_a_partner_is_not_deleted_amid_a_rename(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"x")
    partner = Partner.objects.get(name="acme")
    seen = in_the_midst("rename.moving", lambda: delete_partner(partner, "olga"))
    house.rename(alice, "/a", "/b")
    assert isinstance(seen[0], ValidationError)
    assert "uploads_recover" in seen[0].messages[0]


# --- what an upload replaces ------------------------------------------------------------


def test_an_account_that_may_not_overwrite_replaces_its_own(house: House, alice: Principal) -> None:
    alice = under(alice, OverwritePolicy.REPLACE, Permission.OVERWRITE)
    for day in (b"day 1", b"day 2", b"day 3"):
        house.upload(alice, "/stock.csv", day)
        assert stored(house.backend, "acme/stock.csv") == day
    assert names()[-1] == ("/stock.csv", "acme/stock.csv", True)


@pytest.mark.parametrize("act", ["delete", "rename", "upload"])
def test_what_lost_its_name_lets_no_later_upload_in(
    house: House, alice: Principal, act: str
) -> None:
    """An unconfirmed upload answers its retry. Without its file it answers nothing, and who sends
    another is told at once that the name is taken, not when all of it has come."""
    bob = replace(make_principal(user="bob"), overwrite=OverwritePolicy.REPLACE)
    house.upload(alice, "/a", b"not told")
    Upload.objects.update(unconfirmed=True)
    house.upload(bob, "/b", b"bob's")
    if act == "rename":
        house.rename(bob, "/b", "/a")
    elif act == "upload":
        house.upload(bob, "/a", b"bob's")
    else:
        house.delete(alice, "/a")
        house.upload(bob, "/a", b"bob's")
    with pytest.raises(Exists):
        house.begin(under(alice, OverwritePolicy.REJECT), "/a", session="s2")


def test_another_accounts_file_is_not_replaced(house: House, alice: Principal) -> None:
    house.upload(make_principal(user="bob"), "/a", b"bob's")
    alice = under(alice, OverwritePolicy.REPLACE, Permission.OVERWRITE)
    with pytest.raises(Exists):
        house.upload(alice, "/a", b"alice's")
    assert stored(house.backend, "acme/a") == b"bob's"


def test_who_has_the_name_when_it_is_published_decides(house: House, alice: Principal) -> None:
    """Another account renames its file to the name while ours is on its way."""
    bob = make_principal(user="bob")
    alice = under(alice, OverwritePolicy.REPLACE, Permission.OVERWRITE)
    house.upload(alice, "/a", b"day 1")
    house.upload(bob, "/b", b"bob's")
    stream = house.begin(alice, "/a")
    house.feed(stream, b"day 2")
    house.rename(bob, "/b", "/a")
    with pytest.raises(Exists):
        house.finish(stream)
    assert stored(house.backend, "acme/a") == b"bob's"


@pytest.mark.parametrize("theirs", [False, True], ids=["own", "another's"])
def test_who_goes_on_replaces_its_own_alone(house: House, alice: Principal, theirs: bool) -> None:
    if not house.backend.capabilities.resumable:
        pytest.skip("keeps no parts")
    alice = under(alice, OverwritePolicy.REPLACE, Permission.OVERWRITE)
    house.upload(make_principal(user="bob") if theirs else alice, "/b", b"old")
    bob_or_alice = make_principal(user="bob") if theirs else alice
    stream = house.begin(alice, "/a")
    house.feed(stream, b"x" * 100_000)
    house.work()
    house.cancel(stream, Truncated())
    house.rename(bob_or_alice, "/b", "/a")
    going_on = partial(house.upload, alice, "/a", b"y" * 1000, offset=CONF.part_size, append=True)
    if theirs:
        with pytest.raises(Exists):
            going_on()
        assert stored(house.backend, "acme/a") == b"old"
    else:
        assert going_on().size == CONF.part_size + 1000


@pytest.mark.parametrize("step", ["publishing.after", "commit.after"])
def test_recovery_replaces_ones_own(house: House, alice: Principal, step: str) -> None:
    alice = under(alice, OverwritePolicy.REPLACE, Permission.OVERWRITE)
    house.upload(alice, "/a", b"day 1")
    stream = house.begin(alice, "/a")
    house.feed(stream, b"day 2" * 30_000)
    crash_at(step)
    with suppress(Crash):
        house.finish(stream)
    set_hook(None)
    assert Upload.objects.get(state="publishing").replaces
    Upload.objects.filter(state="publishing").update(lease_until=timezone.now())
    House(house.backend, owner="here:boot:2").intake.recovery.settle_expired(limit=20)
    assert stored(house.backend, "acme/a") == b"day 2" * 30_000
