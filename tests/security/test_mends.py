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
from tests.security.mends import Mend
from tests.security.mends.advisories import LESSONS
from tests.security.mends.table import MENDS, ROWS

PAGE = ROOT / "docs" / "reference" / "security-bar.md"


def each_mend() -> list[object]:
    return [pytest.param(mend, id=f"{mend.of}: {mend.attack}") for mend in MENDS]


@pytest.mark.parametrize("mend", each_mend())
def test_what_a_mend_takes_out_stands_once_in_the_source_and_leaves_python(mend: Mend) -> None:
    texts = {cut.path: (ROOT / cut.path).read_text() for cut in mend.cuts}
    for cut in mend.cuts:
        assert texts[cut.path].count(cut.old) == 1, (cut.path, cut.old)
        texts[cut.path] = texts[cut.path].replace(cut.old, cut.new)
    for text in texts.values():
        ast.parse(text)


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
