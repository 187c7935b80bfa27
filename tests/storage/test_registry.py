"""The registry: by class, once for each process and alias."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.test import override_settings
from storages.backends.s3 import S3Storage

from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.storage import registry
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.storage.s3.backend import S3Backend


class OurFiles(FileSystemStorage):
    """A user's subclass."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    registry.reset()
    yield
    registry.reset()


def storages(tmp_path: Path) -> dict[str, Any]:
    return {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "files": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path)},
        },
        "s3": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {"bucket_name": "b"}},
        "wrong": {"BACKEND": "no.such.Storage"},
    }


def test_each_storage_gets_its_backend(tmp_path: Path) -> None:
    with override_settings(STORAGES=storages(tmp_path)):
        assert isinstance(registry.backend_for("default"), MemoryBackend)
        assert isinstance(registry.backend_for("files"), FilesystemBackend)
        assert isinstance(registry.backend_for("s3"), S3Backend)


def test_every_backend_keeps_the_protocol(tmp_path: Path) -> None:
    with override_settings(STORAGES=storages(tmp_path)):
        for alias in ("default", "files", "s3"):
            assert isinstance(registry.backend_for(alias), Backend)


def test_an_alias_has_one_backend() -> None:
    assert registry.backend_for("default") is registry.backend_for("default")


def test_changed_settings_make_new_backends(tmp_path: Path) -> None:
    first = registry.backend_for("default")
    with override_settings(STORAGES=storages(tmp_path)):
        assert registry.backend_for("default") is not first


@pytest.mark.integration
def test_a_child_process_makes_its_own() -> None:
    registry.backend_for("default")
    pid = os.fork()
    if pid == 0:
        os._exit(7 if not registry._backends else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_subclass_is_served_as_its_base(tmp_path: Path) -> None:
    assert registry.factory_for(OurFiles(tmp_path)) is FilesystemBackend


def test_the_nearest_registered_class_decides(tmp_path: Path) -> None:
    registry.register(OurFiles, MemoryBackend)
    assert registry.factory_for(OurFiles(tmp_path)) is MemoryBackend
    assert registry.factory_for(FileSystemStorage(tmp_path)) is FilesystemBackend


def test_a_class_and_a_factory_may_be_named_by_their_paths() -> None:
    registry.register(
        "django.core.files.storage.memory.InMemoryStorage",
        "securedrop_ftp.storage.filesystem.backend:FilesystemBackend",
    )
    assert registry.factory_for(InMemoryStorage()) is FilesystemBackend


def test_the_nicknames_of_a_class_do_not_matter() -> None:
    from storages.backends.s3boto3 import S3Boto3Storage

    assert S3Boto3Storage is S3Storage
    assert registry.factory_for(S3Boto3Storage(bucket_name="b")) is S3Backend


def test_what_is_no_storage_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="not a Django Storage"):
        registry.factory_for(object())


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    registry.register(OurFiles, "no_such_package.backend:Backend")
    with pytest.raises(ConfigurationError, match="no_such_package"):
        registry.factory_for(OurFiles(tmp_path))


def test_an_unknown_alias_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        registry.backend_for("nowhere")
    with override_settings(STORAGES=storages(tmp_path)), pytest.raises(ConfigurationError):
        registry.backend_for("wrong")


def test_an_s3_storage_without_a_bucket_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="bucket_name"):
        S3Backend(S3Storage())
