"""Private parts of libraries are touched in one file for each, whose ceiling pyproject.toml has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axes.handlers.database import AxesDatabaseHandler
from django.core.files.storage import storages
from django.db.models.sql import compiler

from securedrop_ftp import prepared
from securedrop_ftp.checks.libraries import library_problems
from securedrop_ftp.exceptions import ConfigurationError
from securedrop_ftp.storage import django_storages
from tests.fixtures.processes import ROOT
from tests.storage.servers import S3Bucket, s3_storage

PACKAGE = ROOT / "securedrop_ftp"

#: The one file for each library, and the packages whose private or undocumented parts it touches.
FILES = {
    "tls/openssl.py": ("pyOpenSSL", "cryptography"),
    "storage/django_storages.py": ("django-storages", "google-cloud-storage"),
    "access/axes_handler.py": ("django-axes",),
    "prepared.py": ("Django",),
    "server/loop.py": ("pyftpdlib",),
    "server/ending.py": (),  # atexit, of Python itself
}
#: Documented, although they begin with an underscore.
DOCUMENTED = frozenset({"_asdict", "_default_manager", "_exit", "_fields", "_meta", "_replace"})
DOCUMENTED |= {"_srcfile", "_state"}  # the first in the logging HOWTO, "Optimization"


def is_private(name: str) -> bool:
    return re.match(r"_[^_]", name) is not None and name not in DOCUMENTED


def defined_in(tree: ast.Module) -> set[str]:
    """Names that the module itself gives to functions, classes, fields and variables."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store())
                | ast.Name(id=name, ctx=ast.Store())
            ):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def touched(tree: ast.Module, ours: set[str]) -> Iterator[tuple[int, str]]:
    """Lines with a private name that is another's. On ``self`` it is when nobody in the package
    (``ours``) defines it, elsewhere when its module does not."""
    local = defined_in(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                foreign = name not in ours
            case ast.Attribute(attr=name):
                foreign = name not in local
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[of, ast.Constant(value=str(name)), *_],
            ):
                foreign = name not in (ours if ast.unparse(of) == "self" else local)
            case ast.ImportFrom(module=str(module), names=names):
                parts = [*module.split("."), *(alias.name for alias in names)]
                name, foreign = next(filter(is_private, parts), ""), True
            case ast.Import(names=names):
                parts = [part for alias in names for part in alias.name.split(".")]
                name, foreign = next(filter(is_private, parts), ""), True
            case _:
                continue
        if foreign and is_private(name):
            yield node.lineno, name


def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
        if "migrations" not in path.parts
    }


def test_private_parts_are_touched_in_the_one_file_for_their_library() -> None:
    trees = modules()
    ours = set().union(*map(defined_in, trees.values()))
    found = [
        f"{name}:{line}: {what}"
        for name, tree in trees.items()
        if name not in FILES
        for line, what in touched(tree, ours)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "connection._ssl",
        "self._of_a_library",
        "from OpenSSL.SSL import _lib",
        "from cryptography.hazmat._oid import x",
        "import _ssl",
        "getattr(SSL, '_ffi', None)",
        "storage._client = None",
    ],
)
def test_the_scan_sees_them(line: str) -> None:
    assert list(touched(ast.parse(line), {"_ours"}))


def test_the_scan_leaves_our_own_alone() -> None:
    source = "class A:\n  def _f(self): self._ours = other._f\nrow._meta; self._ours; x.__class__"
    assert list(touched(ast.parse(source), {"_ours"})) == []


def test_each_of_these_packages_has_a_ceiling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["gcs"], *extras["azure"]]
    bounded = {re.split(r"[\[<>=]", line)[0] for line in asked if "<" in line}
    assert {package for packages in FILES.values() for package in packages} <= bounded


def test_each_file_is_there() -> None:
    assert [name for name in FILES if not Path(PACKAGE, name).is_file()] == []


# --- what a release changes is told in a sentence ------------------------------------------


def test_the_installed_libraries_are_those_that_we_know() -> None:
    assert library_problems() == []


def test_a_django_storages_that_has_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = s3_storage(S3Bucket("b", "http://127.0.0.1:1", ""))
    assert django_storages.broken(storage) == ""
    for cls in type(storage).__mro__:
        if "_create_session" in vars(cls):
            monkeypatch.delattr(cls, "_create_session")
    assert "S3Storage._create_session" in django_storages.broken(storage)
    monkeypatch.setattr(storages, "_storages", {"default": storage})
    assert [problem.id for problem in library_problems()] == ["securedrop.E029"]


def test_a_google_client_that_has_changed_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"google-cloud-storage \(.*Client\._http"):
        django_storages.google_http(SimpleNamespace(client=object()))


def test_a_django_axes_that_has_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(AxesDatabaseHandler, "clean_expired_user_attempts")
    (problem,) = library_problems()
    assert "has no clean_expired_user_attempts" in problem.msg


@pytest.mark.parametrize("kind", ["SQLCompiler", "SQLUpdateCompiler", "SQLDeleteCompiler"])
def test_a_compiler_of_django_that_has_changed_is_told(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    as_sql = getattr(compiler, kind).as_sql

    def otherwise(self: Any, *args: Any, **kwargs: Any) -> Any:
        sql, parameters = as_sql(self, *args, **kwargs)
        return sql, tuple("x" if isinstance(p, prepared.Given) else p for p in parameters)

    monkeypatch.setattr(getattr(compiler, kind), "as_sql", otherwise)
    (problem,) = library_problems()
    assert "compiles a prepared" in problem.msg


def test_a_compiler_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compiler.SQLCompiler, "pre_sql_setup")
    (problem,) = library_problems()
    assert "does not compile prepared statements" in problem.msg
