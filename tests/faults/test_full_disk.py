"""A disk that fills up: SQLite, files and spools on one small volume.

The volume is a tmpfs of 64 MiB in a mount namespace of the server's own. Tests look into it through
``/proc/<pid>/root``; SQLite would follow that link, so its rows are read by a program that enters
the namespace.
"""

from __future__ import annotations

import ftplib
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from securedrop_ftp.server.status import read_status
from tests.clients import FtpsClient
from tests.fixtures.processes import ROOT, wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import DirectoryStore

MIB = 1024 * 1024

#: What a ballast has on the volume of these tests.
BALLAST = 8 * MIB

_MOUNT = 'mount -t tmpfs -o size={size} none "$0" && cp -a "$0.seed/." "$0" && exec "$@"'


_QUERY = """
import json, sqlite3, sys
lite = sqlite3.connect(sys.argv[1], timeout=30)
lite.row_factory = sqlite3.Row
print(json.dumps([dict(row) for row in lite.execute(sys.argv[2])], default=repr))
"""


class InItsNamespace(ServedFtps):
    """A server whose database only it sees."""

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", f"--target={self.pid}", "--mount", *user]
        path = str(self.settings["DATABASE_URL"]).removeprefix("sqlite:///")
        done = subprocess.run(
            [*enter, sys.executable, "-c", _QUERY, path, sql],
            capture_output=True,
            text=True,
            check=True,
        )
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


Start = Callable[..., ServedFtps]


@pytest.fixture
def small_disk(served: Serve) -> Iterator[Start]:
    """A server whose database, storage and data directory share such a volume."""
    started: list[ServedFtps] = []

    def start(size: str = "64m", **options: object) -> ServedFtps:
        plain = served(start=False, options=options)
        ftps = InItsNamespace(**{f.name: getattr(plain, f.name) for f in fields(plain)})
        disk, seed = ftps.directory / "disk", ftps.directory / "disk.seed"
        disk.mkdir()
        (seed / "storage").mkdir(parents=True)
        database = Path(ftps.database_url.removeprefix("sqlite:///"))
        database.rename(seed / database.name)
        ftps.settings |= {
            "DATA_DIR": disk / "data",
            "DATABASE_URL": f"sqlite:///{disk}/{database.name}",
            "STORAGE_URL": f"file://{disk}/storage",
        }
        namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-rm"]
        ftps.launcher = [*namespace, "sh", "-c", _MOUNT.format(size=size), str(disk)]
        started.append(ftps.start())
        ftps.store = DirectoryStore(seen_from_outside(ftps, disk / "storage"))
        return ftps

    yield start
    for ftps in started:
        ftps.stop()


def seen_from_outside(ftps: ServedFtps, path: Path) -> Path:
    return Path(f"/proc/{ftps.pid}/root{path}")


def disk_of(ftps: ServedFtps) -> Path:
    return seen_from_outside(ftps, ftps.directory / "disk")


def ballast_of(ftps: ServedFtps) -> Path:
    return disk_of(ftps) / "service.sqlite3.ballast"


