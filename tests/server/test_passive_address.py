"""A host name in replies to PASV: looked up again, and never a reason to stop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from securedrop_ftp.conf import Conf
from securedrop_ftp.server.doctor.addresses import addresses
from securedrop_ftp.server.passive_address import PassiveAddress, remembered
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve

NAME = "ftp.example.com"
#: RFC 6761 §6.4: no resolver knows it.
UNKNOWN = "unknown.invalid"


class Resolver:
    """What a resolver says next: addresses, or an error."""

    def __init__(self) -> None:
        self.says: list[str] | Exception = ["192.0.2.1"]
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def looked_up(address: PassiveAddress, now: float) -> str:
    """What is told after a lookup that was due then."""
    address.check(now, 60.0)
    address.wait()
    return address.address


def test_a_name_is_looked_up_again_and_the_new_address_told(tmp_path: Path) -> None:
    resolver = Resolver()
    address = PassiveAddress(tmp_path, resolver)
    address.follow(NAME)
    assert looked_up(address, 0.0) == "192.0.2.1"
    resolver.says = ["192.0.2.2"]
    assert looked_up(address, 59.0) == "192.0.2.1"
    assert looked_up(address, 61.0) == "192.0.2.2"
    assert resolver.asked == [NAME, NAME]


@pytest.mark.parametrize("failure", [OSError("try again"), UnicodeError("label too long"), []])
def test_the_last_good_answer_is_kept_when_the_resolver_fails(
    tmp_path: Path, failure: list[str] | Exception
) -> None:
    resolver = Resolver()
    address = PassiveAddress(tmp_path, resolver)
    address.follow(NAME)
    looked_up(address, 0.0)
    resolver.says = failure
    assert looked_up(address, 61.0) == "192.0.2.1"
    again = PassiveAddress(tmp_path, resolver)  # a worker that starts again
    again.follow(NAME)
    assert looked_up(again, 0.0) == "192.0.2.1"
    assert remembered(tmp_path, "another.example") == ""


def test_of_several_addresses_one_is_told_as_long_as_it_is_among_them(tmp_path: Path) -> None:
    resolver = Resolver()
    resolver.says = ["192.0.2.5", "192.0.2.6"]
    address = PassiveAddress(tmp_path, resolver)
    address.follow(NAME)
    assert looked_up(address, 0.0) == "192.0.2.5"
    resolver.says = ["192.0.2.1", "192.0.2.5"]
    assert looked_up(address, 61.0) == "192.0.2.5"


def test_an_address_is_told_as_it_is(tmp_path: Path) -> None:
    resolver = Resolver()
    address = PassiveAddress(tmp_path, resolver)
    for setting, told in (("::ffff:192.0.2.9", "192.0.2.9"), ("", "")):
        address.follow(setting)
        assert looked_up(address, 0.0) == told
    assert resolver.asked == []


def test_a_resolver_that_hangs_has_one_thread_and_holds_nobody_up(tmp_path: Path) -> None:
    answer = threading.Event()
    asked: list[str] = []

    def hang(name: str) -> list[str]:
        asked.append(name)
        answer.wait(60)
        return ["192.0.2.3"]

    address = PassiveAddress(tmp_path, hang)
    address.follow(NAME)
    for now in range(0, 600, 61):
        address.check(float(now), 60.0)
    assert address.address == ""
    answer.set()
    wait_until(lambda: address.address == "192.0.2.3", "the answer")
    assert asked == [NAME]


def test_pasv_tells_what_a_name_resolves_to(served: Serve) -> None:
    ftps = served(options={"ftps_passive_address": "localhost"})
    with ftps.login() as client:
        assert "(127,0,0,1," in client.reply_to("PASV")
        assert client.upload("a.bin", b"four").startswith("226")


def test_a_name_that_nobody_knows_refuses_pasv_and_nothing_else(served: Serve) -> None:
    ftps = served(options={"ftps_passive_address": UNKNOWN})
    with ftps.login() as client:
        assert client.reply_to("PASV").startswith("425")
        assert client.reply_to("EPSV").startswith("229")
    assert ftps.log_lines("passive_address.lookup_failed")


def test_clients_inside_are_told_the_address_that_they_reached(served: Serve) -> None:
    ftps = served(
        options={
            "ftps_passive_address": "192.0.2.1",
            "ftps_passive_direct_from": "10.0.0.0/8,127.0.0.2",
        }
    )
    with ftps.login() as client:
        assert "(192,0,2,1," in client.reply_to("PASV")
    with ftps.login(source="127.0.0.2") as client:
        assert "(127,0,0,1," in client.reply_to("PASV")


def test_doctor_says_what_the_name_is(tmp_path: Path) -> None:
    def of(told: str, bind: str = "127.0.0.1:21") -> list[str]:
        conf = Conf(data_dir=tmp_path, ftps_passive_address=told, ftps_bind=bind)
        return [str(finding) for finding in addresses(conf)]

    assert of("") == of("192.0.2.1") == []
    (known,) = of("localhost")
    assert known.startswith("ok")
    assert "localhost is 127.0.0.1 now" in known
    (unknown,) = of(UNKNOWN)
    assert unknown.startswith("problem")
    assert "PASV is refused; EPSV works" in unknown
    assert any(line.startswith("warning") for line in of("127.0.0.1", "0.0.0.0:21"))
