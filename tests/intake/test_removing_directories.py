"""RMD beside uploads, renames and kills: no directory is removed under a file that is being stored,
and none is told to be gone that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import NameBusy, NotADirectory, NotEmpty, NotFound
from securedrop_ftp.intake.kept_directories import confined
from securedrop_ftp.intake.steps import NAMING_STEPS, set_hook
from securedrop_ftp.models import AuditEvent, Directory, NameChange
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, stored
from tests.intake.test_naming import in_the_midst, long_ago
from tests.intake.test_recovery import Crash, crash_at
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]

pytestmark = pytest.mark.integration


@pytest.fixture(params=["filesystem", "moto"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


def is_there(house: House, key: str = "acme/in") -> bool:
    with suppress(NotFound):
        return confined(house.backend, "acme/", "default").stat(key).is_dir
    return False


def told() -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(event="directory.removed").order_by("seq")
    return list(rows.values_list("path", "outcome"))


def test_an_empty_one_goes_and_leaves_its_row(house: House, alice: Principal) -> None:
    house.intake.directories.make(alice, "/in")
    house.remove_directory(alice, "/in")
    assert not is_there(house)
    assert told() == [("/in", "success")]
    with pytest.raises(NotFound):
        house.remove_directory(alice, "/in")
    assert not NameChange.objects.exists()


def test_what_is_not_empty_or_no_directory_stays(house: House, alice: Principal) -> None:
    house.upload(alice, "/in/a", b"x")
    with pytest.raises(NotEmpty):
        house.remove_directory(alice, "/in")
    with pytest.raises(NotADirectory):
        house.remove_directory(alice, "/in/a")
    assert stored(house.backend, "acme/in/a") == b"x"
    assert not NameChange.objects.exists()


def test_an_upload_into_it_hinders_it(house: House, alice: Principal) -> None:
    house.intake.directories.make(alice, "/in")
    stream = house.begin(alice, "/in/a")
    house.feed(stream, b"x")
    with pytest.raises(NameBusy):
        house.remove_directory(alice, "/in")
    house.finish(stream)
    assert stored(house.backend, "acme/in/a") == b"x"
    assert told() == []


@pytest.mark.parametrize("step", ["publishing.after", "commit.after"])
def test_a_file_that_is_being_published_keeps_its_directory(
    house: House, alice: Principal, step: str
) -> None:
    house.intake.directories.make(alice, "/in")
    seen = in_the_midst(step, lambda: house.remove_directory(alice, "/in"))
    house.upload(alice, "/in/a", b"x")
    assert isinstance(seen[0], NameBusy)
    assert stored(house.backend, "acme/in/a") == b"x"


@pytest.mark.parametrize("act", ["upload", "rename", "make"])
@pytest.mark.parametrize("step", ["delete.claimed", "delete.moving", "delete.done"])
def test_nothing_comes_into_it_meanwhile(
    house: House, alice: Principal, step: str, act: str
) -> None:
    house.intake.directories.make(alice, "/in")
    house.upload(alice, "/other", b"x")
    others: dict[str, Callable[[], object]] = {
        "upload": lambda: house.upload(alice, "/in/a", b"x"),
        "rename": lambda: house.rename(alice, "/other", "/in/a"),
        "make": lambda: house.intake.directories.make(alice, "/in/deep"),
    }
    seen = in_the_midst(step, others[act])
    keeps = house.backend.capabilities.keeps_directories
    if act == "make" and keeps and step != "delete.done":
        with pytest.raises(NotEmpty):  # the file system itself says so
            house.remove_directory(alice, "/in")
        assert is_there(house, "acme/in/deep")
        return
    house.remove_directory(alice, "/in")
    assert act == "make" or isinstance(seen[0], NameBusy)
    if act != "make" or not keeps:
        assert isinstance(seen[0], NameBusy)
        assert not Directory.objects.filter(key__startswith="acme/in").exists()
    assert stored(house.backend, "acme/in/a") is None


@pytest.mark.parametrize("step", [step for step in NAMING_STEPS if step.startswith("delete")])
def test_one_that_dies_at_a_step_is_done_or_undone(
    house: House, alice: Principal, step: str
) -> None:
    house.intake.directories.make(alice, "/in")
    crash_at(step)
    with pytest.raises(Crash):
        house.remove_directory(alice, "/in")
    set_hook(None)
    long_ago()
    House(house.backend).intake.recovery.recover(lambda owner: True)
    assert not NameChange.objects.exists()
    assert told() == [("/in", "failure" if is_there(house) else "success")]
    house.upload(alice, "/in/a", b"x")  # the names are free
