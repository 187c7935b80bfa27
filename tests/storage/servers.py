"""The storages that the contract suite runs on, and how to reach each.

``make test`` runs the quick ones. ``make test-storage`` (:mod:`tests.storage.real.run`) starts real
servers, names them in ``TEST_STORAGES`` and says in ``TEST_SERVER`` how to reach the one.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from storages.backends.s3 import S3Storage

from securedrop_ftp.conf import Conf
from securedrop_ftp.storage.generic.backend import GenericBackend
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.storage.registry import factory_for

QUICK = ("memory", "filesystem", "generic-memory", "generic-files", "gcs", "moto")
#: Those that need no server.
IN_PROCESS = frozenset({"memory", "filesystem", "generic-memory", "generic-files"})
REAL_S3 = frozenset({"ceph", "swift"})


def chosen() -> list[str]:
    """The storages of this run."""
    names = os.environ.get("TEST_STORAGES", "")
    return names.split(",") if names else list(QUICK)


def parameters() -> list[object]:
    """The storages of this run as parameters of a fixture; those that are servers are marked."""
    return [
        name if name in IN_PROCESS else pytest.param(name, marks=pytest.mark.integration)
        for name in chosen()
    ]


def make_backend(name: str, tmp_path: Path, resource: Callable[[str], Any]) -> Backend:
    """A backend over an empty location of its own.

    ``resource`` gives a session's fixture by name, so that a server starts only when needed.
    """
    storage = STORAGES[name](tmp_path, resource)
    if name.startswith("generic-"):
        return GenericBackend(storage, Conf(spool_dir=str(tmp_path / "spool")))
    return factory_for(storage)(storage)


def _memory(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    from django.core.files.storage import InMemoryStorage

    return InMemoryStorage()


def _filesystem(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    from django.core.files.storage import FileSystemStorage

    return FileSystemStorage(location=tmp_path / "storage")


def _real_s3(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    bucket = real_bucket()
    assert bucket is not None, "TEST_SERVER says how to reach the server"
    return s3_storage(bucket)


def real_bucket() -> S3Bucket | None:
    """A bucket of the real S3 server of this run, if there is one."""
    if not REAL_S3 & set(chosen()):
        return None
    return S3Bucket(**json.loads(os.environ["TEST_SERVER"]))


def _moto(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    return s3_storage(resource("moto_bucket"))


@dataclass(frozen=True)
class S3Bucket:
    """Where a bucket is and how to get in."""

    name: str
    endpoint_url: str
    ca: str
    access_key: str = "test"
    secret_key: str = "test"
    region: str = "us-east-1"


class _OneSession(S3Storage):  # type: ignore[misc]
    """Reading boto3's service model takes 0.3 s: once for all tests."""

    sessions: ClassVar[dict[str, Any]] = {}

    def _create_session(self) -> Any:
        if self.access_key not in self.sessions:
            self.sessions[self.access_key] = super()._create_session()
        return self.sessions[self.access_key]


def s3_storage(bucket: S3Bucket, **options: Any) -> Any:
    """An ``S3Storage`` over an empty location of its own."""
    values: dict[str, Any] = {
        "bucket_name": bucket.name,
        "endpoint_url": bucket.endpoint_url,
        "verify": bucket.ca,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
        "region_name": bucket.region,
        "addressing_style": "path",
        "location": fresh_location(),
    }
    return _OneSession(**{**values, **options})


def _gcs(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    from securedrop_ftp.storage.gcs.endpoint import GoogleCloudStorageAt

    return GoogleCloudStorageAt(
        bucket_name="contract", custom_endpoint=resource("gcs_emulator"), location=fresh_location()
    )


def _azurite(tmp_path: Path, resource: Callable[[str], Any]) -> Any:
    from storages.backends.azure_storage import AzureStorage

    return AzureStorage(
        azure_container="contract",
        connection_string=os.environ["TEST_SERVER"],
        location=fresh_location(),
    )


def fresh_location() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


STORAGES: dict[str, Callable[[Path, Callable[[str], Any]], Any]] = {
    "memory": _memory,
    "filesystem": _filesystem,
    "generic-memory": _memory,
    "generic-files": _filesystem,
    "moto": _moto,
    "gcs": _gcs,
    "azurite": _azurite,
    **dict.fromkeys(REAL_S3, _real_s3),
}
