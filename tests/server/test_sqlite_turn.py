"""Turns at SQLite: between processes, between threads, and without a file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from securedrop_ftp.db.sqlite_turn import sqlite_turn
from tests.fixtures.processes import ROOT

HOLD = """
import sys
from securedrop_ftp.db.sqlite_turn import sqlite_turn
with sqlite_turn(sys.argv[1]):
    print("mine", flush=True)
    sys.stdin.readline()
    print("done", flush=True)
"""


def _holder(database: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, database],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    return holder


def _waiting(database: str) -> tuple[threading.Thread, threading.Event]:
    had = threading.Event()

    def take() -> None:
        with sqlite_turn(database):
            had.set()

    thread = threading.Thread(target=take)
    thread.start()
    return thread, had


@pytest.mark.integration
def test_a_process_waits_for_another_ones_turn_to_end(tmp_path: Path) -> None:
    database = str(tmp_path / "db.sqlite3")
    holder = _holder(database)
    thread, had = _waiting(database)
    assert not had.wait(0.2)
    holder.communicate("\n", timeout=30)
    thread.join(30)
    assert had.is_set()


@pytest.mark.integration
def test_the_turn_of_a_process_that_dies_ends(tmp_path: Path) -> None:
    database = str(tmp_path / "db.sqlite3")
    holder = _holder(database)
    holder.kill()
    holder.communicate()
    thread, had = _waiting(database)
    thread.join(30)
    assert had.is_set()


@pytest.mark.integration
def test_a_child_does_not_share_its_parents_turn(tmp_path: Path) -> None:
    database = str(tmp_path / "db.sqlite3")
    with sqlite_turn(database):
        pid = os.fork()
        if pid == 0:
            _, had = _waiting(database)
            os._exit(7 if had.wait(0.2) else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_threads_take_turns_at_a_database_without_a_file() -> None:
    with sqlite_turn(":memory:"):
        thread, had = _waiting(":memory:")
        assert not had.wait(0.1)
    thread.join(30)
    assert had.is_set()
