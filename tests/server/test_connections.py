"""Connection caps hold across processes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from securedrop_ftp.server.connections import SETTLED, ConnectionTable
from securedrop_ftp.server.handover import Inheritance


def opened(table: ConnectionTable, worker: int, address: str, **caps: int) -> int:
    connection_id = table.open(worker, address, **({"per_ip": 9, "total": 99} | caps))
    assert isinstance(connection_id, int), connection_id
    return connection_id


def logged_in(table: ConnectionTable, worker: int, address: str, **caps: int) -> int:
    connection_id = opened(table, worker, address, **caps)
    assert table.assign(connection_id, 7, limit=99) == ""
    return connection_id


def test_an_address_gets_no_more_than_its_cap_from_all_workers() -> None:
    table = ConnectionTable(workers=2, slots=10)
    slots = [table.open(i % 2, "192.0.2.1", per_ip=3, total=20) for i in range(4)]
    assert [type(s) for s in slots] == [int, int, int, str]
    assert slots[3] == "address"
    assert isinstance(table.open(0, "192.0.2.2", per_ip=3, total=20), int)


def test_the_addresses_of_one_ipv6_network_share_a_cap() -> None:
    table = ConnectionTable(workers=1, slots=10)
    addresses = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:0:9::", "2001:db8:0:1::1", "::1"]
    slots = [table.open(0, address, per_ip=2, total=10) for address in addresses]
    assert [type(s) for s in slots] == [int, int, str, int, int]
    assert isinstance(table.open(0, "::2", per_ip=2, total=10), int)
    assert table.open(0, "::3", per_ip=2, total=10) == "address"


def test_an_ipv4_address_is_one_however_it_is_written() -> None:
    table = ConnectionTable(workers=1, slots=10)
    assert isinstance(table.open(0, "192.0.2.1", per_ip=1, total=9), int)
    assert table.open(0, "::ffff:192.0.2.1", per_ip=1, total=9) == "address"


def test_an_address_is_counted_on_either_side_of_slots_that_are_free() -> None:
    table = ConnectionTable(workers=2, slots=10)
    for worker in (0, 1):
        slots = [table.open(worker, "192.0.2.1", per_ip=9, total=20) for _ in range(3)]
        assert isinstance(slots[1], int)
        table.release(slots[1])
    assert isinstance(table.open(0, "192.0.2.1", per_ip=5, total=20), int)
    assert table.open(0, "192.0.2.1", per_ip=5, total=20) == "address"


def test_the_total_holds_for_all_addresses() -> None:
    table = ConnectionTable(workers=1, slots=10)
    first = logged_in(table, 0, "2001:db8::1", total=1)
    assert table.open(0, "2001:db8::2", per_ip=9, total=1) == "total"
    table.release(first)
    assert isinstance(table.open(0, "2001:db8::2", per_ip=9, total=1), int)


def test_a_released_slot_is_free_again_for_address_and_partner() -> None:
    table = ConnectionTable(workers=1, slots=2)
    connection_id = table.open(0, "192.0.2.1", per_ip=1, total=2)
    assert isinstance(connection_id, int)
    assert table.assign(connection_id, 7, limit=1) == ""
    table.release(connection_id)
    again = table.open(0, "192.0.2.1", per_ip=1, total=2)
    assert isinstance(again, int)
    assert table.assign(again, 7, limit=1) == ""


def test_a_partner_gets_no_more_sessions_than_its_limit() -> None:
    table = ConnectionTable(workers=2, slots=4)
    for worker, expected in ((0, ""), (1, ""), (0, "sessions")):
        connection_id = table.open(worker, f"192.0.2.{worker + 1}", per_ip=9, total=8)
        assert isinstance(connection_id, int)
        assert table.assign(connection_id, 7, limit=2) == expected


@pytest.mark.integration
def test_what_a_dead_worker_held_is_given_back_and_its_lock_too() -> None:
    table = ConnectionTable(workers=2, slots=4)
    pid = os.fork()
    if not pid:
        table.open(1, "192.0.2.1", per_ip=9, total=8)
        with table._lock.held():
            os._exit(0)
    os.waitpid(pid, 0)
    assert table.count() == 1
    table.clear_worker(1)
    assert table.count() == 0


def test_the_worker_with_more_connections_than_another_is_busier() -> None:
    table = ConnectionTable(workers=3, slots=4)
    assert not table.is_busier(0)
    connection_id = table.open(0, "192.0.2.1", per_ip=9, total=9)
    assert isinstance(connection_id, int)
    assert table.is_busier(0)
    assert not table.is_busier(1)
    table.release(connection_id)
    assert not table.is_busier(0)


def test_the_stranger_that_came_first_makes_room_in_whatever_worker_it_is() -> None:
    table = ConnectionTable(workers=2, slots=10)
    first = opened(table, 1, "192.0.2.1", total=4)
    others = [opened(table, n % 2, f"192.0.2.{n + 2}", total=4) for n in range(2)]
    assert table.leaving(0) == table.leaving(1) == []
    newcomer = opened(table, 0, "192.0.2.9", total=4)
    assert (table.leaving(0), table.leaving(1)) == ([], [first])
    assert table.assign(first, 7, limit=9) == "gone"
    table.release(first)
    assert table.leaving(1) == []
    assert [table.assign(connection_id, 7, limit=9) for connection_id in (*others, newcomer)] == [
        ""
    ] * 3


def test_nobody_who_has_logged_in_makes_room() -> None:
    table = ConnectionTable(workers=1, slots=10)
    partners = [logged_in(table, 0, f"192.0.2.{n}", total=4) for n in range(3)]
    stranger = opened(table, 0, "192.0.2.7", total=4)
    partners.append(logged_in(table, 0, "192.0.2.8", total=4))
    assert table.leaving(0) == [stranger]
    table.release(stranger)
    assert table.open(0, "192.0.2.9", per_ip=9, total=4) == "total"
    assert table.leaving(0) == []


def test_strangers_never_hold_the_last_quarter() -> None:
    table = ConnectionTable(workers=1, slots=20)
    for number in range(20):
        opened(table, 0, f"192.0.2.{number}", total=8)
        for connection_id in table.leaving(0):
            table.release(connection_id)
    assert table.count() == 6


def test_an_address_makes_room_among_its_own_where_one_has_been_silent_for_long() -> None:
    now = [1_000_000_000]
    table = ConnectionTable(workers=1, slots=10, clock=lambda: now[0])
    silent = opened(table, 0, "192.0.2.1", per_ip=2)
    now[0] += 1
    logged_in(table, 0, "192.0.2.1", per_ip=2)
    assert table.open(0, "192.0.2.1", per_ip=2, total=99) == "address"
    now[0] += int(SETTLED * 1e9)
    assert isinstance(table.open(0, "192.0.2.1", per_ip=2, total=99), int)
    assert table.leaving(0) == [silent]
    assert table.open(0, "192.0.2.1", per_ip=2, total=99) == "address"


def test_a_late_word_of_a_connection_that_is_gone_changes_nothing_of_the_next() -> None:
    table = ConnectionTable(workers=1, slots=1)
    gone = opened(table, 0, "192.0.2.1")
    table.release(gone)
    following = opened(table, 0, "192.0.2.2")
    assert table.assign(gone, 7, limit=9) == "gone"
    table.release(gone)
    assert table.count() == 1
    assert table.assign(following, 7, limit=9) == ""


def two_generations(**options: Any) -> tuple[ConnectionTable, ConnectionTable]:
    """Tables of one memory, with a bank each."""
    first = Inheritance()
    old = ConnectionTable(2, 4, banks=2, bank=0, inheritance=first, **options)
    second = Inheritance({name: os.dup(number) for name, number in first.kept.items()})
    return old, ConnectionTable(2, 4, banks=2, bank=1, inheritance=second, **options)


def test_caps_count_the_connections_of_both_generations() -> None:
    old, new = two_generations()
    connection_id = old.open(1, "192.0.2.1", per_ip=2, total=9)
    assert isinstance(connection_id, int)
    assert old.assign(connection_id, 7, 1) == ""
    other = new.open(0, "192.0.2.1", per_ip=2, total=9)
    assert isinstance(other, int)
    assert new.open(0, "192.0.2.1", per_ip=2, total=9) == "address"
    assert new.assign(other, 7, 1) == "sessions"
    assert new.count() == 2
    assert not new.is_busier(1)  # the other generation's workers accept no more
    new.clear_bank(0)
    assert new.assign(other, 7, 1) == ""


def test_a_stranger_of_the_other_generation_gives_way_without_a_bell() -> None:
    now = [0]
    old, new = two_generations(clock=lambda: now[0])
    now[0] = 1
    first = old.open(0, "192.0.2.1", per_ip=1, total=9)
    now[0] = int(20e9)
    assert isinstance(new.open(0, "192.0.2.1", per_ip=1, total=9), int)
    assert old.leaving(0) == [first]
    assert new.leaving(0) == []


def test_a_generation_that_takes_a_bank_finds_it_empty_and_another_layout_is_not_shared() -> None:
    old, _ = two_generations()
    old.open(0, "192.0.2.1", per_ip=2, total=9)
    inheritance = Inheritance()
    ConnectionTable(2, 4, banks=2, inheritance=inheritance)
    (name,) = inheritance.kept
    later = Inheritance({name: os.dup(old._fd)})
    assert ConnectionTable(2, 4, banks=2, bank=0, inheritance=later).count() == 0
    beside = Inheritance({name: os.dup(old._fd)})
    ConnectionTable(3, 4, banks=2, inheritance=beside)
    assert list(beside.found) == [name]
    beside.close_rest()


def test_workers_of_all_generations_have_numbers_of_their_own() -> None:
    numbers = [table.number_of(worker) for table in two_generations() for worker in (0, 1)]
    assert numbers == [0, 1, 2, 3]
