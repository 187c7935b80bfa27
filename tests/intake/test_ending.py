"""What is told of an own upload whose client was cut off after its last byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import NotFound, OutcomeUnknown
from securedrop_ftp.models import OverwritePolicy
from securedrop_ftp.storage.protocol import Backend
from tests.intake.faults import FaultyBackend
from tests.intake.house import House
from tests.intake.test_naming import in_the_midst
from tests.storage import servers
from tests.storage.conftest import gcs_emulator, moto_bucket, s3_bucket

__all__ = ["gcs_emulator", "moto_bucket", "s3_bucket"]

pytestmark = pytest.mark.integration


@pytest.fixture(params=["filesystem", "moto"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = servers.make_backend(request.param, tmp_path, request.getfixturevalue)
    yield made
    made.close()


@pytest.mark.parametrize("policy", ["replace", "version"])
def test_one_that_is_being_published_is_waited_for(
    house: House, alice: Principal, policy: str
) -> None:
    alice = replace(alice, overwrite=OverwritePolicy(policy))
    meaning = house.intake.meaning

    def look() -> tuple[bool, int | None]:
        meant = meaning.seen_unless_ending(alice, "/a")
        ending = meant.suspended is not None and meant.suspended.ending
        with pytest.raises(NotFound):  # whole or nothing
            meaning.seen(alice, "/a")
        return ending, meaning.length_before_its_end(alice, "/a")

    seen = in_the_midst("publishing.after", look)
    house.upload(alice, "/a", b"whole")
    assert seen == [(True, 0)]
    assert meaning.length_before_its_end(alice, "/a") is None
    assert meaning.seen(alice, "/a").entry.size == len(b"whole")


def test_one_whose_outcome_is_pending_is_told_to_be_nothing_at_once(
    house: House, alice: Principal
) -> None:
    faulty: Any = FaultyBackend(house.backend)
    faulty.fail("put_object", error=OutcomeUnknown("no answer"))
    with pytest.raises(OutcomeUnknown):
        House(faulty).upload(alice, "/a", b"whole")
    assert house.intake.meaning.length_before_its_end(alice, "/a") is None
    with pytest.raises(NotFound):
        house.intake.meaning.seen_unless_ending(alice, "/a")
