"""One upload fed by a thread that may block."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.engine.pools import FairPool
from securedrop_ftp.engine.uploads import BlockingUpload, OpenUploads
from securedrop_ftp.exceptions import (
    AccessUnavailable,
    Cancelled,
    StorageUnavailable,
    TooLarge,
    Truncated,
)
from securedrop_ftp.ftps.answers import FTPS
from securedrop_ftp.intake.buffers import Claim
from securedrop_ftp.intake.service import Intake, UploadRequest, UploadStream
from securedrop_ftp.models import Upload
from securedrop_ftp.storage.memory import MemoryBackend
from tests.intake.house import CONF, make_principal, stored

DATA = bytes(range(256)) * 1024
SMALL = replace(CONF, worker_memory=128 * KIB)  # two parts


@dataclass
class Room:
    """An intake with a pool of its own."""

    principal: Principal
    backend: MemoryBackend = field(default_factory=MemoryBackend)
    pool: FairPool = field(default_factory=lambda: FairPool("t", 2, 2))
    uploads: OpenUploads = field(default_factory=OpenUploads)

    def __post_init__(self) -> None:
        self.intake = Intake(
            SMALL,
            submit=self.pool.run,
            writer=None,
            backend_for=lambda alias: self.backend,
            owner="here:process:boot:0.0",
        )

    def open(self, path: str, patience: float = 60.0, **changes: object) -> BlockingUpload:
        who = replace(self.principal, **changes)  # type: ignore[arg-type]
        key = f"{who.root}{path[1:]}"
        request = UploadRequest(who, "s1", "192.0.2.7", path, key, FTPS)
        return self.uploads.open(lambda: self._begin(request), patience)

    def _begin(self, request: UploadRequest) -> Future[UploadStream]:
        admission: Future[UploadStream] = Future()
        admission.set_result(self.intake.begin(request))
        return admission

    def open_later(self, path: str, go: threading.Event) -> BlockingUpload:
        """Its admission takes until ``go``."""
        key = f"{self.principal.root}{path[1:]}"
        request = UploadRequest(self.principal, "s1", "192.0.2.7", path, key, FTPS)

        def begin() -> UploadStream:
            go.wait(60)
            return self.intake.begin(request)

        return self.uploads.open(lambda: self.pool.submit("t", begin), 60.0)

    def state(self, path: str) -> tuple[str, str]:
        row = Upload.objects.get(path=path)
        return row.state, row.reason.partition(":")[0]

    def take_all_memory(self) -> Claim:
        """For another partner, until it is given back."""
        claim = Claim("other", 128 * KIB, old=0, last=True, on_grant=lambda: None)
        claim.buffer = self.intake.budget.claim(claim)
        return claim

    def give_back(self, claim: Claim) -> None:
        self.intake.budget.withdraw(claim)


@pytest.fixture
def room(transactional_db: None) -> Iterator[Room]:
    room = Room(make_principal())
    yield room
    room.pool.close(20)
    assert room.intake.budget.used == 0
    assert room.intake.live == 0


def in_thread(function: object, *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_what_is_written_and_committed_is_stored(room: Room) -> None:
    with room.open("/a") as upload:
        for at in range(0, len(DATA), 10_007):
            upload.write(DATA[at : at + 10_007])
        assert upload.received == len(DATA)
        receipt = upload.commit()
    assert receipt.sha256 == hashlib.sha256(DATA).hexdigest()
    assert stored(room.backend, "acme/a") == DATA
    assert room.state("/a")[0] == "committed"


def test_a_write_waits_for_a_buffer_and_goes_on_when_one_is_free(room: Room) -> None:
    held = room.take_all_memory()
    upload = room.open("/a")
    writer = in_thread(upload.write, b"x")
    writer.join(0.2)
    assert writer.is_alive()
    room.give_back(held)
    writer.join(20)
    assert not writer.is_alive()
    upload.commit()
    assert stored(room.backend, "acme/a") == b"x"


def test_a_write_that_waits_too_long_settles_the_upload(room: Room) -> None:
    held = room.take_all_memory()
    with pytest.raises(StorageUnavailable, match="no buffer"), room.open("/a", 0.05) as upload:
        upload.write(b"x")
    assert room.state("/a") == ("aborted", "StorageUnavailable")
    room.give_back(held)


def fail_within(upload: BlockingUpload, error: Exception) -> None:
    with upload:
        upload.write(b"x")
        raise error


def test_who_leaves_without_a_commit_has_stored_nothing(room: Room) -> None:
    with room.open("/a") as upload:
        upload.write(b"x")
    assert room.state("/a") == ("aborted", "Cancelled")
    with pytest.raises(ValueError, match="ours"):
        fail_within(room.open("/b"), ValueError("ours"))
    assert room.state("/b") == ("aborted", "Cancelled")
    with pytest.raises(Truncated):
        fail_within(room.open("/c"), Truncated())
    assert room.state("/c") == ("aborted", "Truncated")
    assert [stored(room.backend, f"acme/{name}") for name in "abc"] == [None] * 3


def test_whole_parts_of_an_upload_that_is_cut_are_kept(room: Room) -> None:
    with room.open("/a") as upload:
        upload.write(DATA)
        upload.cancel(Truncated())
    assert room.state("/a") == ("suspended", "Truncated")
    assert stored(room.backend, "acme/a") is None


def test_a_cancel_from_elsewhere_wakes_who_waits(room: Room) -> None:
    held = room.take_all_memory()
    upload = room.open("/a")
    raised: list[Exception] = []

    def write() -> None:
        try:
            upload.write(b"x")
        except Cancelled as exc:
            raised.append(exc)

    writer = in_thread(write)
    writer.join(0.1)
    room.uploads.cancel_all(60.0)
    writer.join(20)
    assert len(raised) == 1
    with pytest.raises(Cancelled):
        upload.commit()
    room.give_back(held)
    assert room.state("/a") == ("aborted", "Cancelled")


def test_the_end_of_the_service_leaves_what_is_being_committed(room: Room) -> None:
    upload = room.open("/a")
    upload.write(b"x")
    release = threading.Event()
    for _ in range(2):
        room.pool.submit("busy", release.wait, 20)
    committer = in_thread(upload.commit)
    committer.join(0.1)
    room.uploads.cancel_all(60.0)
    release.set()
    committer.join(20)
    assert stored(room.backend, "acme/a") == b"x"


def test_the_end_of_the_service_waits_for_admissions_and_cancels_them(room: Room) -> None:
    go, told = threading.Event(), list[Exception]()

    def admit() -> None:
        try:
            room.open_later("/late.bin", go)
        except AccessUnavailable as exc:
            told.append(exc)

    admitting = in_thread(admit)
    while not room.uploads._admissions:
        pass
    ending = in_thread(room.uploads.cancel_all, 60.0)
    while not room.uploads.ended:
        pass
    with pytest.raises(AccessUnavailable):
        room.open("/refused.bin")
    assert ending.is_alive()
    go.set()
    ending.join(60)
    admitting.join(60)
    assert len(told) == 1
    room.pool.close(20)
    assert room.state("/late.bin") == ("aborted", "Cancelled")


def test_an_upload_that_its_caller_forgot_is_cancelled(room: Room) -> None:
    room.open("/a").write(b"x")
    gc.collect()
    room.uploads.cancel_abandoned()
    room.pool.close(20)
    assert room.state("/a") == ("aborted", "Cancelled")


def test_a_file_beyond_the_limit_is_refused_in_its_midst(room: Room) -> None:
    upload = room.open("/a", max_file_size=1000)
    upload.write(b"x" * 1001)
    with pytest.raises(TooLarge):
        upload.write(b"x")
    assert room.state("/a")[0] == "aborted"
    upload = room.open("/b")
    upload.write(b"x" * 1000)
    upload.narrow(999)
    with pytest.raises(TooLarge):
        upload.commit()
    assert room.state("/b")[0] == "aborted"
