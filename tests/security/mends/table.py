"""The mends, by row of the security bar; then by what others' advisories teach."""

from __future__ import annotations

from typing import Final

from tests.security.mends import (
    accounts,
    admin,
    answers,
    content,
    database,
    edge,
    operations,
    protocol,
    rows,
    siblings,
    small_print,
    storage,
    strangers,
)
from tests.security.mends.advisories import ADVISORIES

#: A module a subject; rows 1 to 35 came first and stand in one.
SUBJECTS: Final = (
    rows,
    protocol,
    answers,
    content,
    storage,
    database,
    edge,
    strangers,
    accounts,
    operations,
    admin,
    small_print,
    siblings,
)
ROWS: Final = tuple(
    sorted((mend for subject in SUBJECTS for mend in subject.ROWS), key=lambda m: int(m.of))
)
MENDS: Final = (*ROWS, *ADVISORIES)
