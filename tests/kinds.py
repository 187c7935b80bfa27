"""Three kinds of tests, and a guard that keeps the first of them quick.

``unit``
    Runs in the test process alone, with Django's SQLite file where it needs a database: no server,
    no listening socket, no child process, no root. ``make test-fast`` runs these.
``integration``
    A piece of ours with another program: PostgreSQL, Redis, an object store, a child process.
``acceptance``
    The whole service over real sockets, with real clients.

A test is ``unit`` unless it says otherwise, its folder is one of :data:`ACCEPTANCE_FOLDERS`, or it
uses a fixture that starts something. A mark on the test, its parameters or its module goes first.
A unit test that binds a socket or starts a process fails with a sentence that says what to do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from typing import Any, Final

import pytest

KINDS: Final = ("unit", "integration", "acceptance")

#: Suites against the whole service.
ACCEPTANCE_FOLDERS: Final = (
    "tests/bench/",
    "tests/faults/",
    "tests/interop/",
    "tests/names/",
    "tests/posture/",
    "tests/security/",
)

#: Fixtures that start the whole service.
SERVICE_FIXTURES: Final = frozenset({"ftps", "served", "standing", "_session_workshop"})

#: Fixtures that start another program or a server of the test's own.
PROGRAM_FIXTURES: Final = frozenset(
    {
        "cast_in_postgres",
        "cast_in_sqlite",
        "gcs_emulator",
        "moto_server",
        "postgres",
        "redis_server",
        "s3_bucket",
        "server",  # tests/storage: a scripted HTTP server
        "shared_database",
    }
)

#: Audit events (PEP 578) of what a unit test may not do, and how a person says it.
FORBIDDEN: Final = {
    "socket.bind": "opened a listening socket",
    "subprocess.Popen": "started a process",
    "os.fork": "started a process",
    "os.forkpty": "started a process",
    "os.posix_spawn": "started a process",
    "os.system": "started a process",
}

#: What ``ctypes.util.find_library`` runs to look for a library: no program of the test's.
LOOKUPS: Final = ("/sbin/ldconfig",)


def kind_of(item: pytest.Item) -> str:
    """``unit``, ``integration`` or ``acceptance``: what the test says, else its folder and its
    fixtures."""
    for mark in item.iter_markers():  # the closest first
        if mark.name in KINDS:
            return mark.name
    fixtures = frozenset(getattr(item, "fixturenames", ()))
    if item.nodeid.startswith(ACCEPTANCE_FOLDERS) or fixtures & SERVICE_FIXTURES:
        return "acceptance"
    return "integration" if fixtures & PROGRAM_FIXTURES else "unit"


class Guard:
    """Watches the unit test that runs, also in its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._test = ""
        self._seen = ""

    def begin(self, test: str) -> None:
        """From now on, ``test`` is watched."""
        with self._lock:
            self._test, self._seen = test, ""

    def end(self) -> str:
        """Stop watching; the sentence of what the test did and may not, or ``""``."""
        with self._lock:
            seen, self._test, self._seen = self._seen, "", ""
        return seen

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook: record a forbidden event and refuse it."""
        if not self._test or event not in FORBIDDEN:
            return
        if event == "subprocess.Popen" and arguments[0] in LOOKUPS:
            return
        with self._lock:
            self._seen = self._seen or (
                f"{self._test} is a unit test and {FORBIDDEN[event]} ({event}). Mark it "
                "@pytest.mark.integration, or @pytest.mark.acceptance where it needs the whole "
                "service (tests/README.md)."
            )
        raise RuntimeError(self._seen)


_guard = Guard()
sys.addaudithook(_guard.audit)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = kind_of(item)
        if item.get_closest_marker(kind) is None:
            item.add_marker(kind)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # A test may carry the marks of its module and its own; the closest is the kind.
    if kind_of(item) == "unit":
        _guard.begin(item.nodeid)
    try:
        return (yield)
    finally:
        _guard.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    result = yield
    seen = _guard.end()
    if seen:  # where the test's own code swallowed the refusal
        pytest.fail(seen, pytrace=False)
    return result
