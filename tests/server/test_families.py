"""The table of who may resume whose TLS session."""

from __future__ import annotations

import os

from securedrop_ftp.ftps.kinship import MAX_FAMILY, Member
from securedrop_ftp.server.families import Families
from securedrop_ftp.tls.openssl import new_sid

HERE = "192.0.2.7"


def join(
    families: Families, slot: int, account: int = 0, address: str = HERE, page: int = 0
) -> bytes:
    """A connection in a slot of its own; its sid."""
    member = Member(page, new_sid())
    families.join(slot, address, member)
    if account:
        families.prove(slot, account)
    return member.sid


def sids(families: Families, slot: int) -> list[bytes]:
    return [member.sid for member in families.of(slot)]


def test_a_family_is_one_account_at_one_exact_address_and_who_may_be_about_to_log_in() -> None:
    families = Families(2, 20)
    sibling, own, stranger = join(families, 3, 7), join(families, 1, 7), join(families, 25)
    elsewhere = join(families, 30, 7, "192.0.2.8")
    join(families, 31, 8)
    assert sids(families, 1) == [own, sibling, stranger]
    assert [member.proved for member in families.of(1)] == [True, True, False]
    assert sids(families, 30) == [elsewhere]
    assert sids(families, 25) == []  # not logged in: it has no data channels
    assert sids(families, 9) == []


def test_neighbours_in_one_ipv6_network_are_no_family_and_spellings_of_one_address_are() -> None:
    families = Families(1, 20)
    one = join(families, 0, 7, "2001:db8::1")
    join(families, 1, 7, "2001:db8::2")
    assert sids(families, 0) == [one]
    mapped, plain = join(families, 2, 7, "::ffff:192.0.2.7"), join(families, 3, 7, HERE)
    assert sids(families, 2) == [mapped, plain]


def test_who_has_left_and_who_died_is_gone_at_once() -> None:
    families = Families(2, 20)
    own, other = join(families, 0, 7), join(families, 20, 7)
    assert sids(families, 0) == [own, other]
    families.clear_worker(1)
    assert sids(families, 0) == [own]
    families.leave(0)
    assert sids(families, 0) == []


def test_the_next_one_in_a_slot_has_nothing_of_the_one_before() -> None:
    families = Families(1, 4)
    join(families, 0, 7)
    own = join(families, 1, 7)
    families.leave(0)
    late = join(families, 0)
    assert [(member.sid, member.proved) for member in families.of(1)] == [
        (own, True),
        (late, False),
    ]


def test_a_session_is_kept_whole_or_not_at_all() -> None:
    families = Families(1, 4)
    member = Member(0, new_sid(), session_id=os.urandom(32), session=os.urandom(200))
    families.join(0, HERE, member)
    families.prove(0, 7)
    (kept,) = families.of(0)
    assert (kept.session_id, kept.session) == (member.session_id, member.session)
    families.join(0, HERE, Member(0, new_sid(), session_id=os.urandom(32), session=bytes(300)))
    families.prove(0, 7)
    (kept,) = families.of(0)
    assert (kept.session_id, kept.session) == (b"", b"")


def test_a_crowd_at_one_address_costs_a_bounded_number_of_tries() -> None:
    families = Families(1, 200)
    own = join(families, 150, 7)
    for slot in range(100):
        join(families, slot)
    found = sids(families, 150)
    assert found[0] == own
    assert len(found) == MAX_FAMILY


def test_the_oldest_page_is_that_of_a_live_connection() -> None:
    families = Families(1, 4)
    assert families.oldest_page() is None
    join(families, 0, page=3)
    join(families, 1, page=1)
    assert families.oldest_page() == 1
    families.leave(1)
    assert families.oldest_page() == 3
