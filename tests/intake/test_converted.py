"""Uploads of which something else is stored than came (TYPE A): never suspended, and what came is
in ledger and trail, crashes included."""

from __future__ import annotations

import dataclasses
import os

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import BadOffset, TooLarge, Truncated
from securedrop_ftp.intake.receipt import Sent
from securedrop_ftp.intake.steps import STEPS, set_hook
from securedrop_ftp.models import AuditEvent, Upload
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, rows, states, stored
from tests.intake.test_recovery import PART, Crash, crash_at

BIG = os.urandom(3 * PART + 5)
CAME = Sent(size=4 * PART, sha256="5e" * 32)


def send(house: House, alice: Principal, data: bytes) -> None:
    stream = house.begin(alice, "/a", converted=True)
    house.feed(stream, data)
    future = stream.finish(CAME)
    house.work()
    future.result()


def cut(house: House, alice: Principal) -> None:
    stream = house.begin(alice, "/a", converted=True)
    house.feed(stream, BIG)
    house.cancel(stream, Truncated())


def test_what_came_is_in_ledger_and_trail(house: House, alice: Principal) -> None:
    send(house, alice, BIG)
    row = Upload.objects.get()
    assert (row.size, row.sent_size, row.sent_sha256) == (len(BIG), CAME.size, CAME.sha256)
    event = AuditEvent.objects.get(event="upload.committed")
    assert event.details == {"sent_size": CAME.size, "sent_sha256": CAME.sha256}
    assert f"{CAME.size} bytes came under TYPE A" in event.reply


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_nothing_to_go_on_with(
    backend: Backend, alice: Principal, step: str
) -> None:
    dead = House(backend, owner="here:dead:1")
    for act in (send, cut):
        crash_at(step)
        try:
            send(dead, alice, BIG) if act is send else cut(dead, alice)
        except Crash:
            pass
        finally:
            set_hook(None)
            dead.jobs.clear()
        house = House(backend, owner="here:boot:2")
        assert house.intake.suspended_for(alice, "/a") is None
        house.intake.recovery.recover(lambda owner: owner == "here:dead:1")
        assert "suspended" not in states()
        assert "upload.suspended" not in rows()
    for event in AuditEvent.objects.filter(event="upload.committed"):
        assert event.details == {"sent_size": CAME.size, "sent_sha256": CAME.sha256}
        assert stored(backend, "acme/a") == BIG


def test_nobody_goes_on_with_it_while_it_runs(house: House, alice: Principal) -> None:
    house.feed(house.begin(alice, "/a", converted=True), BIG)
    with pytest.raises(BadOffset) as caught:
        house.begin(alice, "/a", offset=PART, session="s2")
    assert caught.value.durable == 0
    house.upload(alice, "/a", b"whole", session="s2")
    assert stored(house.backend, "acme/a") == b"whole"
    assert sorted(rows()) == ["upload.aborted", "upload.committed", "upload.rejected"]


def test_it_goes_on_with_nothing(house: House, alice: Principal) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, BIG)
    house.cancel(stream, Truncated())
    if states() == ["suspended"]:  # its backend holds parts
        with pytest.raises(BadOffset, match="from its first byte"):
            house.begin(alice, "/a", append=True, converted=True)
        assert states() == ["suspended"]


def test_a_limit_is_of_what_is_stored(house: House, alice: Principal) -> None:

    limited = dataclasses.replace(alice, max_file_size=100)
    house.upload(limited, "/a", b"x" * 100, converted=True, announced=200)
    with pytest.raises(TooLarge):
        house.begin(limited, "/a", converted=True, announced=201)
    with pytest.raises(TooLarge):
        house.begin(limited, "/a", announced=101)
