"""When a storage location may be marked as the one of the ledger's files, and when not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.test import override_settings

from securedrop_ftp.conf import Conf
from securedrop_ftp.exceptions import StorageLost
from securedrop_ftp.intake import locations
from securedrop_ftp.intake.locations import located_backend, storage_problem
from securedrop_ftp.models import StorageLocation, Upload, UploadState
from securedrop_ftp.storage import registry
from securedrop_ftp.storage.generic.backend import GenericBackend
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import make_principal
from tests.storage.uploads import put


class Elsewhere(Storage):
    """Any Django storage over a folder that is not one of Django's file systems."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._files = FileSystemStorage(location=location)

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    def _open(self, name: str, mode: str = "rb") -> object:
        return self._files.open(name, mode)

    def _save(self, name: str, content: object) -> str:
        return self._files.save(name, content)  # type: ignore[arg-type]

    def exists(self, name: str) -> bool:
        return self._files.exists(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return self._files.listdir(path)

    def size(self, name: str) -> int:
        return self._files.size(name)

    def delete(self, name: str) -> None:
        self._files.delete(name)


@pytest.fixture(params=["filesystem", "generic"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, db: None) -> Iterator[Path]:
    """The location of the alias ``default``, not made yet."""
    folder = tmp_path / "storage"
    kind = {
        "filesystem": "django.core.files.storage.FileSystemStorage",
        "generic": f"{__name__}.Elsewhere",
    }[request.param]
    entry = {"BACKEND": kind, "OPTIONS": {"location": str(folder)}}
    with override_settings(STORAGES={"default": entry}):
        yield folder
        anew()


def anew() -> None:
    """As in a process that begins."""
    registry.reset()
    locations._located.clear()


def known_file(key: str = "acme/a.txt", size: int = 3) -> None:
    principal = make_principal()
    Upload.objects.create(
        id=uuid.uuid4(),
        partner_id=principal.partner_id,
        storage="default",
        key=key,
        path="/a.txt",
        size=size,
        state=UploadState.COMMITTED,
    )


def test_the_first_use_makes_and_marks_it(folder: Path) -> None:
    located_backend("default")
    mark = (folder / ".securedrop" / "location").read_text().strip()
    assert StorageLocation.objects.get().mark == mark
    assert storage_problem("default") == ""
    anew()
    assert located_backend("default").name in ("filesystem", "generic")
    assert (folder / ".securedrop" / "location").read_text().strip() == mark


def test_an_empty_or_missing_folder_is_refused_when_the_ledger_knows_files(folder: Path) -> None:
    known_file()
    for _ in range(2):
        with pytest.raises(StorageLost, match="Is its disk mounted"):
            located_backend("default")
        assert "doctor --adopt-storage default" in storage_problem("default")
        assert not folder.exists() or not list(folder.iterdir())
        folder.mkdir(exist_ok=True)
    (folder / "lost+found").mkdir()
    if located_kind() == "filesystem":
        with pytest.raises(StorageLost):
            located_backend("default")


def located_kind() -> str:
    return registry.backend_for("default").name


def test_a_folder_from_before_there_were_marks_is_marked(folder: Path) -> None:
    known_file()
    (folder / "acme").mkdir(parents=True)
    located_backend("default")
    assert (folder / ".securedrop" / "location").exists()


def test_a_mark_that_went_is_made_again_only_where_nothing_can_be_lost(folder: Path) -> None:
    located_backend("default")
    (folder / ".securedrop" / "location").unlink()
    anew()
    located_backend("default")  # the ledger knows no file

    known_file()
    (folder / "others").mkdir()
    (folder / ".securedrop" / "location").unlink()
    anew()
    with pytest.raises(StorageLost):
        located_backend("default")
    (folder / "acme").mkdir()
    (folder / "acme" / "a.txt").write_bytes(b"one")
    located_backend("default")  # its file is there


def test_a_location_that_vanishes_later_takes_nothing_and_comes_back(folder: Path) -> None:
    backend: Backend = located_backend("default")
    put(backend, "acme/a.txt", b"one")
    known_file()
    folder.rename(folder.with_name("away"))
    with pytest.raises(StorageLost):
        put(backend, "acme/b.txt", b"two")
    assert storage_problem("default")
    assert not folder.exists()
    folder.with_name("away").rename(folder)
    put(backend, "acme/b.txt", b"two")
    assert storage_problem("default") == ""


def test_a_spool_that_vanishes_is_not_made_anew(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    storage = Elsewhere(str(tmp_path / "storage"))
    backend = GenericBackend(storage, Conf(spool_dir=str(spool)))
    backend.expect_mark(backend.put_mark("m1"))
    spool.rename(tmp_path / "away")
    with pytest.raises(StorageLost):
        backend.check()
    assert not spool.exists()
    (tmp_path / "away").rename(spool)
    backend.check()


def test_several_aliases_are_told_apart(tmp_path: Path, db: None) -> None:
    def entry(name: str) -> dict[str, object]:
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / name)},
        }

    with override_settings(STORAGES={"default": entry("one"), "other": entry("two")}):
        assert storages["other"]
        located_backend("default")
        located_backend("other")
        known_file()
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "two").rename(tmp_path / "one")  # the other's disk in its place
        anew()
        with pytest.raises(StorageLost, match="another location"):
            located_backend("default")
        located_backend("other")  # nothing is known to be there
    anew()
