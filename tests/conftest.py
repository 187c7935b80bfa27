"""Fixtures for every test: real servers on free loopback ports, each with its own data."""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures.certificates",
    "tests.fixtures.postgres",
    "tests.fixtures.redis",
    "tests.fixtures.moto",
    "tests.fixtures.served",
    "tests.fixtures.databases",
]
