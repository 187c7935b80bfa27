"""Public functions say what they are for, in more than three words of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT

PACKAGE = ROOT / "securedrop_ftp"

#: What Django calls by these names is described there; a command is described by its ``help``.
DJANGO = frozenset(
    {
        "add_arguments",
        "expected_parameters",
        "get_changelist",
        "get_changelist_instance",
        "get_fields",
        "get_list_display",
        "get_ordering",
        "get_queryset",
        "get_readonly_fields",
        "handle",
        "has_add_permission",
        "has_change_permission",
        "has_delete_permission",
        "has_output",
        "lookups",
        "queryset",
    }
)

#: What the event loop calls is described by pyftpdlib.
LOOP = frozenset(
    {
        "handle_close",
        "handle_error",
        "handle_read_event",
        "handle_write_event",
        "readable",
        "writable",
    }
)


def public(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods without an underscore, with their qualified names."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield within + node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, f"{within}{node.name}.")


def of_protocols(path: Path) -> frozenset[str]:
    """The methods that the protocols of a module describe for all who implement them."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return frozenset(
        node.name
        for found in classes
        if any(ast.unparse(base) == "Protocol" for base in found.bases)
        for node in found.body
        if isinstance(node, ast.FunctionDef)
    )


DESCRIBED = DJANGO | LOOP | of_protocols(PACKAGE / "storage" / "protocol.py")


def says_little(node: ast.FunctionDef) -> bool:
    if ast.unparse(node.body[-1]) == "..." and len(node.body) == 1:
        return False  # of an interface, whose class describes it
    words = (ast.get_docstring(node) or "").split()
    return len(words) <= 3 or words[0] == "See"


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not str(path.relative_to(PACKAGE)).startswith("migrations/")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_public_function_says_what_it_is_for(path: Path) -> None:
    functions = dict(public(ast.parse(path.read_text()).body))
    silent = [
        name for name, node in functions.items() if node.name not in DESCRIBED and says_little(node)
    ]
    assert not silent
