"""A crash at every numbered step, then a restart: nothing half-done, lost or twice."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import (
    OutcomeUnknown,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    Truncated,
)
from securedrop_ftp.intake.steps import STEPS, set_hook
from securedrop_ftp.models import Permission, Upload
from securedrop_ftp.storage.protocol import Backend, ObjectSpec
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, rows, states, stored

PART = 64 * KIB
SMALL = b"small"
BIG = os.urandom(3 * PART + 5)


class Crash(BaseException):
    """Nothing of the dying process runs any more."""


def crash_at(step: str, nth: int = 1) -> None:
    left = nth

    def hook(passed: str) -> None:
        nonlocal left
        if passed == step:
            left -= 1
        if left == 0:
            raise Crash

    set_hook(hook)


def send(house: House, alice: Principal, data: bytes, *, cut: bool) -> bool:
    """One STOR; whether 226 was sent."""
    stream = house.begin(alice, "/a")
    house.feed(stream, data)
    if cut:
        house.cancel(stream, Truncated())
        return False
    house.finish(stream)
    return True


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("data", [SMALL, BIG], ids=["small", "big"])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_recovered(
    backend: Backend, alice: Principal, step: str, nth: int, data: bytes, cut: bool
) -> None:
    House(backend).upload(alice, "/a", b"old")
    dead = House(backend, owner="here:dead:1")
    crash_at(step, nth)
    acknowledged = crashed = False
    try:
        acknowledged = send(dead, alice, data, cut=cut)
    except Crash:
        crashed = True
    finally:
        set_hook(None)

    house = House(backend, owner="here:boot:2")
    house.intake.recovery.recover(lambda owner: owner == "here:dead:1")
    again = house.intake.recovery.recover(lambda owner: owner == "here:dead:1")
    assert again == {}
    house.intake.recovery.prune()

    now = stored(backend, "acme/a")
    assert now in (b"old", data)
    assert not (acknowledged and now != data)
    assert not (cut and now == data)
    begun = states()[1:]
    assert begun == (["committed"] if now == data else begun)
    assert not set(begun) - {"committed", "suspended", "aborted"}
    assert len(rows()) == 1 + len(begun), rows()
    if step == "admitted.before" and crashed:
        assert begun == []
    # The key is free again, and what was suspended goes when the new one is committed.
    house.upload(alice, "/a", b"new")
    assert stored(backend, "acme/a") == b"new"
    assert "suspended" not in states()
    assert backend.sweep(lambda upload_id: False, older_than=timezone.now()) == 0


def test_recovery_leaves_the_uploads_of_the_living_alone(house: House, alice: Principal) -> None:
    stream = house.begin(alice, "/a")
    other = House(house.backend, owner="here:boot:2")
    assert other.intake.recovery.recover(lambda owner: False) == {}
    house.feed(stream, b"x")
    house.finish(stream)
    assert states() == ["committed"]


def test_a_silent_storage_is_asked_once_a_round(backend: Backend, alice: Principal) -> None:
    """Each of its rows could wait for a minute, and those of other storages behind them."""
    faulty = FaultyBackend(backend)
    house = House(faulty)
    for name in ("/a", "/b", "/c"):
        stream = house.begin(alice, name)
        house.feed(stream, SMALL)
        crash_at("publishing.after")
        with pytest.raises(Crash):
            house.finish(stream)
        set_hook(None)
    assert states() == ["publishing"] * 3
    faulty.calls.clear()
    faulty.fail("find_published")
    house.intake.recovery.recover(lambda owner: True)
    assert faulty.calls.count("find_published") == 1
    assert states() == ["publishing"] * 3


def test_recovery_while_storage_is_away_leaves_the_row_for_later(
    backend: Backend, alice: Principal
) -> None:
    faulty = FaultyBackend(backend)
    dead = House(faulty)
    crash_at("commit.after")
    with pytest.raises(Crash):
        send(dead, alice, BIG, cut=False)
    set_hook(None)
    house = House(faulty, owner="here:boot:2")
    faulty.fail("find_published", error=StorageUnavailable())
    assert house.intake.recovery.recover(lambda owner: True) == {"pending": 1}
    assert house.intake.recovery.recover(lambda owner: True) == {"committed": 1}
    assert rows() == ["upload.committed"]


def test_a_crashed_publication_is_finished_from_its_parts(
    backend: Backend, alice: Principal
) -> None:
    dead = House(backend)
    crash_at("publishing.after")
    with pytest.raises(Crash):
        send(dead, alice, BIG, cut=False)
    set_hook(None)
    house = House(backend, owner="here:boot:2")
    assert house.intake.recovery.recover(lambda owner: True) == {"committed": 1}
    assert stored(backend, "acme/a") == BIG
    assert Upload.objects.get().unconfirmed
    assert house.upload(alice, "/a", BIG).already_stored


def test_a_node_does_not_judge_what_only_another_node_can_see(
    backend: Backend, alice: Principal
) -> None:
    from securedrop_ftp.storage.memory import MemoryBackend

    dead = House(backend, owner="far:boot:1")
    dead.begin(alice, "/b")
    crash_at("commit.after")
    with pytest.raises(Crash):
        send(dead, alice, BIG, cut=False)
    set_hook(None)
    house = House(MemoryBackend(), owner="here:boot:1")
    expected = {"aborted": 1, "pending": 1}
    assert house.intake.recovery.recover(lambda owner: True) == expected
    far = House(backend, owner="far:boot:2")
    assert far.intake.recovery.recover(lambda owner: True) == {"committed": 1}


def test_the_commands_say_what_they_did(
    alice: Principal, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("uploads_recover")
    call_command("uploads_prune")
    assert capsys.readouterr().out == "Settled: nothing was left.\nExpired: 0. Swept: 0.\n"


@pytest.mark.slow
def test_the_recover_command_settles_dead_writers_and_spares_the_living(
    backend: Backend, alice: Principal, capsys: pytest.CaptureFixture[str]
) -> None:
    from securedrop_ftp.conf import get_conf
    from securedrop_ftp.engine.identity import new_boot
    from securedrop_ftp.intake import owners

    living, dead = (new_boot(get_conf()) for _ in "ab")  # only one of them beats
    owners.beat(living)
    House(backend, owner=living.writer("0.1")).begin(alice, "/living")
    House(backend, owner=dead.writer("0.1")).begin(alice, "/dead")
    call_command("uploads_recover")
    assert capsys.readouterr().out == "Settled: 1 aborted.\n"
    assert states() == ["receiving", "aborted"]


def test_the_prune_command_fails_where_a_storage_does_not_answer(
    alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(alias: str) -> Backend:
        raise StorageUnavailable

    monkeypatch.setattr("securedrop_ftp.intake.recovery.located_backend", away)
    with pytest.raises(CommandError, match="default"):
        call_command("uploads_prune")


@pytest.mark.parametrize("error", [OutcomeUnknown, StorageUnavailable])
def test_recovery_that_cannot_publish_now_tries_again_later(
    backend: Backend, alice: Principal, error: type[StorageError]
) -> None:
    faulty = FaultyBackend(backend)
    crash_at("publishing.after")
    with pytest.raises(Crash):
        send(House(faulty), alice, BIG, cut=False)
    set_hook(None)
    house = House(faulty, owner="here:boot:2")
    faulty.fail("commit", error=error())
    assert house.intake.recovery.recover(lambda owner: True) == {"pending": 1}
    house.intake.heartbeat()
    assert states() == ["committed"]
    assert stored(backend, "acme/a") == BIG


def test_recovery_undoes_what_storage_refuses(backend: Backend, alice: Principal) -> None:
    faulty = FaultyBackend(backend)
    crash_at("publishing.after")
    with pytest.raises(Crash):
        send(House(faulty), alice, BIG, cut=False)
    set_hook(None)
    house = House(faulty, owner="here:boot:2")
    faulty.fail("commit", error=StorageRefused())
    house.intake.recovery.recover(lambda owner: True)
    assert states() == ["suspended"]
    assert rows() == ["upload.suspended"]


@pytest.mark.parametrize("may_overwrite", [True, False])
def test_recovery_replaces_a_file_only_for_who_might(
    house: House, alice: Principal, may_overwrite: bool
) -> None:
    """The policy is the partner's; what the attempt was allowed stands in its row."""
    if not may_overwrite:
        alice = replace(alice, permissions=alice.permissions - {Permission.OVERWRITE})
    stream = house.begin(alice, "/a")
    house.feed(stream, BIG)
    crash_at("publishing.after")
    with pytest.raises(Crash):
        house.finish(stream)
    set_hook(None)
    spec = ObjectSpec("acme/a", "another")
    house.backend.put_object(spec, memoryview(b"another's"), sha256="", replace=True)
    House(house.backend).intake.recovery.recover(lambda owner: True)
    there = stored(house.backend, "acme/a")
    assert there == (BIG if may_overwrite else b"another's")
