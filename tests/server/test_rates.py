"""Login rates hold across processes and are forgotten with the minute."""

from __future__ import annotations

import os

import pytest

from securedrop_ftp.ftps.runtime import Refused
from securedrop_ftp.server.handover import Inheritance
from securedrop_ftp.server.rates import AddressRates, Place


def test_an_address_gets_its_limit_in_a_minute_and_no_more() -> None:
    now = [600.0]
    rates = AddressRates(clock=lambda: now[0])
    assert [rates.allow("192.0.2.1", 3) for _ in range(5)] == [True] * 3 + [False] * 2
    assert rates.allow("192.0.2.2", 3)
    now[0] += 60
    assert rates.allow("192.0.2.1", 3)


def test_the_addresses_of_one_ipv6_network_share_a_limit() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    allowed = [rates.allow(f"2001:db8::{number:x}", 3) for number in range(5)]
    assert allowed == [True] * 3 + [False] * 2
    assert rates.allow("2001:db8:0:1::", 3)


@pytest.mark.integration
def test_counts_are_shared_by_processes() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    pid = os.fork()
    if not pid:
        rates.allow("192.0.2.1", 2)
        rates.allow("192.0.2.1", 2)
        os._exit(0)
    os.waitpid(pid, 0)
    assert not rates.allow("192.0.2.1", 2)


def test_a_crowd_of_addresses_does_not_shut_one_out() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    for number in range(20_000):
        assert rates.allow(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
    assert rates.allow("192.0.2.1", 1)


def test_no_limit_means_none() -> None:
    rates = AddressRates()
    assert all(rates.allow("192.0.2.1", 0) for _ in range(100))


def taken(rates: AddressRates, limit: int) -> Place:
    place = rates.take("192.0.2.1", limit)
    assert isinstance(place, Place)
    return place


def test_what_proves_to_be_good_counts_no_more() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    for _ in range(20):
        rates.give_back(taken(rates, 2))
    for _ in range(2):
        rates.failed(taken(rates, 2))
    assert rates.take("192.0.2.1", 2) is Refused.NOW


def test_while_a_check_goes_on_the_next_one_waits_and_is_not_refused() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    rates.failed(taken(rates, 2))
    last = taken(rates, 2)
    assert rates.take("192.0.2.1", 2) is Refused.WAIT
    rates.failed(last)
    assert rates.take("192.0.2.1", 2) is Refused.NOW


def test_one_that_began_in_the_minute_before_takes_nothing_from_this_one() -> None:
    now = [600.0]
    rates = AddressRates(clock=lambda: now[0])
    before = taken(rates, 1)
    now[0] += 60
    rates.failed(taken(rates, 1))
    rates.give_back(before)
    assert rates.take("192.0.2.1", 1) is Refused.NOW


def test_a_connection_that_brings_a_good_login_is_forgiven() -> None:
    rates = AddressRates(clock=lambda: 600.0)
    for _ in range(10):
        assert rates.allow("192.0.2.1", 1)
        rates.forgive("192.0.2.1")
    assert rates.allow("192.0.2.1", 1)
    assert not rates.allow("192.0.2.1", 1)


def test_what_was_counted_holds_in_the_next_generation() -> None:
    first = Inheritance()
    rates = AddressRates(clock=lambda: 600.0, name="logins", inheritance=first)
    assert rates.allow("192.0.2.1", 1)
    second = Inheritance({name: os.dup(number) for name, number in first.kept.items()})
    later = AddressRates(clock=lambda: 600.0, name="logins", inheritance=second)
    assert not later.allow("192.0.2.1", 1)
    assert later.allow("192.0.2.2", 1)
