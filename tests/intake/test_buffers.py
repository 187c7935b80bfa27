"""The memory budget: bounded, fair between partners, and never stuck."""

from __future__ import annotations

import random

import pytest

from securedrop_ftp.conf import KIB, MIB, Conf
from securedrop_ftp.intake.buffers import MemoryBudget, PartBuffer, stage_after
from securedrop_ftp.intake.sizes import PartSizes
from securedrop_ftp.storage.protocol import Capabilities

PART = 8 * MIB


def nothing() -> None:
    pass


def fill(buffer: PartBuffer, count: int) -> int:
    """Fill up to ``count`` bytes; how many there was room for."""
    done = 0
    while done < count and not buffer.full:
        room = buffer.room()
        if room is None:
            break
        more = min(len(room), count - done)
        buffer.filled += more
        done += more
    return done


def test_a_buffer_grows_from_64_kib_to_the_part() -> None:
    sizes, size = [], 0
    while size < PART:
        size = stage_after(size, PART)
        sizes.append(size)
    assert sizes == [64 * KIB, 512 * KIB, PART]


def test_growing_keeps_the_bytes() -> None:
    budget = MemoryBudget(64 * MIB)
    buffer = PartBuffer(budget, "acme", PART, nothing)
    data = random.Random(1).randbytes(PART)
    at = 0
    while not buffer.full:
        room = buffer.room()
        assert room is not None
        count = min(len(room), 100_003)
        room[:count] = data[at : at + count]
        buffer.filled += count
        at += count
    assert buffer.content == data
    buffer.release()
    assert budget.used == 0


def test_a_hundred_trickling_uploads_of_one_partner_leave_room_for_another() -> None:
    budget = MemoryBudget(64 * MIB)
    trickles = [PartBuffer(budget, "slow", PART, nothing) for _ in range(100)]
    for buffer in trickles:
        fill(buffer, 600 * KIB)
    assert budget.held("slow") <= budget.limit // 2 + PART
    quick = PartBuffer(budget, "quick", PART, nothing)
    assert fill(quick, PART) == PART
    assert budget.used <= budget.limit


def test_who_waits_is_told_when_memory_is_there() -> None:
    budget = MemoryBudget(16 * MIB)
    told: list[str] = []
    first = PartBuffer(budget, "acme", PART, nothing)
    fill(first, PART)
    second = PartBuffer(budget, "acme", PART, lambda: told.append("second"))
    fill(second, PART)
    assert second.room() is None
    first.release()
    assert told == ["second"]
    assert second.room() is not None
    second.release()
    assert budget.used == 0


def test_memory_that_was_granted_to_one_who_gave_up_goes_to_the_next() -> None:
    budget = MemoryBudget(16 * MIB)
    buffers = [PartBuffer(budget, "acme", PART, nothing) for _ in range(3)]
    for buffer in buffers:
        fill(buffer, PART)
    buffers[0].release()
    buffers[1].release()
    assert fill(buffers[2], PART) + buffers[2].filled >= PART
    buffers[2].release()
    assert budget.used == 0


@pytest.mark.parametrize("seed", range(20))
def test_uploads_that_all_want_more_than_there_is_all_end(seed: int) -> None:
    chance = random.Random(seed)
    budget = MemoryBudget(chance.choice([PART, 3 * PART, 64 * MIB]))
    left = dict.fromkeys(range(chance.randrange(2, 80)), 3)  # parts still to come
    now = {n: PartBuffer(budget, f"p{n % 5}", PART, nothing) for n in left}
    for _ in range(100_000):
        if not left:
            break
        n = chance.choice(list(left))
        fill(now[n], chance.randrange(1, PART))
        if now[n].full:
            now[n].release()
            left[n] -= 1
            now[n] = PartBuffer(budget, f"p{n % 5}", PART, nothing)
            if not left[n]:
                del left[n]
        assert budget.used <= budget.limit + PART
    assert not left
    assert budget.used == 0


# --- sizes ------------------------------------------------------------------------------


def total(sizes: PartSizes) -> int:
    offset = 0
    for _ in range(sizes.max_parts):
        offset += sizes.at(offset)
    return offset


def test_ten_thousand_parts_suffice_for_469_gib_announced_and_452_not() -> None:
    capabilities = Capabilities(min_part_size=5 * MIB)
    most = 10_000 * 48 * MIB
    assert total(PartSizes(Conf(), capabilities, None)) > 451 * 1024 * MIB
    assert total(PartSizes(Conf(), capabilities, most)) == most


def test_large_parts_are_fewer_in_memory() -> None:
    sizes = PartSizes(Conf(), Capabilities(), None)
    assert [sizes.buffers(n * MIB) for n in (8, 16, 24, 48)] == [5, 3, 2, 1]
    assert all(sizes.buffers(n * MIB) * n <= 48 for n in range(8, 49))


def test_part_sizes_are_multiples_of_what_the_backend_wants() -> None:
    sizes = PartSizes(Conf(part_size=1_000_000), Capabilities(part_multiple=256 * KIB), None)
    assert all(sizes.at(n * 10**9) % (256 * KIB) == 0 for n in range(30))
