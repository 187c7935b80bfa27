"""The table of an upload's moves: what it allows, what it refuses, and who else follows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from securedrop_ftp import clock
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import Cancelled, LeaseLost
from securedrop_ftp.intake import moves, takeover
from securedrop_ftp.intake.ledger import Claim
from securedrop_ftp.intake.phases import (
    MOVES,
    OPEN,
    ROWS,
    STORING,
    TABLE,
    By,
    IllegalMove,
    Parts,
    Phase,
    Story,
    Trigger,
    row_after,
    rows_before,
)
from securedrop_ftp.intake.stored_names import Name
from securedrop_ftp.models import Upload, UploadState
from securedrop_ftp.models.upload import LIVE
from tests.intake.house import House

DOCS = Path(__file__).parents[2] / "docs/explanation/uploads.md"

ENDS = {Phase.COMMITTED, Phase.SUSPENDED, Phase.ABORTED, Phase.LOST}


def walks() -> dict[Phase, tuple[Trigger, ...]]:
    """A shortest way from the admission to each phase."""
    found: dict[Phase, tuple[Trigger, ...]] = {Phase.RECEIVING: ()}
    ahead = [Phase.RECEIVING]
    while ahead:
        phase = ahead.pop(0)
        for (source, trigger), move in TABLE.items():
            if source is phase and move.target not in found:
                found[move.target] = (*found[phase], trigger)
                ahead.append(move.target)
    return found


WALKS = walks()


def after(walk: tuple[Trigger, ...]) -> Story:
    story = Story()
    for trigger in walk:
        story.move(trigger)
    return story


def test_every_phase_is_reached_from_the_first() -> None:
    assert set(WALKS) == set(Phase)


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("phase", Phase)
def test_each_move_is_made_as_the_table_says_or_refused(phase: Phase, trigger: Trigger) -> None:
    story = after(WALKS[phase])
    assert story.phase is phase
    move = TABLE.get((phase, trigger))
    if move is not None:
        assert story.move(trigger) is move
        assert story.phase is move.target
        return
    assert story.offer(trigger, Cancelled()) is None
    with pytest.raises(IllegalMove) as refused:
        story.move(trigger, Cancelled())
    assert str(refused.value) == f"an upload that is {phase.value} does not {trigger.value}"
    assert (story.phase, story.cause) == (phase, None)


def test_no_trigger_leads_to_two_phases_from_one() -> None:
    assert len(TABLE) == sum(len(move.sources) for move in MOVES)


def test_every_phase_leads_to_an_end() -> None:
    leads = set(ENDS)
    for _ in Phase:
        leads |= {source for (source, _), move in TABLE.items() if move.target in leads}
    assert leads == set(Phase)


def test_the_first_cause_is_the_one_that_is_told() -> None:
    story = Story()
    first = LeaseLost()
    story.move(Trigger.FAIL, first)
    story.move(Trigger.GIVE_UP, Cancelled())
    assert story.cause is first


# --- invariants that the table itself keeps -----------------------------------------------


def test_once_its_ending_has_begun_neither_door_nor_parts_move_an_upload() -> None:
    begun = {move.target for move in MOVES if move.trigger is Trigger.DECIDE}
    for _ in Phase:
        begun |= {
            move.target
            for (source, _), move in TABLE.items()
            if source in begun and By.ENDING in move.by
        }
    begun -= {Phase.SUSPENDED}  # its owner may go on, under another epoch
    for (source, _), move in TABLE.items():
        if source in begun:
            assert By.DOOR not in move.by
            assert By.PARTS not in move.by


def test_nothing_is_committed_before_its_write_ahead_row_or_an_earlier_one() -> None:
    commits = [(s, m.trigger) for (s, _), m in TABLE.items() if m.target is Phase.COMMITTED]
    for source, trigger in commits:
        assert trigger is Trigger.ANSWER or ROWS[source] == (UploadState.PUBLISHING,)
    ahead = [move.trigger for (_, _), move in TABLE.items() if move.target is Phase.PUBLISHING]
    assert ahead == [Trigger.WRITE_AHEAD]


def test_an_unknown_outcome_stays_publishing_until_recovery_or_the_ledger_tells() -> None:
    leaving = {trigger for source, trigger in TABLE if source is Phase.PENDING}
    assert ROWS[Phase.PENDING] == (UploadState.PUBLISHING,)
    assert leaving == {
        Trigger.COMMIT,
        Trigger.RETIRE,
        Trigger.RETIRE_KEEPING,
        Trigger.TAKE_OVER,
    }


def test_parts_go_to_storage_in_the_phases_that_store() -> None:
    for move in MOVES:
        if move.parts is Parts.STORE:
            assert move.target in STORING
        if move.parts is Parts.DROP:
            assert move.target not in STORING
    assert Phase.FAILED in OPEN - STORING
    assert len(OPEN - STORING) == 1


# --- the ledger follows ----------------------------------------------------------------------


def test_the_ledgers_states_follow_from_the_phases() -> None:
    found = {
        (before, later)
        for (source, _), move in TABLE.items()
        for before in ROWS[source]
        for later in ROWS[move.target]
        if before != later and len(ROWS[move.target]) == 1
    }
    receiving, publishing, suspended = (
        UploadState.RECEIVING,
        UploadState.PUBLISHING,
        UploadState.SUSPENDED,
    )
    assert found == {
        (receiving, publishing),
        (receiving, UploadState.COMMITTED),  # answered from an earlier row
        (publishing, UploadState.COMMITTED),
        (receiving, suspended),
        (publishing, suspended),
        (receiving, UploadState.ABORTED),
        (publishing, UploadState.ABORTED),
        (suspended, receiving),
        (suspended, UploadState.ABORTED),
    }
    assert rows_before(Trigger.RETIRE) == LIVE


NAME = Name("default", "acme/a")


def _event(name: str) -> Event:
    return Event(name, outcome="failure", partner="acme", size=1, sha256="")


def _retire(row: Upload, *, resumable: bool) -> bool:
    return takeover.retire(row, resumable=resumable, reason="", reply="") is not None


def _written(trigger: Trigger, row: Upload) -> Callable[[], Any]:
    """The ledger's job of a trigger; its answer is true where the row was changed."""
    claim = Claim(row.pk, row.epoch)
    now = clock.now()
    jobs: dict[Trigger, Callable[[], Any]] = {
        Trigger.WRITE_AHEAD: partial(
            moves.mark_publishing,
            claim,
            [],
            name=NAME,
            size=1,
            sha256="",
            digest_source="stream",
            sealed="",
            lease_until=now,
        ),
        Trigger.COMMIT: lambda: (
            moves.mark_committed(claim, _event("upload.committed"), name=NAME) == []
        ),
        Trigger.SUSPEND: partial(
            moves.mark_suspended,
            claim,
            _event("upload.suspended"),
            [],
            received=1,
            states=None,
            sealed="",
        ),
        Trigger.ABORT: partial(moves.mark_aborted, claim, _event("upload.aborted")),
        Trigger.RETIRE: partial(_retire, row, resumable=False),
        Trigger.TAKE_OVER: partial(takeover.take_over, claim, owner="here:boot:2", lease_until=now),
        Trigger.DISCARD: partial(takeover.discard_suspended, row, "unwanted"),
    }
    return jobs[trigger]


