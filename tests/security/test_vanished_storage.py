"""A storage folder whose disk is not mounted: what stands in its place takes nothing.

The disk is taken away by renaming the folder; what is left is an empty directory, as a mount point
without its disk is, or none at all.
"""

from __future__ import annotations

import ftplib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients import FtpsClient
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import DirectoryStore

MIB = 1024 * 1024


def folder_of(ftps: ServedFtps) -> Path:
    assert isinstance(ftps.store, DirectoryStore)
    return ftps.store.path


@contextmanager
def unmounted(ftps: ServedFtps, *, mount_point: bool = True) -> Iterator[Path]:
    """While the block runs the folder is away; gives what is there instead. At the end it must
    hold what it held at first: nothing."""
    path = folder_of(ftps)
    away = path.with_name("away")
    path.rename(away)
    if mount_point:
        path.mkdir()
    yield path
    if mount_point:
        assert list(path.iterdir()) == []
        path.rmdir()
    assert not path.exists()
    away.rename(path)


def refused(client: FtpsClient, name: str) -> None:
    with pytest.raises(ftplib.error_temp, match=r"^451 Storage is not available"):
        client.upload(name, b"lost?")


@pytest.mark.parametrize("mount_point", [True, False], ids=["empty", "none"])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_row_49_a_folder_that_vanishes_while_the_service_runs_takes_nothing(
    served: Serve, database: str, mount_point: bool
) -> None:
    ftps = served(database)
    with ftps.login() as client, ftps.login("carol") as other:
        assert client.upload("before.txt", b"one").startswith("226")
        with unmounted(ftps, mount_point=mount_point):
            for line in ("SIZE before.txt", "MLST before.txt", "MKD made", "DELE before.txt"):
                assert client.reply_to(line).startswith("451"), line
            assert client.reply_to("RNFR before.txt").startswith("451")
            for session, name in ((client, "after.txt"), (client, "in/x.txt"), (other, "y.txt")):
                refused(session, name)
            with ftps.login() as late:  # its worker has seen the folder before
                refused(late, "late.txt")
        assert client.upload("after.txt", b"two").startswith("226")
        assert client.reply_to("SIZE before.txt") == "213 3"
        assert other.upload("y.txt", b"three").startswith("226")
    assert ftps.keys() == ["acme/after.txt", "acme/before.txt", "initech/y.txt"]
    assert [row["outcome"] for row in ftps.audit("upload.rejected")] == ["failure"] * 4
    (lost,) = ftps.log_lines("storage.lost")
    assert "is its disk mounted?" in lost["reason"]
    assert len(ftps.log_lines("storage.back")) == 1


def test_row_49_an_upload_in_whose_midst_the_folder_vanishes_is_not_acknowledged(
    served: Serve,
) -> None:
    ftps = served(options={"part_size": MIB})
    data = os.urandom(12 * MIB)
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        channel = client.transfercmd("STOR large.bin")
        with channel:
            channel.sendall(data[: 6 * MIB])
            wait_until(lambda: ftps.uploads()[0]["received"] >= MIB, "the first parts")
            with unmounted(ftps):
                with_error = ""
                try:
                    channel.sendall(data[6 * MIB :])
                    assert isinstance(channel, ssl.SSLSocket)
                    channel.unwrap()
                except OSError as exc:  # it was told before we had sent everything
                    with_error = str(exc)
                assert client.final_reply().startswith("451"), with_error
    row = wait_for_end(ftps)
    assert row["state"] in ("suspended", "aborted")
    assert ftps.keys() == []
    with ftps.login() as client:
        assert client.upload("large.bin", data).startswith("226")
    assert ftps.stored("acme/large.bin") == data


def wait_for_end(ftps: ServedFtps) -> dict[str, object]:
    wait_until(lambda: ftps.uploads()[0]["state"] != "receiving", "the end of the upload")
    return ftps.uploads()[0]


