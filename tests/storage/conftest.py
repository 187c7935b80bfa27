"""Fixtures of the storage tests: ``backend`` is every storage of the run in turn."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from securedrop_ftp.project.demo.children import Child
from securedrop_ftp.storage.protocol import Backend
from tests.fixtures.moto import MotoServer
from tests.fixtures.processes import accepts, free_port, scratch_directory, wait_until
from tests.storage import servers


@pytest.fixture(scope="session")
def moto_bucket(moto_server: MotoServer) -> servers.S3Bucket:
    """A bucket of moto's, over TLS."""
    return servers.S3Bucket(moto_server.bucket(), moto_server.endpoint_url, str(moto_server.ca))


@pytest.fixture(scope="session")
def s3_bucket(request: pytest.FixtureRequest) -> servers.S3Bucket:
    """The bucket of the real S3 server of this run, else moto's."""
    found = servers.real_bucket()
    return found or cast(servers.S3Bucket, request.getfixturevalue("moto_bucket"))


@pytest.fixture(scope="session")
def gcs_emulator() -> Iterator[str]:
    """gcp-storage-emulator with a bucket; gives its address."""
    port = free_port()
    with scratch_directory("gcs") as directory:
        child = Child(
            "gcs",
            [
                sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1",
                "--port", str(port), "--in-memory", "--default-bucket", "contract",
            ],
            env={n: v for n, v in os.environ.items() if not n.startswith("COVERAGE_")},
            output=directory,
            cwd=directory,
        )  # fmt: skip
        try:
            wait_until(lambda: accepts(port), "gcp-storage-emulator", child)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.stop(10)


class PausesOnly:
    """A clock that goes on only while something sleeps, at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def instant_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and their deadlines count pauses, not time: however slow the machine is, as many
    tries are made, and none waits."""
    monkeypatch.setattr("securedrop_ftp.storage.retry.time", PausesOnly())


@pytest.fixture(params=servers.parameters())
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()
