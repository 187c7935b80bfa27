"""No name is a file and a directory: uploads and renames of ``a`` and ``a/b`` at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import NameBusy, NotFound, SecureDropError
from securedrop_ftp.intake.steps import set_hook
from securedrop_ftp.models import Directory, Upload
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, states, stored
from tests.intake.test_naming import in_the_midst
from tests.intake.test_recovery import Crash, crash_at
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]

pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize(("first", "second"), [("/a", "/a/b"), ("/a/b", "/a")])


@pytest.fixture(params=["filesystem", "moto"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


def is_stored(house: House, path: str, data: bytes = b"x") -> bool:
    with suppress(NotFound):
        if not house.backend.stat(f"acme{path}").is_dir:
            return stored(house.backend, f"acme{path}") == data
    return False


@BOTH
def test_of_two_that_are_received_at_once_the_first_is_stored(
    house: House, alice: Principal, first: str, second: str
) -> None:
    one, other = house.begin(alice, first), house.begin(alice, second, session="s2")
    house.feed(one, b"x")
    house.feed(other, b"y")
    house.finish(one)
    with pytest.raises(SecureDropError):
        house.finish(other)
    assert is_stored(house, first)
    assert not is_stored(house, second, b"y")
    assert states() == ["committed", "aborted"]


@BOTH
def test_of_two_that_are_published_at_once_one_is_refused(
    house: House, alice: Principal, first: str, second: str
) -> None:
    other = house.begin(alice, second, session="s2")
    house.feed(other, b"y")
    seen = in_the_midst("publishing.after", lambda: house.finish(other))
    one = house.begin(alice, first)
    house.feed(one, b"x")
    if house.backend.capabilities.keeps_directories:
        with pytest.raises(SecureDropError):
            house.finish(one)  # the other was quicker
        assert is_stored(house, second, b"y")
        return
    house.finish(one)
    assert isinstance(seen[0], NameBusy)
    assert is_stored(house, first)
    assert not is_stored(house, second, b"y")


@BOTH
@pytest.mark.parametrize("amid", ["publishing.after", "rename.claimed"])
def test_a_rename_is_an_upload_of_its_target(
    house: House, alice: Principal, first: str, second: str, amid: str
) -> None:
    """``first`` is uploaded while ``second`` is a rename's target."""
    house.upload(alice, "/from", b"y")
    stream = house.begin(alice, first)
    house.feed(stream, b"x")
    if amid == "rename.claimed":
        seen = in_the_midst(amid, lambda: house.finish(stream))
        house.rename(alice, "/from", second)
    else:
        seen = in_the_midst(amid, lambda: house.rename(alice, "/from", second))
        house.finish(stream)
    assert isinstance(seen[0], NameBusy)
    assert is_stored(house, first) != is_stored(house, second, b"y")
    assert is_stored(house, "/from", b"y") != is_stored(house, second, b"y")


@pytest.mark.parametrize("path", ["/a", "/a/b"])
def test_no_directory_is_made_where_a_file_is_being_published(
    house: House, alice: Principal, path: str
) -> None:
    if house.backend.capabilities.keeps_directories:
        pytest.skip("the file system has them one after the other")
    seen = in_the_midst("commit.after", lambda: house.intake.directories.make(alice, path))
    house.upload(alice, "/a", b"x")
    assert isinstance(seen[0], SecureDropError)
    assert is_stored(house, "/a")
    assert not Directory.objects.exists()


def test_no_file_is_published_where_a_directory_was_made(house: House, alice: Principal) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, b"x")
    house.intake.directories.make(alice, "/a")
    with pytest.raises(SecureDropError):
        house.finish(stream)
    assert house.backend.stat("acme/a").is_dir


def test_recovery_stores_no_file_that_became_a_directory(house: House, alice: Principal) -> None:
    size = 2 * house.backend.capabilities.min_part_size or 2 * 64 * 1024
    stream = house.begin(alice, "/a")
    house.feed(stream, bytes(size))
    crash_at("publishing.after")
    with pytest.raises(Crash):
        house.finish(stream)
    set_hook(None)
    Upload.objects.update(state="suspended")  # as if it had not begun to publish
    house.upload(alice, "/a/b", b"x")
    Upload.objects.filter(path="/a").update(state="publishing")
    House(house.backend, owner="here:boot:2").intake.recovery.recover(lambda owner: True)
    assert is_stored(house, "/a/b")
    assert house.backend.stat("acme/a").is_dir
