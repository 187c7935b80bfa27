"""Rows of docs/reference/security-bar.md: what partners' clients send and read."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, never

ORDER = "tests/ftps/test_command_order.py"
NAMES = "tests/ftps/test_names_in_replies.py"
WAITING = "tests/ftps/test_waiting_commands.py"

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
    Mend(
        "37",
        "commands that wait hide ABOR and the end of the client",
        (
            Cut(
                "ftps/session.py",
                "return self.transfer is not None",
                "return False",
            ),
        ),
        (
            f"{WAITING}::test_abor_is_heeded_behind_whatever_waits[all different]",
            f"{WAITING}::test_the_upload_of_a_client_that_is_gone_ends_whatever_waits[NOOP]",
        ),
    ),
    Mend(
        "37",
        "a client fills the memory with commands behind a transfer",
        (never("ftps/control.py", "self._queue.cost > MAX_WAITING"),),
        (f"{WAITING}::test_who_sends_without_end_behind_a_transfer_is_cut_off",),
    ),
    Mend(
        "38",
        "a reply changes the name that it tells",
        (
            Cut(
                "replies.py",
                '"?" if unicodedata.category(c) in _NEVER_SENT else c',
                'c if c.isprintable() else "?"',
            ),
        ),
        (
            f"{NAMES}::test_every_reply_and_listing_gives_a_name_back_unchanged[no-break space]",
            f"{NAMES}::test_stored_as_gives_the_name_unchanged",
        ),
    ),
    Mend(
        "38",
        "a name in a reply ends its line",
        (Cut("replies.py", "{on_one_line(self.text)}", "{self.text}"),),
        (f"{NAMES}::test_nothing_that_ends_a_line_is_sent",),
    ),
)
