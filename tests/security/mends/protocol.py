"""Rows of docs/reference/security-bar.md: what partners' clients send and read."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

ORDER = "tests/ftps/test_command_order.py"

#: What REST, ALLO and RNFR said stays until somebody asks for it.
STAYS_SAID: Final = (
    Cut(
        "ftps/policy.py",
        "session.said, session.said_next = session.said_next, Said()",
        "session.said = session.said_next",
    ),
)

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "36",
        "an offset, a size or a name is taken for a later command's",
        STAYS_SAID,
        (
            f"{ORDER}::test_an_offset_is_for_the_next_command_and_no_later_one[LIST]",
            f"{ORDER}::test_rnto_without_rnfr_directly_before_it_renames_nothing[PWD]",
        ),
    ),
)
