"""Rows of the security bar: folders that vanish, disks that fill, memory that is not given back."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
