"""The way of an upload that goes well."""

from __future__ import annotations

import hashlib
import os

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.conf import KIB
from securedrop_ftp.exceptions import TooLarge
from securedrop_ftp.models import AuditEvent, Upload
from tests.intake.house import House, rows, states, stored

PART = 64 * KIB


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 20 * PART + 7])
def test_a_file_of_any_size_is_stored_with_its_digest(
    house: House, alice: Principal, size: int
) -> None:
    data = os.urandom(size)
    receipt = house.upload(alice, "/in/a.bin", data)
    assert stored(house.backend, "acme/in/a.bin") == data
    assert receipt.sha256 == hashlib.sha256(data).hexdigest()
    row = Upload.objects.get()
    assert (row.state, row.size, row.sha256) == ("committed", size, receipt.sha256)
    assert rows() == ["upload.committed"]
    event = AuditEvent.objects.get()
    assert (event.size, event.sha256, event.path) == (size, receipt.sha256, "/in/a.bin")
    assert event.reply.startswith(f"226 Transfer complete; {size} bytes; SHA-256 {receipt.sha256}")
    assert house.intake.budget.used == 0
    assert house.intake.live == 0


def test_the_old_file_stays_until_the_new_one_is_committed(house: House, alice: Principal) -> None:
    house.upload(alice, "/a", b"old")
    stream = house.begin(alice, "/a")
    house.feed(stream, b"new" * PART)
    house.work()
    assert stored(house.backend, "acme/a") == b"old"
    house.finish(stream)
    assert stored(house.backend, "acme/a") == b"new" * PART


def test_a_file_of_exactly_the_largest_size_is_taken(house: House, alice: Principal) -> None:
    from dataclasses import replace

    house.upload(replace(alice, max_file_size=PART + 5), "/a", bytes(PART + 5))
    assert states() == ["committed"]


def test_one_byte_more_than_the_largest_size_is_refused(house: House, alice: Principal) -> None:
    from dataclasses import replace

    stream = house.begin(replace(alice, max_file_size=PART + 5), "/a")
    house.feed(stream, bytes(PART + 6))
    assert isinstance(stream.error, TooLarge)
    house.cancel(stream, stream.error)
    assert stored(house.backend, "acme/a") is None
    assert (states(), rows()) == (["aborted"], ["upload.aborted"])
    assert house.intake.budget.used == 0
