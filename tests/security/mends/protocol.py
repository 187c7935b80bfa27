"""Rows of docs/reference/security-bar.md: what partners' clients send and read."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
