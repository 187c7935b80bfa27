"""A bit that flips on the way to storage, inside TLS: never a 226, nothing at the name."""

from __future__ import annotations

import ftplib
import os
from collections.abc import Iterator

import pytest

from tests.clients import FtpsClient
from tests.faults.behind import BehindProxy, through_tls
from tests.faults.proxy import FaultProxy
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import MotoServer
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import BucketStore

MIB = 1024 * 1024
OLD = b"the good old bytes"


@pytest.fixture
def proxy(moto_server: MotoServer, certificates: Certificates) -> Iterator[FaultProxy]:
    tls = through_tls(certificates)
    with FaultProxy(moto_server.port, faults=("corrupt",), tls=tls, corrupt_from=4096) as made:
        yield made


@pytest.fixture
def ftps(served: Serve, moto_server: MotoServer, proxy: FaultProxy) -> ServedFtps:
    bucket = BucketStore(moto_server, moto_server.bucket())
    made = served(workers=1, start=False, options={"part_size": 5 * MIB})
    made.store = BehindProxy(bucket, moto_server.client(), proxy.port)
    made.settings["STORAGE_URL"] = made.store.url
    made.extra_environment |= bucket.environment
    made.start()
    return made


def refusal(client: FtpsClient, data: bytes) -> str:
    """The reply to an upload that is not stored; it may come before the last byte is sent."""
    try:
        return client.upload("/a.bin", data)
    except ftplib.error_temp as exc:
        return str(exc)
    except OSError:
        return client.final_reply()


@pytest.mark.parametrize("size", [5000, 11 * MIB], ids=["a small file", "parts"])
def test_damaged_bytes_are_never_acknowledged(
    ftps: ServedFtps, proxy: FaultProxy, size: int
) -> None:
    with ftps.login() as client:
        assert client.upload("/a.bin", OLD).startswith("226")
        proxy.rate = 1.0
        assert refusal(client, os.urandom(size)).startswith("451")
        assert ftps.store.read("acme/a.bin") == OLD
        assert proxy.done["corrupt"] >= 2
        proxy.rate = 0.0
        data = os.urandom(size)
        assert client.upload("/a.bin", data).startswith("226")
    assert ftps.store.read("acme/a.bin") == data
    assert ftps.store.unfinished() == 0
    endings = [r["event"] for r in ftps.audit() if r["path"] == "/a.bin"]
    assert endings == ["upload.committed", "upload.aborted", "upload.committed"]
