"""What the client is told when storage fails: something, and never that the file is there."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

import pytest

from tests.clients import FtpsClient
from tests.faults.test_bad_endings import ENDINGS, await_one_row
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import BucketStore, DirectoryStore

MIB = 1024 * 1024

Fault = Callable[[ServedFtps, str], AbstractContextManager[None]]

#: Seconds for a reply; the client's own time-out is longer.
SOON = 10


def directory_of(ftps: ServedFtps) -> Path:
    assert isinstance(ftps.store, DirectoryStore)
    return ftps.store.path


@contextmanager
def in_the_way(ftps: ServedFtps, path: str) -> Iterator[None]:
    """A directory comes to be where the file is to go: publishing it fails."""
    (directory_of(ftps) / f"acme{path}").mkdir(parents=True)
    yield


@contextmanager
def disk_full(ftps: ServedFtps, path: str) -> Iterator[None]:
    """No file may grow beyond a kilobyte."""
    (worker,) = ftps.workers
    prlimit(worker, RLIMIT_FSIZE, (1024, RLIM_INFINITY))
    try:
        yield
    finally:
        prlimit(worker, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))


def test_row_1_a_file_that_storage_does_not_take_is_never_acknowledged(ftps: ServedFtps) -> None:
    path = "/blocked.bin"
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd(f"STOR {path}") as data, in_the_way(ftps, path):
            data.sendall(b"not to be stored")
            data.unwrap()  # type: ignore[attr-defined]  # the data channel is a TLS socket
        reply = client.final_reply()
        assert reply[0] in "45", reply
    assert await_one_row(ftps, path, 0) == "upload.aborted"
    assert "committed" not in {r["state"] for r in ftps.uploads() if r["path"] == path}


@pytest.mark.parametrize("fault", [in_the_way, disk_full])
@pytest.mark.parametrize("size", [100_000, 9 * MIB])
def test_row_10_whatever_fails_in_an_upload_there_is_one_reply(
    served: Serve, fault: Fault, size: int
) -> None:
    ftps = served()
    ftps.faults_expected = True  # the log may not grow either
    path = "/failing.bin"
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        assert client.sock is not None
        client.sock.settimeout(SOON)
        with client.transfercmd(f"STOR {path}") as data, fault(ftps, path):
            with contextlib.suppress(OSError):  # it may have been told already
                data.sendall(bytes(size))
                data.unwrap()  # type: ignore[attr-defined]
            assert client.final_reply()[0] in "45"
        assert client.reply_to("NOOP").startswith("200")
        assert client.upload("/afterwards.bin", b"fine").startswith("226")
    wait_until(lambda: len(endings_of(ftps, path)) == 1, "the audit row")
    assert endings_of(ftps, path) != ["upload.committed"]


def endings_of(ftps: ServedFtps, path: str) -> list[str]:
    return [r["event"] for r in ftps.audit() if r["path"] == path and r["event"] in ENDINGS]


def test_row_15_an_upload_that_is_given_up_leaves_no_multipart_upload_behind(
    served: Serve,
) -> None:
    ftps = served("sqlite", "s3")
    assert isinstance(ftps.store, BucketStore)
    ftps.query(
        "UPDATE securedrop_ftp_partner SET max_file_size = %s WHERE name = %s", 17 * MIB, "acme"
    )
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /orphan.bin") as data:
            data.sendall(bytes(16 * MIB))
            wait_until(lambda: ftps.store.unfinished() == 1, "the multipart upload")
            with contextlib.suppress(OSError):
                data.sendall(bytes(2 * MIB))
        assert client.final_reply().startswith("552")
        assert await_one_row(ftps, "/orphan.bin", 0) == "upload.aborted"
        assert ftps.store.unfinished() == 0


def test_row_15_an_object_that_vanishes_under_a_download_leaves_the_session(
    standing: Serve,
) -> None:
    ftps = standing("sqlite", "s3")
    assert isinstance(ftps.store, BucketStore)
    with ftps.login() as client:
        client.upload("/vanishing.bin", bytes(MIB))
        client.voidcmd("TYPE I")
        address = client.makepasv()
        client.putcmd("RETR /vanishing.bin")
        assert client.final_reply().startswith("150")
        s3 = ftps.store.server.client()
        s3.delete_object(Bucket=ftps.store.bucket, Key="acme/vanishing.bin")
        with contextlib.suppress(OSError), data_channel(client, address) as data:
            assert data.recv(65536) == b""
        assert client.final_reply()[0] in "45"
        assert client.sendcmd("NOOP").startswith("200")


def data_channel(client: FtpsClient, address: tuple[str, int]) -> ssl.SSLSocket:
    """Connect to a passive port as :meth:`FtpsClient.ntransfercmd` does."""
    control = client.sock
    assert isinstance(control, ssl.SSLSocket)
    return client.context.wrap_socket(
        socket.create_connection(address, timeout=20),
        server_hostname=client.host,
        session=control.session,
    )
