"""What the service leans on, made to keep still for the length of a block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.fixtures.served import ServedFtps


@contextmanager
def database_held(ftps: ServedFtps) -> Iterator[None]:
    """Another writer holds the SQLite database: whoever writes waits, readers do not."""
    path = ftps.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
