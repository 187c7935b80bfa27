"""What holds each row of the security bar, and how it is taken out again.

A test that passes is worth something only if it fails where the attack would succeed. Each
:class:`Mend` names what stands against an attack (all layers of it, where there are several), what
the service does without, and the tests that must fail then. ``make test-mends`` tries them all in
a copy of the tree (:mod:`tests.security.mends.run`); :mod:`tests.security.test_mends` sees to it
that the table stays true to the source.

A mend is bound to the source at **seams**: a function or a constant with a name; inside a function
a call by its name, or a condition by a name that it asks (:class:`Seam`). A seam bears any change
of the code around it. :class:`Cut`
quotes a snippet of source, and has to follow every change of it: use it only where no function
could have a name.
"""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.processes import ROOT


class StaleError(Exception):
    """The source has no longer what a mend names, or has it twice."""


@dataclass(frozen=True)
class Cut:
    """In ``file`` (below ``securedrop_ftp/``) ``old`` stands exactly once and becomes ``new``."""

    file: str
    old: str
    new: str

    @property
    def path(self) -> str:
        return f"securedrop_ftp/{self.file}"

    def made_in(self, text: str) -> str:
        """The file's text without what the cut takes out.

        Raises :class:`StaleError` where ``old`` does not stand there exactly once.
        """
        if (count := text.count(self.old)) != 1:
            raise StaleError(f"{self.path} has this {count} times, not once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Seam:
    """The function or constant ``name``, or one expression in it, as it is without.

    ``name`` is a module below ``securedrop_ftp`` and, after a colon, a function's qualified name
    (``ftps.wire:Line.has_control_characters``) or a constant's (``access.names:LONGEST``).
    ``becomes`` is the body that the function has instead (its docstring stays), as
    ``return False``, or the constant's value. Two forms leave the function as it is otherwise, and
    give another value to one expression in it:

    - ``call``, the last part of a called name: the only call of it, as
      ``Seam("server.connections:ConnectionTable.open", "True", call="make_room")``;
    - ``test``, a name that a condition asks (of ``if``, ``elif``, ``while``, a conditional
      expression or a comprehension): the only condition with that name in it, as
      ``Seam("access.login:_bar", "False", test="is_staff")``.
    """

    name: str
    becomes: str
    call: str = ""
    test: str = ""

    @property
    def path(self) -> str:
        module = Path("securedrop_ftp", *self.name.partition(":")[0].split("."))
        package = module / "__init__.py"
        return str(package if (ROOT / package).is_file() else module.with_suffix(".py"))

    def made_in(self, text: str) -> str:
        """The file's text with the seam's function or constant as it is without what it holds.

        Raises :class:`StaleError` where the file has nothing of that name, or the function no such
        call or several, or where ``becomes`` uses a name that would not be known there.
        """
        module = ast.parse(text)
        function = self._found(module)
        if isinstance(function, ast.expr):
            return _replaced(text, function, self.becomes)
        if self.call or self.test:
            return _replaced(text, self._expression(function), f"({self.becomes})")
        self._knows_each_name(module, function)
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if not body:
            raise StaleError(f"{self.name} has no body but a docstring")
        lines = text.splitlines(keepends=True)
        first, last = body[0].lineno - 1, body[-1].end_lineno
        new = textwrap.indent(textwrap.dedent(self.becomes).strip("\n"), " " * body[0].col_offset)
        return "".join([*lines[:first], new + "\n", *lines[last:]])

    def _found(self, module: ast.Module) -> ast.FunctionDef | ast.expr:
        """The function, or the value of the constant."""
        bodies = [module.body]
        *outer, last = self.name.partition(":")[2].split(".")
        for part in outer:
            nodes = [node for body in bodies for node in body]
            bodies = [n.body for n in nodes if isinstance(n, _NAMED) and n.name == part]
        found: list[ast.FunctionDef | ast.expr] = []
        for node in (node for body in bodies for node in body):
            match node:
                case ast.FunctionDef(name=name) if name == last:
                    found.append(node)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ) if name == last:
                    found.append(value)
        if len(found) != 1:
            raise StaleError(f"{self.path} has {len(found)} of the name {self.name}, not one")
        return found[0]

    def _expression(self, function: ast.FunctionDef) -> ast.expr:
        if self.call:
            kind, name = "calls of", self.call
            calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
            found: list[ast.expr] = [c for c in calls if _last_part(c.func) == name]
        else:
            kind, name = "conditions on", self.test
            found = [c for c in _conditions(function) if _asks(c, name)]
        if len(found) != 1:
            raise StaleError(f"{self.name} has {len(found)} {kind} {name}, not one")
        return found[0]

    def _knows_each_name(self, module: ast.Module, function: ast.FunctionDef) -> None:
        body = ast.parse(textwrap.dedent(self.becomes))
        used = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
        known = {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and _is_set(n)}
        known |= {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        for node in (*ast.walk(module), *ast.walk(body)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {(a.asname or a.name).partition(".")[0] for a in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Name) and _is_set(node):
                known.add(node.id)
        if unknown := {name for name in used - known if not hasattr(builtins, name)}:
            raise StaleError(f"{self.name} knows nothing called {', '.join(sorted(unknown))}")


_NAMED = (ast.FunctionDef, ast.ClassDef)


def _last_part(called: ast.expr) -> str:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _conditions(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        match node:
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield test
            case ast.comprehension(ifs=tests):
                yield from tests
            case ast.match_case(guard=ast.expr() as test):
                yield test


def _asks(condition: ast.expr, name: str) -> bool:
    names = (_last_part(node) for node in ast.walk(condition) if isinstance(node, ast.expr))
    return name in names


def _is_set(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _replaced(text: str, node: ast.expr, new: str) -> str:
    lines = text.encode().splitlines(keepends=True)  # columns are counted in bytes
    end_line, end = node.end_lineno or 0, node.end_col_offset or 0
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[end_line - 1][end:] + b"".join(lines[end_line:])
    return (before + new.encode() + after).decode()


@dataclass(frozen=True)
class Mend:
    """``of`` is a row's number, or an advisory's id or subject. Each of ``tests`` fails, by
    itself, when all ``cuts`` are made."""

    of: str
    attack: str
    cuts: tuple[Cut | Seam, ...]
    tests: tuple[str, ...]

    def made_in(self, tree: Path) -> dict[str, str]:
        """The texts, by path below ``tree``, of all files that the mend is taken out of.

        Raises :class:`StaleError` where the source does not have what a cut names.
        """
        texts: dict[str, str] = {}
        for cut in self.cuts:
            before = texts.get(cut.path) or (tree / cut.path).read_text()
            texts[cut.path] = cut.made_in(before)
        return texts


def never(file: str, condition: str) -> Cut:
    """The ``if`` (or ``elif``) of that condition is never true."""
    return Cut(file, f"if {condition}:", "if False:")


#: The service starts although its TLS library does not do what it needs: the layer that stands
#: before some guards of :mod:`securedrop_ftp.tls`.
NO_SELF_TEST = Seam("tls.self_test:self_test", "return None")
