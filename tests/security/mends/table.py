"""The mends, by row of the security bar; then by what others' advisories teach."""

from __future__ import annotations

from typing import Final

from tests.security.mends.advisories import ADVISORIES
from tests.security.mends.rows import ROWS

MENDS: Final = (*ROWS, *ADVISORIES)
