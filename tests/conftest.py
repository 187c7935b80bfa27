"""Fixtures for every test: real servers on free loopback ports, each with its own data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest_plugins = [
    "tests.kinds",
    "tests.fixtures.certificates",
    "tests.fixtures.postgres",
    "tests.fixtures.redis",
    "tests.fixtures.moto",
    "tests.fixtures.served",
    "tests.fixtures.databases",
]


@pytest.fixture(scope="session")
def session_end() -> Iterator[ExitStack]:
    """What must outlive every server under test: databases and object stores stop last, whenever
    a test first asked for them."""
    with ExitStack() as stack:
        yield stack
