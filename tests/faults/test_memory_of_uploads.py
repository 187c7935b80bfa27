"""Buffers are returned, not collected: with the garbage collector off a worker needs no more memory
than ``WORKER_MEMORY`` says, however long the upload."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients import FtpsClient
from tests.fixtures.served import Serve, ServedFtps

MIB = 1024 * 1024
BUDGET = 64 * MIB

#: Beside buffers: what OpenSSL, the client of the object store and the allocator keep.
BESIDE = 48 * MIB


def peak(ftps: ServedFtps) -> int:
    """The most resident memory that its worker ever had, bytes (proc_pid_status(5))."""
    (worker,) = ftps.workers
    for line in Path(f"/proc/{worker}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def uncollected(served: Serve, storage: str) -> ServedFtps:
    ftps = served(
        "sqlite",
        storage,
        options={
            "worker_memory": BUDGET,
            "upload_memory": BUDGET // 2,
            "read_range": 4 * MIB,
            "storage_timeout": 500,  # moto takes its time to join 48 parts of 8 MiB
        },
        env={"DJANGO_SETTINGS_MODULE": "tests.fixtures.uncollected_settings"},
    )
    with ftps.login() as client:  # what is made once
        assert client.upload("first.bin", os.urandom(24 * MIB)).startswith("226")
        client.download("first.bin")
    return ftps


def send(client: FtpsClient, name: str, block: bytes, count: int, *, whole: bool) -> str:
    client.voidcmd("TYPE I")
    with client.transfercmd(f"STOR {name}") as channel:
        for _ in range(count):
            channel.sendall(block)
        if whole:
            channel.unwrap()  # type: ignore[attr-defined]
    return client.final_reply()


@pytest.mark.parametrize("storage", ["filesystem", "s3"])
def test_row_51_a_long_upload_and_aborted_ones_stay_within_the_workers_memory(
    served: Serve, storage: str
) -> None:
    ftps = uncollected(served, storage)
    before = peak(ftps)
    block = os.urandom(MIB)
    with ftps.login() as client:
        assert send(client, "long.bin", block, 384, whole=True).startswith("226")
        for number in range(6):
            reply = send(client, f"cut-{number}.bin", block, 40, whole=False)
            assert reply.startswith("426")
    assert peak(ftps) - before < BUDGET + BESIDE


@pytest.mark.parametrize(("storage", "size"), [("filesystem", 768 * MIB), ("s3", 96 * MIB)])
def test_row_51_long_downloads_stay_within_the_workers_memory(
    served: Serve, storage: str, size: int
) -> None:
    ftps = uncollected(served, storage)
    ftps.store.put("acme/long.bin", bytes(size))
    before = peak(ftps)
    with ftps.login() as client:
        client.retrbinary("RETR long.bin", lambda _: None)
    assert peak(ftps) - before < BUDGET + BESIDE
