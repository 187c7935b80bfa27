"""The reference pages and the code name the same settings and the same checks."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

from docs import settings_tables
from securedrop_ftp.checks import values
from securedrop_ftp.conf import Conf, settings_of
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

NAMES = re.findall(r"^\| `SECUREDROP_(\w+)`", SETTINGS_PAGE, re.MULTILINE)


def test_every_variable_is_in_the_reference_once_and_no_other() -> None:
    assert sorted(NAMES) == sorted({f.name.upper() for f in fields(Conf)} | PROJECT_VARIABLES)


def test_the_lines_of_the_reference_are_written_from_the_fields() -> None:
    assert settings_tables.rendered(SETTINGS_PAGE) == SETTINGS_PAGE, "run make format"


def test_every_number_has_a_range_and_every_setting_its_words() -> None:
    settings = settings_of()
    assert {f.name for f in fields(Conf) if f.type in ("int", "float")} == {
        name for name, setting in settings.items() if setting.least is not None
    }
    assert all(setting.help_text for setting in settings.values())


def test_every_default_is_within_its_range() -> None:
    assert list(values.value_problems({})) == []


def test_every_check_is_in_the_reference_and_no_other() -> None:
    source = "".join(p.read_text() for p in Path(ROOT / "securedrop_ftp/checks").glob("*.py"))
    identifier = r"securedrop\.[EW]\d{3}"
    used = set(re.findall(rf'(?:id=|^    )"({identifier})"', source, re.MULTILINE))
    assert used == set(re.findall(rf"^\| `({identifier})` \|", CHECKS_PAGE, re.MULTILINE))
