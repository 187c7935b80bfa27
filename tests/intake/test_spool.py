"""Parts beyond what memory allows go over the disk."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB, MIB, Conf
from securedrop_ftp.exceptions import StorageFull, TooLarge, Truncated
from securedrop_ftp.intake.sizes import PartSizes
from securedrop_ftp.intake.spool import MAX_SPOOLED, SpooledPart
from securedrop_ftp.storage.memory import MemoryBackend
from securedrop_ftp.storage.protocol import Capabilities, Part, Partial
from tests.intake.house import CONF, House, rows, states, stored

GIB = 1024 * MIB
PIECE = 64 * KIB
PART = 4 * PIECE  # what 5 parts of at most that many bytes make of 20 pieces
MOST = 5 * PART
DATA = hashlib.shake_256(b"spool").digest(MOST)


class FewParts(MemoryBackend):
    """Takes five parts of an object."""

    capabilities = replace(MemoryBackend.capabilities, max_parts=5)

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def put_part(self, partial: Partial, number: int, offset: int, data: memoryview) -> Part:
        self.sizes.append(len(data))
        return super().put_part(partial, number, offset, data)


@pytest.fixture
def conf(tmp_path: Path) -> Conf:
    return replace(CONF, max_part_size=PIECE, disk_spool=True, spool_dir=str(tmp_path / "spool"))


@pytest.fixture
def house(conf: Conf, db: None) -> House:
    return House(FewParts(), conf=conf)


@pytest.mark.parametrize("size", [PART, PART + 1, 2 * PART, 3 * PART + PIECE, MOST - 1, MOST])
def test_an_object_of_more_than_memory_parts_arrives_whole(
    house: House, alice: Principal, size: int
) -> None:
    stream = house.begin(alice, "/a", announced=MOST)
    house.feed(stream, DATA[:size])
    receipt = house.finish(stream)
    assert stored(house.backend, "acme/a") == DATA[:size]
    assert receipt.sha256 == hashlib.sha256(DATA[:size]).hexdigest()
    assert isinstance(house.backend, FewParts)
    assert set(house.backend.sizes[:-1]) <= {PART}
    assert house.intake.budget.used == 0
    assert not list(Path(house.conf.spool_dir).iterdir())


def test_without_the_spool_such_an_object_is_refused_early(conf: Conf, alice: Principal) -> None:
    house = House(FewParts(), conf=replace(conf, disk_spool=False))
    with pytest.raises(TooLarge):
        house.begin(alice, "/a", announced=MOST)


def test_a_cut_spooled_upload_goes_on_from_its_last_whole_part(
    house: House, alice: Principal
) -> None:
    stream = house.begin(alice, "/a", announced=MOST)
    house.feed(stream, DATA[: 3 * PART + PIECE + 5])
    house.cancel(stream, Truncated())
    seen = house.intake.suspended_for(alice, "/a")
    assert seen is not None
    assert seen.length == 3 * PART
    stream = house.begin(alice, "/a", announced=MOST, offset=seen.length)
    house.feed(stream, DATA[seen.length :])
    assert house.finish(stream).sha256 == hashlib.sha256(DATA).hexdigest()
    assert stored(house.backend, "acme/a") == DATA


def test_no_more_is_read_while_parts_wait_on_disk(house: House, alice: Principal) -> None:
    stream = house.begin(alice, "/a", announced=MOST)
    stream.pipeline._putting = MAX_SPOOLED  # as if storage had not taken them yet
    taken = 0
    while (room := stream.buffer()) is not None:
        count = min(len(room), MOST - taken)
        room[:count] = DATA[taken : taken + count]
        stream.filled(count)
        taken += count
        house.work()
    assert taken <= house.conf.upload_memory
    stream.pipeline._putting = 0
    stream.pipeline._start(stream.pipeline._next())
    house.work()
    house.feed(stream, DATA[taken:])
    house.finish(stream)
    assert stored(house.backend, "acme/a") == DATA


def test_a_full_disk_is_told_and_leaves_nothing(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("securedrop_ftp.intake.spool.tempfile.TemporaryFile", full)
    stream = house.begin(alice, "/a", announced=MOST)
    house.feed(stream, DATA[: 2 * PIECE])
    house.work()
    assert isinstance(stream.error, StorageFull)
    house.cancel(stream, stream.error)
    assert (states(), rows()) == (["aborted"], ["upload.aborted"])
    assert house.intake.budget.used == 0


def test_a_spool_that_cannot_be_closed_keeps_nobody_waiting(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = house.begin(alice, "/a", announced=MOST)
    house.feed(stream, DATA[: 2 * PIECE])
    house.work()

    def broken(part: SpooledPart) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(SpooledPart, "release", broken)
    house.cancel(stream, Truncated())
    assert (states(), rows()) == (["aborted"], ["upload.aborted"])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_pieces_make_their_part_in_whatever_order_they_are_written(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    pieces = [b"a" * 10, b"b" * 10, b"c" * 5]
    part = SpooledPart(tmp_path)
    whole = [part.write(memoryview(pieces[n]), 10 * n, last=n == 2) for n in order]
    assert whole == [False, False, True]
    assert bytes(part.content) == b"".join(pieces)
    part.release()


def test_an_empty_part_has_no_content(tmp_path: Path) -> None:
    assert bytes(SpooledPart(tmp_path).content) == b""


def test_with_the_spool_ten_thousand_parts_take_what_s3_takes() -> None:
    s3 = Capabilities(min_part_size=5 * MIB, max_part_size=5 * GIB, max_object_size=5 * 1024 * GIB)
    sizes = PartSizes(Conf(disk_spool=True), s3, 4 * 1024 * GIB)
    assert sizes.capacity == 10_000 * 512 * MIB
    assert sizes.is_spooled(sizes.first)
    assert not PartSizes(Conf(disk_spool=True), s3, None).is_spooled(48 * MIB)
