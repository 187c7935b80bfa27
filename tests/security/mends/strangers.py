"""Rows of docs/reference/security-bar.md: floods, silent connections, refusals in the trail."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
