"""Every test has one kind, and a unit test that starts something is told so."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests import kinds


def item(nodeid: str, fixtures: tuple[str, ...] = (), marks: tuple[str, ...] = ()) -> Any:
    found = [SimpleNamespace(name=mark) for mark in marks]
    return SimpleNamespace(nodeid=nodeid, fixturenames=fixtures, iter_markers=lambda: iter(found))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (item("tests/ftps/test_wire.py::test_a"), "unit"),
        (item("tests/access/test_a.py::test_a", ("db", "postgres")), "integration"),
        (item("tests/ftps/test_a.py::test_a", ("ftps",)), "acceptance"),
        (item("tests/security/test_a.py::test_a"), "acceptance"),
        (item("tests/security/test_a.py::test_a", marks=("unit",)), "unit"),
        (item("tests/a.py::test_a", marks=("integration", "unit")), "integration"),
    ],
)
def test_a_test_is_what_it_says_else_what_it_uses(given: Any, kind: str) -> None:
    assert kinds.kind_of(given) == kind


def test_a_unit_test_that_listens_is_told() -> None:
    with pytest.raises(RuntimeError, match="is a unit test and opened a listening socket"):
        socket.create_server(("127.0.0.1", 0))
    assert "@pytest.mark.integration" in kinds._guard.end()


def test_a_unit_test_that_starts_a_process_is_told_also_where_it_swallows_the_error() -> None:
    try:
        subprocess.run([sys.executable, "-c", ""], check=False)
    except RuntimeError:
        pass
    assert "started a process" in kinds._guard.end()


@pytest.mark.integration
def test_other_tests_may() -> None:
    socket.create_server(("127.0.0.1", 0)).close()
