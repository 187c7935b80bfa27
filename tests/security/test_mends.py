"""The table of mends (:mod:`tests.security.mends`) stays true to the source, and leaves no row out.

That each test fails without its mend is what ``make test-mends`` shows; this is only quick.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT
from tests.security.mends import Mend, Seam, StaleError
from tests.security.mends.advisories import LESSONS
from tests.security.mends.table import MENDS, ROWS

pytestmark = pytest.mark.unit  # reads the source only

PAGE = ROOT / "docs" / "reference" / "security-bar.md"


def each_mend() -> list[object]:
    return [pytest.param(mend, id=f"{mend.of}: {mend.attack}") for mend in MENDS]


@pytest.mark.parametrize("mend", each_mend())
def test_what_a_mend_takes_out_stands_in_the_source_and_leaves_python(mend: Mend) -> None:
    for text in mend.made_in(ROOT).values():
        ast.parse(text)


SOURCE = """
import os

LEAST = 3

class Table:
    size: int = 4

    def claim(self, slot):
        \"\"\"Give a place.\"\"\"
        if self.full and not self.make_room():
            return None
        return slot

    def make_room(self):
        return True

    def twice(self):
        os.close(1), os.close(2)
"""


@pytest.mark.parametrize(
    ("seam", "gone", "there"),
    [
        (Seam("x:Table.claim", "return slot"), "make_room()", "Give a place"),
        (Seam("x:Table.claim", "True", call="make_room"), "self.make_room()", "not (True)"),
        (Seam("x:Table.claim", "False", test="full"), "self.full and", "if (False):"),
        (Seam("x:LEAST", "7"), "LEAST = 3", "LEAST = 7"),
        (Seam("x:Table.size", "7"), "size: int = 4", "size: int = 7"),
    ],
)
def test_a_seam_replaces_a_function_a_constant_or_an_expression(
    seam: Seam, gone: str, there: str
) -> None:
    text = seam.made_in(SOURCE)
    ast.parse(text)
    assert gone not in text
    assert there in text
    assert "def make_room" in text


@pytest.mark.parametrize(
    ("seam", "why"),
    [
        (Seam("x:Table.gone", "pass"), "has 0 of the name"),
        (Seam("x:Table", "pass"), "has 0 of the name"),
        (Seam("x:MOST", "2"), "has 0 of the name"),
        (Seam("x:Table.claim", "pass", call="close"), "has 0 calls of close"),
        (Seam("x:Table.twice", "pass", call="close"), "has 2 calls of close"),
        (Seam("x:Table.claim", "True", test="slot"), "has 0 conditions on slot"),
        (Seam("x:Table.claim", "return slots"), "knows nothing called slots"),
    ],
)
def test_a_seam_that_the_source_does_not_have_is_told(seam: Seam, why: str) -> None:
    with pytest.raises(StaleError, match=why):
        seam.made_in(SOURCE)


@lru_cache
def functions_of(path: Path) -> frozenset[str]:
    body = ast.parse(path.read_text()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("mend", each_mend())
def test_the_tests_of_a_mend_exist_and_the_page_names_them(mend: Mend) -> None:
    page = PAGE.read_text()
    assert mend.tests
    for test in mend.tests:
        file, _, name = test.partition("::")
        name = name.partition("[")[0]  # of its parameters
        assert name in functions_of(ROOT / file)
        assert name in page, f"docs/reference/security-bar.md does not name {name}"


def test_every_row_of_the_bar_has_a_mend() -> None:
    rows = [int(n) for n in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)]
    assert rows == sorted(set(rows))
    assert {int(mend.of) for mend in ROWS} == set(rows)


@pytest.mark.parametrize("of", [str(n) for n in range(1, 36)] + list(LESSONS))
def test_every_attack_and_lesson_is_held_by_a_test_of_the_attack(of: str) -> None:
    tests = [test for mend in MENDS if mend.of == of for test in mend.tests]
    assert any(test.startswith(("tests/security/", "tests/faults/")) for test in tests)
