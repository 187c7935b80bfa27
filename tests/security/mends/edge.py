"""Rows of docs/reference/security-bar.md: addresses, balancers and the PROXY protocol."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend

ROWS: Final[tuple[Mend, ...]] = ()
