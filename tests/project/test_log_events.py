"""Log events are stable dotted names with fields, and the reference lists them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT

PACKAGE = ROOT / "securedrop_ftp"
PAGE = (ROOT / "docs" / "reference" / "log.md").read_text()
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})

ROWS = re.findall(r"^\| `([a-z_.]+)` \| (\w+) \|", PAGE, re.MULTILINE)


def events_of(path: Path) -> Iterator[tuple[str, str]]:
    """``(event, level)`` of each call of the module's logger; what is no text is ``""``."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="logger"), attr=level), args=[first, *_]
            ) if level in LEVELS:
                text = first.value if isinstance(first, ast.Constant) else ""
                yield (text if isinstance(text, str) else ""), level


FILES = sorted(path for path in PACKAGE.rglob("*.py") if any(events_of(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_event_is_a_dotted_name_that_the_reference_lists_with_its_level(path: Path) -> None:
    for event, level in events_of(path):
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", event), f"{path}: {event!r}"
        assert (event, "error" if level == "exception" else level) in ROWS


def test_the_reference_lists_each_event_once_in_order() -> None:
    assert sorted(set(ROWS)) == ROWS
