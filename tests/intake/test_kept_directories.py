"""A directory of a storage that has none of its own is there until RMD, whoever takes its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from securedrop_ftp.access.changes import delete_partner
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event, Operator
from securedrop_ftp.exceptions import (
    BadName,
    Exists,
    IsADirectory,
    NotADirectory,
    NotEmpty,
    NotFound,
)
from securedrop_ftp.intake.kept_directories import confined
from securedrop_ftp.intake.naming import NameRequest
from securedrop_ftp.keys import key_for
from securedrop_ftp.models import Directory, Partner
from securedrop_ftp.storage.confined import ConfinedStorage
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import House, make_principal, stored
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]

pytestmark = pytest.mark.integration


@pytest.fixture(params=["moto", "gcs"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


@pytest.fixture
def files(house: House) -> ConfinedStorage:
    """What a session of alice sees."""
    return confined(house.backend, "acme/", "default")


def _request(who: Principal, source: str, target: str = "") -> NameRequest:
    event = Event("file.renamed", partner=who.partner, partner_id=who.partner_id)
    keys = key_for(who.root, source), key_for(who.root, target) if target else ""
    return NameRequest(who, source, keys[0], event, "pending", target, keys[1])


def _rename(house: House, who: Principal, source: str, target: str) -> None:
    house.intake.naming.rename(_request(who, source, target), lambda renamed: "250")


def _listed(files: ConfinedStorage, key: str) -> list[tuple[str, bool]]:
    return sorted((e.name, e.is_dir) for page in files.scandir(key) for e in page)


def test_it_outlives_the_file_that_the_consumer_took(
    house: House, alice: Principal, files: ConfinedStorage
) -> None:
    house.upload(alice, "/in/deep/a", b"1")
    house.backend.delete("acme/in/deep/a")  # behind the service
    with pytest.raises(NotFound):
        house.backend.stat("acme/in")
    assert files.stat("acme/in/deep").is_dir
    assert _listed(files, "acme") == [("in", True)]
    assert _listed(files, "acme/in") == [("deep", True)]
    assert _listed(files, "acme/in/deep") == []
    with pytest.raises(NotFound):
        list(files.scandir("acme/other"))


def test_it_is_listed_once_among_files(
    house: House, alice: Principal, files: ConfinedStorage
) -> None:
    house.upload(alice, "/in/a", b"1")
    house.upload(alice, "/b", b"1")
    assert _listed(files, "acme") == [("b", False), ("in", True)]


def test_it_outlives_deletion_and_rename_of_its_last_file(
    house: House, alice: Principal, files: ConfinedStorage
) -> None:
    for path in ("/out/a", "/work/b"):
        house.upload(alice, path, b"1")
    Directory.objects.all().delete()  # as of files from before these rows
    house.intake.naming.delete(_request(alice, "/out/a"), "250")
    _rename(house, alice, "/work/b", "/done/b")
    house.backend.delete("acme/done/b")
    assert _listed(files, "acme") == [("done", True), ("out", True), ("work", True)]


def test_rmd_ends_it(house: House, alice: Principal, files: ConfinedStorage) -> None:
    house.upload(alice, "/in/deep/a", b"1")
    remove = house.remove_directory
    with pytest.raises(NotEmpty):
        remove(alice, "/in/deep")
    house.backend.delete("acme/in/deep/a")
    with pytest.raises(NotEmpty):
        remove(alice, "/in")
    remove(alice, "/in/deep")
    remove(alice, "/in")
    assert _listed(files, "acme") == []
    with pytest.raises(NotFound):
        remove(alice, "/in")


def test_one_that_was_made_outlives_its_marker(
    house: House, alice: Principal, files: ConfinedStorage
) -> None:
    house.intake.directories.make(alice, "/made")
    with pytest.raises(Exists):
        house.intake.directories.make(alice, "/made")
    house.backend.rmdir("acme/made")  # its marker, behind the service
    assert files.stat("acme/made").is_dir
    with pytest.raises(Exists):
        house.intake.directories.make(alice, "/made")
    house.remove_directory(alice, "/made")
    with pytest.raises(NotFound):
        files.stat("acme/made")


def test_a_marker_from_before_the_rows_is_a_directory_that_can_be_removed(
    house: House, alice: Principal, files: ConfinedStorage
) -> None:
    house.backend.mkdir("acme/before")
    assert files.stat("acme/before").is_dir
    house.remove_directory(alice, "/before")
    assert _listed(files, "acme") == []


@pytest.mark.parametrize("empty", [True, False])
def test_a_rename_takes_those_below_along(
    house: House, alice: Principal, files: ConfinedStorage, empty: bool
) -> None:
    house.upload(alice, "/in/a/b/file", b"1")
    house.intake.directories.make(alice, "/in/a/made")
    house.upload(alice, "/in/ab/file", b"1")  # begins with the same letters
    if empty:
        house.backend.delete("acme/in/a/b/file")
        house.backend.rmdir("acme/in/a/made")
    _rename(house, alice, "/in/a", "/out/c")
    if not empty:
        assert stored(house.backend, "acme/out/c/b/file") == b"1"
        house.backend.delete("acme/out/c/b/file")
    assert _listed(files, "acme/in") == [("ab", True)]
    assert _listed(files, "acme/out") == [("c", True)]
    assert _listed(files, "acme/out/c") == [("b", True), ("made", True)]
    assert _listed(files, "acme/out/c/b") == []


def test_an_empty_one_is_no_free_name(house: House, alice: Principal) -> None:
    for path in ("/one/a", "/two/a", "/file"):
        house.upload(alice, path, b"1")
    for name in ("one", "two"):
        house.backend.delete(f"acme/{name}/a")
    with pytest.raises(IsADirectory):
        house.begin(alice, "/one")
    with pytest.raises(IsADirectory):
        _rename(house, alice, "/file", "/one")
    with pytest.raises(Exists):
        _rename(house, alice, "/two", "/one")
    with pytest.raises(BadName):
        _rename(house, alice, "/two", "/two/deep")
    with pytest.raises(IsADirectory):
        house.intake.naming.delete(_request(alice, "/one"), "250")


def test_a_known_directory_costs_no_request_and_no_write(house: House, alice: Principal) -> None:
    careful = make_principal(create_directories=False)
    house.upload(alice, "/in/deep/a", b"1")
    faulty = house.backend = FaultyBackend(house.backend)
    assert isinstance(faulty, FaultyBackend)
    house.upload(alice, "/top", b"1")
    at_the_top, faulty.calls = faulty.calls, []
    with CaptureQueriesContext(connection) as asked:
        house.upload(careful, "/in/deep/b", b"1")
    assert faulty.calls == at_the_top
    written = [q["sql"] for q in asked if "_directory" in q["sql"]]
    assert written
    assert all(sql.startswith("SELECT") for sql in written)


def test_below_a_file_nothing_is_stored_renamed_or_made(house: House, alice: Principal) -> None:
    house.upload(alice, "/file", b"1")
    house.upload(alice, "/other", b"2")
    for act in (
        lambda: house.begin(alice, "/file/a"),
        lambda: _rename(house, alice, "/other", "/file/a"),
        lambda: house.intake.directories.make(alice, "/file/a"),
    ):
        with pytest.raises(NotADirectory):
            act()
    assert stored(house.backend, "acme/file/a") is None


def test_storages_with_directories_have_no_rows(db: None, tmp_path: Path) -> None:
    house = House(servers.make_backend("filesystem", tmp_path, lambda name: None))
    who = make_principal()
    house.upload(who, "/in/a", b"1")
    house.intake.directories.make(who, "/made")
    assert not Directory.objects.exists()


def test_a_deleted_partner_leaves_no_rows(house: House) -> None:
    for name, user in (("acme", "alice"), ("globex", "bob")):
        house.upload(make_principal(name, user), "/in/a", b"1")
    delete_partner(Partner.objects.get(name="acme"), Operator("olga", "admin"))
    assert list(Directory.objects.values_list("key", flat=True)) == ["globex/in"]
