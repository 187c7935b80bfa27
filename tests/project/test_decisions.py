"""Every decision says since when it holds, and the list is in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT

DECISIONS = sorted((ROOT / "docs" / "adr").glob("0*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_number_and_a_dated_status(page: Path) -> None:
    title, _, status, *_ = page.read_text().splitlines()
    assert title.startswith(f"# {int(page.name[:4])}. ")
    dates = r"\(20\d\d-\d\d-\d\d(, last changed 20\d\d-\d\d-\d\d)?\)"
    assert re.match(rf"Status: (accepted|superseded by \d+) {dates}", status), status


def test_no_two_decisions_have_one_number() -> None:
    numbers = [page.name[:4] for page in DECISIONS]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