WRITTEN = (
    Trigger.WRITE_AHEAD,
    Trigger.COMMIT,
    Trigger.SUSPEND,
    Trigger.ABORT,
    Trigger.RETIRE,
    Trigger.TAKE_OVER,
    Trigger.DISCARD,
)


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("trigger", WRITTEN)
def test_the_ledger_writes_a_move_where_the_table_has_it_and_nowhere_else(
    house: House, alice: Principal, trigger: Trigger, state: UploadState
) -> None:
    stream = house.begin(alice, "/a")
    Upload.objects.update(state=state)
    row = Upload.objects.select_related("partner").get(pk=stream.upload_id)
    allowed = (
        rows_before(trigger, Trigger.ANSWER)
        if trigger is Trigger.COMMIT
        else (rows_before(trigger))
    )
    assert bool(_written(trigger, row)()) == (state in allowed)
    row.refresh_from_db()
    assert row.state == (row_after(trigger) if state in allowed else state)


# --- the docs --------------------------------------------------------------------------------


def documented() -> list[tuple[str, ...]]:
    """The rows of the docs' table."""
    text = DOCS.read_text().partition("## Phases")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [tuple(re.sub(r"\s+", " ", cell).strip() for cell in row) for row in rows][1:]


def test_the_table_in_the_docs_is_the_table_in_the_code() -> None:
    assert documented() == [
        (
            ", ".join(source.value for source in move.sources),
            move.trigger.value,
            ", ".join(by.value for by in move.by),
            move.target.value,
            ", ".join(ROWS[move.target]) or "the new owner's",
            move.parts.value,
        )
        for move in MOVES
    ]
