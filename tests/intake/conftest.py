"""Fixtures of the intake's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.storage.filesystem.backend import FilesystemBackend
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, make_principal


@pytest.fixture(params=["memory", "filesystem"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "memory":
        return MemoryBackend()
    return FilesystemBackend(FileSystemStorage(location=str(tmp_path / "storage")))


@pytest.fixture
def house(backend: Backend, db: None) -> House:
    return House(backend)


@pytest.fixture
def alice(db: None) -> Principal:
    return make_principal()
