"""The database takes an attempt's beginning and its answer is lost: one attempt, one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.exceptions import LedgerUnavailable, Truncated
from securedrop_ftp.storage.protocol import Backend
from tests.intake.house import House, rows, states
from tests.intake.test_recovery import BIG


def lose_the_next_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is done and committed; its caller hears that the connection broke."""
    run = house.intake.ledger.run

    def lost(job: Callable[[], Any]) -> Any:
        monkeypatch.undo()
        run(job)
        raise LedgerUnavailable("server closed the connection unexpectedly")

    monkeypatch.setattr(house.intake.ledger, "run", lost)


def test_an_upload_whose_admission_was_not_heard_of_leaves_one_row(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_next_answer(house, monkeypatch)
    with pytest.raises(LedgerUnavailable):
        house.begin(alice, "/a")
    assert (rows(), states()) == (["upload.rejected"], ["receiving"])
    house.intake.recovery.recover(lambda owner: owner == "here:boot:1")
    assert (rows(), states()) == (["upload.rejected"], ["aborted"])


def test_its_client_is_back_before_recovery(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_next_answer(house, monkeypatch)
    with pytest.raises(LedgerUnavailable):
        house.begin(alice, "/a")
    house.upload(alice, "/a", b"again")
    assert rows() == ["upload.rejected", "upload.committed"]


def test_a_resumed_upload_whose_beginning_was_not_heard_of_leaves_one_row(
    house: House, alice: Principal, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = house.begin(alice, "/a")
    house.feed(stream, BIG)
    house.cancel(stream, Truncated())
    seen = house.intake.suspended_for(alice, "/a")
    assert seen is not None
    lose_the_next_answer(house, monkeypatch)
    with pytest.raises(LedgerUnavailable):
        house.begin(alice, "/a", offset=seen.length)
    house.intake.recovery.recover(lambda owner: owner == "here:boot:1")
    assert rows() == ["upload.suspended", "upload.resumed", "upload.rejected"]
    again = house.intake.suspended_for(alice, "/a")
    assert again is not None
