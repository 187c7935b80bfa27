"""Fixtures of the storage tests: ``backend`` is every storage of the run in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from securedrop_ftp.storage.protocol import Backend
from tests.storage import servers


@pytest.fixture(params=servers.chosen())
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()
