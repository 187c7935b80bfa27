"""What the generic backend does beyond the contract, over storages that misbehave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import InMemoryStorage, Storage

from securedrop_ftp import exceptions as errors
from securedrop_ftp.conf import Conf
from securedrop_ftp.storage.generic.backend import GenericBackend
from securedrop_ftp.storage.protocol import Part
from securedrop_ftp.storage.registry import factory_for
from tests.storage.uploads import commit, content, listing, pieces, put, put_parts, spec_for


class Faulty(InMemoryStorage):
    """Fails on its ``fail_at``-th save, half-way through the file."""

    def __init__(self) -> None:
        super().__init__()
        self.saves: list[str] = []
        self.opened: list[str] = []
        self.fail_at = 0
        self.error: Exception = RuntimeError("made to fail")
        self.keeps_names = False

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name if self.keeps_names else super().get_available_name(name, max_length)

    def _save(self, name: str, content: Any) -> str:  # the API's hook
        self.saves.append(name)
        if len(self.saves) == self.fail_at:
            super()._save(name, content.__class__(content.file, name=name))  # type: ignore[misc]
            raise self.error
        return str(super()._save(name, content))  # type: ignore[misc]

    def open(self, name: str, mode: str = "rb") -> Any:
        self.opened.append(mode)
        return super().open(name, mode)


@pytest.fixture
def storage() -> Faulty:
    return Faulty()


@pytest.fixture
def generic(storage: Faulty, tmp_path: Path) -> GenericBackend:
    return GenericBackend(storage, Conf(spool_dir=str(tmp_path)))


def test_any_storage_is_served() -> None:
    class Vault(Storage):
        pass

    assert factory_for(Vault()) is GenericBackend


def test_an_upload_is_one_save_and_nothing_is_opened_for_writing(
    storage: Faulty, generic: GenericBackend
) -> None:
    data = pieces(generic, 3)
    partial = generic.begin(spec_for("acme/a"))
    parts = put_parts(generic, partial, data)
    assert storage.saves == []
    commit(generic, partial, parts, b"".join(data))
    assert storage.saves == ["acme/a"]
    assert "w" not in "".join(storage.opened)


def test_a_save_that_fails_leaves_nothing_and_keeps_the_spool(
    storage: Faulty, generic: GenericBackend
) -> None:
    data = pieces(generic, 2)
    partial = generic.begin(spec_for("acme/a"))
    parts = put_parts(generic, partial, data)
    storage.fail_at = 1
    with pytest.raises(errors.StorageUnavailable):
        commit(generic, partial, parts, b"".join(data))
    with pytest.raises(errors.NotFound):
        generic.stat("acme/a")
    commit(generic, partial, parts, b"".join(data))
    assert content(generic, "acme/a") == b"".join(data)


def test_a_failed_replacement_puts_the_old_file_back(
    storage: Faulty, generic: GenericBackend
) -> None:
    put(generic, "acme/a", b"old")
    storage.fail_at = len(storage.saves) + 2  # the first keeps the old file aside
    with pytest.raises(errors.StorageUnavailable):
        put(generic, "acme/a", b"new")
    assert content(generic, "acme/a") == b"old"
    assert [name for name in storage.listdir(".securedrop")[1] if name] == []


def test_a_storage_that_replaces_by_itself_is_left_to_do_so(
    storage: Faulty, generic: GenericBackend
) -> None:
    storage.keeps_names = True
    put(generic, "acme/a", b"old")
    put(generic, "acme/a", b"newer")
    assert storage.saves == ["acme/a", "acme/a"]
    storage.fail_at = 3
    with pytest.raises(errors.OutcomeUnknown):
        put(generic, "acme/a", b"newest")


def test_a_storage_that_chooses_another_name_is_not_believed(
    storage: Faulty, generic: GenericBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "get_available_name", lambda name, max_length=None: name + "_2")
    with pytest.raises(errors.Exists):
        put(generic, "acme/a")
    assert listing(generic, "acme") == {}


def test_a_saved_file_of_another_size_is_no_success(
    storage: Faulty, generic: GenericBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "size", lambda name: 1)
    with pytest.raises(errors.VerificationFailed):
        put(generic, "acme/a", b"data")


def test_a_published_file_is_recognised_by_its_bytes(generic: GenericBackend) -> None:
    put(generic, "acme/a", b"hello", upload_id="u1")
    put(generic, "acme/a", b"HELLO", upload_id="u2")
    assert generic.find_published("acme/a", "u1") is None
    assert generic.find_published("acme/a", "u2") is not None


def test_a_spool_that_lost_bytes_publishes_nothing(
    storage: Faulty, generic: GenericBackend, tmp_path: Path
) -> None:
    partial = generic.begin(spec_for("acme/a"))
    put_parts(generic, partial, [b"hello"])
    os.truncate(tmp_path / "generic/uploads" / partial.token, 3)
    with pytest.raises(errors.VerificationFailed):
        commit(generic, partial, [Part(1, 0, 5)], b"hello")
    assert storage.saves == []


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (SuspiciousFileOperation("no"), errors.BadName),
        (NotImplementedError("no"), errors.UnsupportedByBackend),
        (PermissionError(13, "denied"), errors.StorageRefused),
        (OSError(28, "full"), errors.StorageFull),
        (ConnectionError("gone"), errors.StorageUnavailable),
        (ValueError("what"), errors.StorageUnavailable),
    ],
)
def test_whatever_a_storage_raises_becomes_ours(
    storage: Faulty, generic: GenericBackend, raised: Exception, kind: type[Exception]
) -> None:
    storage.fail_at, storage.error = 1, raised
    with pytest.raises(kind):
        put(generic, "acme/a")


def test_a_directory_rename_that_fails_leaves_the_source(
    storage: Faulty, generic: GenericBackend
) -> None:
    put(generic, "acme/in/a")
    put(generic, "acme/in/b")
    storage.fail_at = len(storage.saves) + 2
    with pytest.raises(errors.StorageUnavailable):
        generic.rename("acme/in", "acme/out", replace=False)
    assert set(listing(generic, "acme/in")) == {"a", "b"}
    assert generic._api.names("acme/out")[1] == []


def test_a_storage_without_times_lists_none(
    storage: Faulty, generic: GenericBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise NotImplementedError

    put(generic, "acme/a")
    monkeypatch.setattr(storage, "get_modified_time", missing)
    assert generic.stat("acme/a").modified is None
