"""Rows of docs/reference/security-bar.md: commands, readiness, restores."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
