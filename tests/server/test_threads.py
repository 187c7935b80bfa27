"""Threads begin in one place, with database connections that are looked at and closed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, connections

from securedrop_ftp.db.threads import Threads, thread, timer
from tests.fixtures.processes import ROOT

#: What starts a thread, when it is called or derived from.
STARTERS = {"Thread", "Timer", "ThreadPoolExecutor", "start_new_thread", "ThreadPool"}
THE_PLACE = "db/threads.py"


def starters(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        used = node.bases if isinstance(node, ast.ClassDef) else []
        used = [node.func] if isinstance(node, ast.Call) else used
        for expression in used:
            name = getattr(expression, "attr", getattr(expression, "id", ""))
            if name in STARTERS:
                yield f"line {expression.lineno}: {name}"


def test_a_thread_begins_in_one_place_only() -> None:
    package = ROOT / "securedrop_ftp"
    found = {
        path.relative_to(package).as_posix(): names
        for path in sorted(package.rglob("*.py"))
        if (names := list(starters(path.read_text())))
    }
    assert list(found) == [THE_PLACE], f"use securedrop_ftp.{THE_PLACE}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nthreading.Thread(target=print).start()",
        "from threading import Timer\nTimer(1, print)",
        "class Worker(threading.Thread): ...",
        "from concurrent import futures\nfutures.ThreadPoolExecutor(2)",
    ],
)
def test_each_way_to_start_one_is_seen(source: str) -> None:
    assert list(starters(source))
    assert not list(starters("thread: threading.Thread | None = None"))


def used() -> object:
    """Use the thread's connection, and hand it out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return connections["default"]


def test_a_thread_leaves_no_connection(tmp_path: Path, django_db_blocker: object) -> None:
    left: list[object] = []
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        one, later = (
            thread("one", lambda: left.append(used())),
            timer(0, lambda: left.append(used())),
        )
        for started in (one, later):
            started.start()
            started.join(20)
        with Threads(1) as pool:
            left.append(pool.submit(used).result(20))
    assert [wrapper.connection for wrapper in left] == [None] * 3  # type: ignore[attr-defined]
    assert one.daemon
    assert later.daemon
