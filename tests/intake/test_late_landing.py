"""A put whose writer died or gave up may land late: never over what was acknowledged since."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import OutcomeUnknown, StorageRefused, UploadBusy
from securedrop_ftp.ftps.answers import answer
from securedrop_ftp.models import OverwritePolicy, Upload
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import ObjectSpec, Partial, Published
from tests.intake.faults import PUBLISHING, FaultyBackend
from tests.intake.house import House, make_principal, rows, states, stored

A, B = b"first", b"second"
BIG = os.urandom(3 * 64 * KIB + 5)


class Killed(BaseException):
    """SIGKILL of the worker."""


class Late(FaultyBackend):
    """Storage across a network: publishing calls are sent, and carried out when the test says."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.capabilities = replace(MemoryBackend.capabilities, lands_late=True)
        self.instead: BaseException | None = None  # of an answer
        self._sent: list[Callable[[], Any]] = []

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        wrapped = super()._wrapped(name, method)

        def send(*args: Any, **kwargs: Any) -> Any:
            if name not in PUBLISHING or self.instead is None:
                return wrapped(*args, **kwargs)
            if name == "put_object":
                args = (args[0], memoryview(bytes(args[1])))
            self._sent.append(lambda: method(*args, **kwargs))
            raise self.instead

        return send

    def resume(self, partial: Partial, epoch: int) -> Partial:
        """As S3: the upload goes by the same id."""
        return replace(partial, spec=replace(partial.spec, epoch=epoch))

    def land(self) -> None:
        for call in self._sent:
            call()


@pytest.fixture
def storage(db: None) -> Late:
    return Late()


def killed_while_publishing(storage: Late, alice: Principal, data: bytes = A) -> None:
    storage.instead = Killed()
    with pytest.raises(Killed):
        House(storage, owner="here:dead:1").upload(alice, "/a", data)
    storage.instead = None


def recover(storage: Late) -> dict[str, int]:
    return House(storage).intake.recovery.recover(lambda owner: owner == "here:dead:1")


def pass_time(seconds: float) -> None:
    Upload.objects.update(updated=F("updated") - timedelta(seconds=seconds))


def test_a_name_is_not_given_away_while_a_dead_workers_put_may_land(
    storage: Late, alice: Principal
) -> None:
    killed_while_publishing(storage, alice)
    assert recover(storage) == {"pending": 1}
    house = House(storage)
    with pytest.raises(UploadBusy) as caught:
        house.upload(alice, "/a", B)
    assert answer(caught.value).code == 450
    assert "try again in" in answer(caught.value).text
    storage.land()
    house.upload(alice, "/a", B)
    assert stored(storage.inner, "acme/a") == B
    assert states() == ["committed", "committed"]
    assert rows() == ["upload.rejected", "upload.committed", "upload.committed"]


def test_a_put_that_landed_late_is_acknowledged_to_its_retry(
    storage: Late, alice: Principal
) -> None:
    killed_while_publishing(storage, alice)
    recover(storage)
    storage.land()
    assert House(storage).upload(alice, "/a", A).already_stored


def test_a_put_that_never_lands_holds_the_name_for_no_longer_than_a_storage_call(
    storage: Late, alice: Principal
) -> None:
    killed_while_publishing(storage, alice)
    recover(storage)
    house = House(storage)
    pass_time(house.conf.storage_timeout)
    house.intake.heartbeat()
    assert states() == ["aborted"]
    house.upload(alice, "/a", B)
    assert stored(storage.inner, "acme/a") == B


def test_asking_again_and_again_does_not_prolong_it(storage: Late, alice: Principal) -> None:
    killed_while_publishing(storage, alice)
    house = House(storage)
    for _ in range(4):
        recover(storage)
        house.intake.heartbeat()
        pass_time(house.conf.storage_timeout / 4)
    house.intake.heartbeat()
    assert states() == ["aborted"]


def test_an_unknown_outcome_holds_the_name_as_well(storage: Late, alice: Principal) -> None:
    house = House(storage)
    storage.instead = OutcomeUnknown("no answer")
    with pytest.raises(OutcomeUnknown):
        house.upload(alice, "/a", A)
    storage.instead = None
    with pytest.raises(UploadBusy):
        house.upload(alice, "/a", B)
    storage.land()
    assert house.upload(alice, "/a", A).already_stored


class Echoing(MemoryBackend):
    """A put whose first try got no answer and may still land."""

    def put_object(self, spec: ObjectSpec, data: memoryview, **kwargs: Any) -> Published:
        return replace(super().put_object(spec, data, **kwargs), may_land_again=True)


def test_a_put_that_was_tried_again_holds_the_name_though_it_is_acknowledged(
    alice: Principal,
) -> None:
    house = House(Echoing())
    house.upload(alice, "/a", A)
    with pytest.raises(UploadBusy) as caught:
        house.upload(alice, "/a", B)
    assert "try again in" in answer(caught.value).text
    assert house.upload(alice, "/b", B).size == len(B)
    Upload.objects.update(lease_until=F("lease_until") - timedelta(seconds=60))
    house.upload(alice, "/a", B)
    assert stored(house.backend, "acme/a") == B


def test_under_version_it_is_a_name_like_another(alice: Principal) -> None:
    house, alice = House(Echoing()), replace(alice, overwrite=OverwritePolicy.VERSION)
    house.upload(alice, "/a", A)
    assert house.upload(alice, "/a", B).path == "/a (1)"


def test_parts_are_published_anew_at_once(storage: Late, alice: Principal) -> None:
    """Completing consumes the upload: what was sent before finds none any more."""
    killed_while_publishing(storage, alice, BIG)
    assert recover(storage) == {"committed": 1}
    House(storage).upload(alice, "/a", B)
    with pytest.raises(Exception, match="gone"):
        storage.land()
    assert stored(storage.inner, "acme/a") == B


def test_parts_that_are_refused_are_not_undone_while_their_publication_may_land(
    storage: Late, alice: Principal
) -> None:
    killed_while_publishing(storage, alice, BIG)
    storage.fail("commit", error=StorageRefused())
    assert recover(storage) == {"pending": 1}
    storage.fail("commit", error=StorageRefused())
    with pytest.raises(UploadBusy):
        House(storage).upload(alice, "/a", B)
    storage.land()
    House(storage).intake.heartbeat()
    assert states() == ["committed"]
    assert stored(storage.inner, "acme/a") == BIG


def test_another_accounts_version_takes_another_name(storage: Late, alice: Principal) -> None:
    killed_while_publishing(storage, replace(alice, overwrite=OverwritePolicy.VERSION))
    recover(storage)
    bob = make_principal(user="bob", overwrite=OverwritePolicy.VERSION)
    assert House(storage).upload(bob, "/a", B).path == "/a (1)"
    storage.land()
    assert stored(storage.inner, "acme/a") == A
    assert stored(storage.inner, "acme/a (1)") == B


def test_the_same_accounts_version_waits_so_that_nothing_is_stored_twice(
    storage: Late, alice: Principal
) -> None:
    alice = replace(alice, overwrite=OverwritePolicy.VERSION)
    killed_while_publishing(storage, alice)
    recover(storage)
    with pytest.raises(UploadBusy):
        House(storage).upload(alice, "/a", A)
    storage.land()
    assert House(storage).upload(alice, "/a", A).already_stored