def test_row_49_the_service_does_not_start_on_an_empty_folder_until_it_is_adopted(
    served: Serve,
) -> None:
    ftps = served()
    with ftps.login() as client:
        assert client.upload("before.txt", b"one").startswith("226")
    ftps.stop()
    with unmounted(ftps):
        with pytest.raises(RuntimeError, match="Is its disk mounted"):
            ftps.start()
        told = ftps.manage("doctor", check=False)
        assert "problem  storage: “default” cannot be used:" in told
        assert "doctor --adopt-storage default" in told
        assert "could not be swept" in ftps.manage("uploads_prune", check=False)
    ftps.start().stop()  # it is mounted again

    folder = folder_of(ftps)
    folder.rename(folder.with_name("old"))
    with pytest.raises(RuntimeError, match="Is its disk mounted"):
        ftps.start()
    assert not folder.exists()
    assert str(folder) in ftps.manage("doctor", "--adopt-storage", "default")
    ftps.start()
    with ftps.login() as client:
        assert client.upload("new.txt", b"two").startswith("226")
    assert ftps.keys() == ["acme/new.txt"]
    (adopted,) = ftps.audit("storage.adopted")
    assert adopted["path"] == str(folder)


def test_row_49_another_disk_in_its_place_is_seen(served: Serve) -> None:
    ftps = served()
    with ftps.login() as client:
        assert client.upload("before.txt", b"one").startswith("226")
        with unmounted(ftps, mount_point=False) as path:
            (path / ".securedrop").mkdir(parents=True)
            (path / ".securedrop" / "location").write_text("of another service\n")
            refused(client, "a.txt")
            assert "mounted" in ftps.manage("doctor", check=False)
            (path / ".securedrop" / "location").unlink()
            (path / ".securedrop").rmdir()
            path.rmdir()
        assert client.upload("a.txt", b"x").startswith("226")


def test_row_49_a_folder_restored_without_the_mark_is_known_by_its_files(served: Serve) -> None:
    ftps = served()
    with ftps.login() as client:
        assert client.upload("before.txt", b"one").startswith("226")
    ftps.stop()
    (folder_of(ftps) / ".securedrop" / "location").unlink()
    ftps.start()
    with ftps.login() as client:
        assert client.upload("after.txt", b"two").startswith("226")


def test_row_49_a_service_that_runs_serves_from_what_was_adopted(served: Serve) -> None:
    ftps = served(options={"lease_seconds": 3}, workers=2)
    with ftps.login() as client:
        assert client.upload("before.txt", b"one").startswith("226")
        folder = folder_of(ftps)
        folder.rename(folder.with_name("old"))
        refused(client, "lost.txt")
        ftps.manage("doctor", "--adopt-storage", "default")
        # Once this session's own worker has looked again; another worker may be there before it.
        wait_until(lambda: client.reply_to("MKD made")[:3] in ("257", "550"), "the folder")
        assert client.upload("after.txt", b"two").startswith("226")
    assert ftps.keys() == ["acme/after.txt"]


def test_an_object_store_that_was_switched_is_told(served: Serve) -> None:
    ftps = served("sqlite", "s3")
    with ftps.login() as client:
        assert client.upload("before.txt", b"one").startswith("226")
    ftps.stop()
    (remembered,) = ftps.query("SELECT place FROM securedrop_ftp_storagelocation")
    ftps.query("UPDATE securedrop_ftp_storagelocation SET place = 's3://before/it'")
    ftps.start()
    assert ftps.log_lines("storage.moved")[0]["before"] == "s3://before/it"
    told = ftps.manage("doctor", check=False)
    assert "warning  storage: “default” led to s3://before/it" in told
    ftps.manage("doctor", "--adopt-storage", "default")
    assert ftps.query("SELECT place FROM securedrop_ftp_storagelocation") == [remembered]
    assert "led to" not in ftps.manage("doctor", check=False)
