"""The reference pages and the code name the same settings and the same checks."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from securedrop_ftp.checks import values
from securedrop_ftp.conf import Conf
from tests.fixtures.processes import ROOT

SETTINGS_PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
CHECKS_PAGE = (ROOT / "docs" / "reference" / "checks.md").read_text()

#: Variables that settings.py reads itself, beside the fields of Conf.
PROJECT_VARIABLES = {
    name
    for call in ast.walk(ast.parse((ROOT / "securedrop_ftp/project/settings.py").read_text()))
    if isinstance(call, ast.Call)
    and isinstance(call.func, ast.Attribute)
    and call.func.attr in ("text", "flag")
    and isinstance(call.args[0], ast.Constant)
    and isinstance(name := call.args[0].value, str)
}

ROWS = dict(
    re.findall(r"^\| `SECUREDROP_(\w+)`(?: \*)? \| ([^|]*) \|", SETTINGS_PAGE, re.MULTILINE)
)


def test_every_variable_is_in_the_reference_and_no_other() -> None:
    assert set(ROWS) == {f.name.upper() for f in fields(Conf)} | PROJECT_VARIABLES


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Conf) if isinstance(f.default, int | float) and f.default]
)
def test_the_reference_has_the_default_in_force(name: str) -> None:
    default = getattr(Conf(), name)
    assert ROWS[name.upper()] == f"`{default:g}`" if default < 1e6 else f"`{default}`"


def test_every_number_has_a_range() -> None:
    numbers = {f.name for f in fields(Conf) if f.type in ("int", "float")}
    assert numbers == set(values._RANGES)


def test_every_check_is_in_the_reference_and_no_other() -> None:
    source = "".join(p.read_text() for p in Path(ROOT / "securedrop_ftp/checks").glob("*.py"))
    identifier = r"securedrop\.[EW]\d{3}"
    used = set(re.findall(rf'(?:id=|^    )"({identifier})"', source, re.MULTILINE))
    assert used == set(re.findall(rf"^\| `({identifier})` \|", CHECKS_PAGE, re.MULTILINE))
