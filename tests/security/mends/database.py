"""Rows of docs/reference/security-bar.md: lost database connections, nodes, clocks of nodes."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