def fill(ftps: ServedFtps, name: str) -> None:
    """Write until there is not a byte left, but for the room that the ballast gave back before.

    The server stands still meanwhile: a ballast that it deletes halfway would be room for this
    file too, and nobody can keep that from a disk's other users.
    """
    with standing_still(ftps):
        room = max(0, free(ftps) - (0 if ballast_of(ftps).exists() else BALLAST))
        with (disk_of(ftps) / name).open("wb", buffering=0) as file, suppress(OSError):
            for _ in range(room // MIB):
                file.write(bytes(MIB))
            file.write(bytes(room % MIB))
        assert free(ftps) in (0, BALLAST)


@contextmanager
def standing_still(ftps: ServedFtps) -> Iterator[None]:
    """All of its processes are stopped meanwhile."""
    processes = [ftps.pid, *ftps.generations, *ftps.workers]
    try:
        for pid in processes:
            send_signal(pid, signal.SIGSTOP)
        wait_until(lambda: all(stopped(pid) for pid in processes), "the stop")
        yield
    finally:
        for pid in processes:
            send_signal(pid, signal.SIGCONT)


def send_signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # a child for one job may have ended
        os.kill(pid, number)


def stopped(pid: int) -> bool:
    """Whether each thread of a process is, or the process has ended."""
    process = Path(f"/proc/{pid}")
    try:
        states = [
            (thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in (process / "task").iterdir()
        ]
    except OSError:  # a thread that has just ended
        return not process.exists()
    return set(states) <= {"T", "Z"}


def refused(client: FtpsClient, name: str, data: bytes = b"a few bytes") -> None:
    """An upload that ends with 452, before its first byte or later."""
    reply = ""
    try:
        with client.transfercmd(f"STOR {name}") as channel:
            send(channel, data)
        reply = client.final_reply()
    except ftplib.error_temp as exc:
        reply = str(exc)
    assert reply.startswith("452")


def send(channel: object, data: bytes) -> None:
    assert isinstance(channel, ssl.SSLSocket)
    with suppress(OSError):  # it may be told before we have sent everything
        channel.sendall(data)
        channel.unwrap()


def settled(ftps: ServedFtps) -> bool:
    return all(row["state"] in ("committed", "aborted") for row in ftps.uploads())


def test_row_50_uploads_that_fill_the_disk_are_refused_while_there_is_room_for_rows(
    small_disk: Start,
) -> None:
    ftps = small_disk(part_size=MIB, presence_interval=0.2)
    # Taken aboard later, it could fill for a moment the room that is left below.
    wait_until((disk_of(ftps) / "service.sqlite3.ballast").exists, "the ballast")
    with ftps.login() as client, ftps.login("bob") as other:
        client.voidcmd("TYPE I")
        other.voidcmd("TYPE I")
        for number in range(4):
            assert client.upload(f"{number}.bin", bytes(10 * MIB)).startswith("226")
        refused(client, "large.bin", os.urandom(40 * MIB))
        wait_until(lambda: settled(ftps), "the end of the upload")
        assert ftps.store.unfinished() == 0  # nothing of it is kept to be gone on with
        assert client.upload("small.txt", b"fits").startswith("226")
        client.sendcmd("ALLO 41943040")
        with pytest.raises(ftplib.error_temp, match=r"^452"):
            client.transfercmd("STOR announced.bin")
        (disk_of(ftps) / "others").write_bytes(bytes(free(ftps) - 5 * MIB))
        for _ in range(20):
            refused(client, "no.txt")
            refused(other, "no.txt")
        with ftps.login("carol") as late:
            refused(late, "no.txt")
        assert client.delete("0.bin").startswith("250")
        assert client.upload("room.txt", b"again").startswith("226")
    assert len(ftps.audit("upload.rejected")) == 42
    assert len(ftps.audit("upload.aborted")) == 1
    assert ftps.log_lines("disk.low")
    assert ftps.log_lines("disk.room")


def free(ftps: ServedFtps) -> int:
    found = os.statvfs(disk_of(ftps))
    return found.f_bavail * found.f_frsize


def test_row_50_a_disk_that_somebody_else_fills_stops_uploads_until_there_is_room(
    small_disk: Start,
) -> None:
    ftps = small_disk(part_size=MIB, presence_interval=0.2)
    ftps.faults_expected = True  # the log may say what the database met
    ballast = ballast_of(ftps)
    wait_until(ballast.exists, "the ballast")
    with ftps.login() as client:
        assert client.upload("before.txt", b"kept").startswith("226")
        client.voidcmd("TYPE I")
        channel = client.transfercmd("STOR large.bin")
        with channel:
            channel.sendall(os.urandom(6 * MIB))
            wait_until(lambda: ftps.uploads()[-1]["received"] >= MIB, "the first parts")
            fill(ftps, "others")
            send(channel, os.urandom(8 * MIB))
        assert client.final_reply().startswith("452")
        wait_until(lambda: settled(ftps), "the end of the upload")
        assert ftps.store.unfinished() == 0
        fill(ftps, "the rest")  # what the upload gave back
        for _ in range(10):
            refused(client, "no.txt")
        with ftps.login("bob") as other:
            refused(other, "no.txt")
            for name in ("others", "the rest"):
                (disk_of(ftps) / name).unlink()
            assert other.upload("after.txt", b"room").startswith("226")
        assert client.upload("large.bin", bytes(8 * MIB)).startswith("226")
        wait_until(ballast.exists, "the ballast taken aboard again")
    assert ftps.keys() == ["acme/before.txt", "acme/large.bin", "globex/after.txt"]
    assert len(ftps.audit("upload.rejected")) == 11
    assert len(ftps.audit("upload.aborted")) == 1
    wait_until(lambda: len(ftps.audit("session.closed")) == 2, "the sessions' rows")
    assert len(ftps.audit("login.succeeded")) == 2
    assert not ftps.log_lines("audit.event_lost")


def test_row_50_a_crowd_that_fills_the_disk_at_once_leaves_room_for_what_must_be_written(
    small_disk: Start,
) -> None:
    ftps = small_disk(ftps_workers=2)
    ftps.faults_expected = True

    def one(number: int) -> str:
        with ftps.login() as client:
            client.voidcmd("TYPE I")
            try:
                with client.transfercmd(f"STOR {number}.bin") as channel:
                    send(channel, os.urandom(20 * MIB))
                return client.final_reply()[:3]
            except ftplib.error_temp as exc:
                return str(exc)[:3]

    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(one, range(12)))
    assert set(replies) <= {"226", "452"}
    assert "452" in replies
    wait_until(lambda: settled(ftps), "the end of the uploads")
    stored = [number for number, reply in enumerate(replies) if reply == "226"]
    assert ftps.keys() == sorted(f"acme/{number}.bin" for number in stored)
    assert ftps.store.unfinished() == 0
    with ftps.login() as client:
        for number in stored:
            assert client.delete(f"{number}.bin").startswith("250")
        assert client.upload("after.bin", bytes(20 * MIB)).startswith("226")
    ended = ("upload.committed", "upload.aborted", "upload.rejected")
    assert sum(len(ftps.audit(event)) for event in ended) == 13


def test_row_50_on_a_disk_without_a_free_byte_every_attempt_still_leaves_its_row(
    small_disk: Start,
) -> None:
    ftps = small_disk(presence_interval=0.2)
    ftps.faults_expected = True
    ballast = ballast_of(ftps)
    wait_until(ballast.exists, "the ballast")
    with ftps.login() as client:
        fill(ftps, "others")
        for _ in range(300):
            refused(client, "no.txt")
        with ftps.login("bob") as other:
            refused(other, "no.txt")
        assert not ballast.exists()
        (disk_of(ftps) / "others").unlink()
        assert client.upload("room.txt", b"again").startswith("226")
    assert len(ftps.audit("upload.rejected")) == 301


def test_row_89_a_file_system_that_tells_no_size_is_not_a_full_one(small_disk: Start) -> None:
    ftps = small_disk(size="0")
    told = os.statvfs(disk_of(ftps))
    assert (told.f_blocks, told.f_bavail) == (0, 0)
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        assert client.upload("a.bin", bytes(1000)).startswith("226")
        client.sendcmd("ALLO 1000")
        assert client.upload("b.bin", bytes(1000)).startswith("226")


def refusal(data_dir: Path) -> str:
    """Of the last replacement, as the generation that serves tells it."""
    status = read_status(data_dir)
    assert status is not None
    return status.replacement_refused


_MOUNT_DATA = 'mkdir -p "$0" && mount -t tmpfs -o size=1m none "$0" && exec "$@"'


def test_a_replacement_on_a_full_data_disk_fails_at_once_and_says_what_to_do(
    served: Serve,
) -> None:
    ftps = served(start=False)
    data_dir = Path(str(ftps.settings["DATA_DIR"]))
    root = os.geteuid() == 0
    namespace = ["unshare", "--mount"] if root else ["unshare", "-rm"]
    ftps.launcher = [*namespace, "sh", "-c", _MOUNT_DATA, str(data_dir)]
    ftps.start()
    seen = seen_from_outside(ftps, data_dir)
    generation = ftps.generations
    with (seen / "full").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))

    user = [] if root else ["--user", "--preserve-credentials"]
    enter = ["nsenter", f"--target={ftps.pid}", "--mount", *user]
    command = [sys.executable, str(ROOT / "manage.py"), "ftps_replace"]
    told = subprocess.run(
        [*enter, *command],
        env=ftps.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert told.returncode == 1
    assert "Generation 1 serves on." in told.stderr
    assert "No space left on device. Make room" in told.stderr

    # By the signal alone, as with a command that may not look into the directory.
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: "No space left" in refusal(seen), "the refusal", ftps.child)
    assert "Make room" in refusal(seen)
    assert ftps.generations == generation
    with ftps.login() as client:
        assert client.sendcmd("NOOP").startswith("200")

    (seen / "full").unlink()
    os.kill(ftps.pid, signal.SIGUSR2)
    wait_until(lambda: len(ftps.generations) > 1, "the new one", ftps.child)
    wait_until(lambda: len(ftps.generations) == 1, "the end of the old one", ftps.child)
    assert ftps.generations != generation
    assert refusal(seen) == ""
    assert ftps.stop() == 0
