"""Connection caps hold across processes."""

from __future__ import annotations

import os

from securedrop_ftp.server.connections import ConnectionTable


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
    assert isinstance(table.open(0, "2001:db8::1", per_ip=9, total=1), int)
    assert table.open(0, "2001:db8::2", per_ip=9, total=1) == "total"


def test_a_released_slot_is_free_again_for_address_and_partner() -> None:
    table = ConnectionTable(workers=1, slots=2)
    slot = table.open(0, "192.0.2.1", per_ip=1, total=2)
    assert isinstance(slot, int)
    assert table.assign(slot, 7, limit=1)
    table.release(slot)
    again = table.open(0, "192.0.2.1", per_ip=1, total=2)
    assert isinstance(again, int)
    assert table.assign(again, 7, limit=1)


def test_a_partner_gets_no_more_sessions_than_its_limit() -> None:
    table = ConnectionTable(workers=2, slots=4)
    for worker, expected in ((0, True), (1, True), (0, False)):
        slot = table.open(worker, f"192.0.2.{worker + 1}", per_ip=9, total=8)
        assert isinstance(slot, int)
        assert table.assign(slot, 7, limit=2) is expected


def test_what_a_dead_worker_held_is_given_back_and_its_lock_too() -> None:
    table = ConnectionTable(workers=2, slots=4)
    pid = os.fork()
    if not pid:
        table.open(1, "192.0.2.1", per_ip=9, total=8)
        with table._locked():
            os._exit(0)
    os.waitpid(pid, 0)
    assert table.count() == 1
    table.clear_worker(1)
    assert table.count() == 0


def test_the_worker_with_more_connections_than_another_is_busier() -> None:
    table = ConnectionTable(workers=3, slots=4)
    assert not table.is_busier(0)
    slot = table.open(0, "192.0.2.1", per_ip=9, total=9)
    assert isinstance(slot, int)
    assert table.is_busier(0)
    assert not table.is_busier(1)
    table.release(slot)
    assert not table.is_busier(0)
