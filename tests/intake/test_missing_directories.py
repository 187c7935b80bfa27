"""A name below a directory that is not there is refused, or makes it, as the partner has it; below
a file it always is refused. On every storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import NoDirectory, NotADirectory
from securedrop_ftp.intake.naming import NameRequest
from securedrop_ftp.keys import key_for
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, make_principal, rows, stored
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]


@pytest.fixture(params=servers.parameters())
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


@pytest.fixture
def careful(db: None) -> Principal:
    """Of a new partner."""
    return make_principal(create_directories=False)


def _rename(house: House, who: Principal, source: str, target: str) -> None:
    event = Event("file.renamed", partner=who.partner, partner_id=who.partner_id)
    keys = key_for(who.root, source), key_for(who.root, target)
    request = NameRequest(who, source, keys[0], event, "pending", target, keys[1])
    house.intake.naming.rename(request, lambda renamed: "250")


def test_an_upload_is_refused_and_the_directory_named(house: House, careful: Principal) -> None:
    house.intake.directories.make(careful, "/in")
    house.upload(careful, "/in/a", b"1")
    with pytest.raises(NoDirectory) as refused:
        house.begin(careful, "/in/typo/deep/a")
    assert refused.value.path == "/in/typo"
    assert rows()[-1] == "upload.rejected"
    assert stored(house.backend, "acme/in/typo/deep/a") is None


def test_appe_and_rest_with_nothing_to_go_on_with_are_refused(
    house: House, careful: Principal
) -> None:
    with pytest.raises(NoDirectory):
        house.begin(careful, "/typo/a", append=True)


def test_a_rename_is_refused_and_its_source_stays(house: House, careful: Principal) -> None:
    house.upload(careful, "/a", b"1")
    with pytest.raises(NoDirectory) as refused:
        _rename(house, careful, "/a", "/typo/a")
    assert refused.value.path == "/typo"
    assert stored(house.backend, "acme/a") == b"1"
    house.intake.directories.make(careful, "/there")
    _rename(house, careful, "/a", "/there/a")
    assert stored(house.backend, "acme/there/a") == b"1"


def test_a_directory_is_made_one_at_a_time(house: House, careful: Principal) -> None:
    make = house.intake.directories.make
    with pytest.raises(NoDirectory) as refused:
        make(careful, "/a/b/c")
    assert refused.value.path == "/a"
    for path in ("/a", "/a/b", "/a/b/c"):
        make(careful, path)


def test_partners_of_before_have_theirs_made(house: House, alice: Principal) -> None:
    house.upload(alice, "/in/deep/a", b"1")
    _rename(house, alice, "/in/deep/a", "/out/deep/a")
    house.intake.directories.make(alice, "/x/y/z")
    assert stored(house.backend, "acme/out/deep/a") == b"1"
    assert house.backend.stat("acme/x/y/z").is_dir


@pytest.mark.parametrize("path", ["/file/a", "/file/deep/a"])
@pytest.mark.parametrize("creates", [True, False])
def test_below_a_file_nothing_is_stored_renamed_or_made(
    house: House, path: str, creates: bool
) -> None:
    who = make_principal(create_directories=creates)
    house.upload(who, "/file", b"1")
    house.upload(who, "/other", b"2")
    with pytest.raises(NotADirectory):
        house.begin(who, path)
    with pytest.raises(NotADirectory):
        _rename(house, who, "/other", path)
    with pytest.raises(NotADirectory):
        house.intake.directories.make(who, path)
    assert stored(house.backend, "acme/file") == b"1"
    assert stored(house.backend, "acme/other") == b"2"
    assert stored(house.backend, f"acme{path}") is None
