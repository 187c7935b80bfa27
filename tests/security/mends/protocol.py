"""Rows of docs/reference/security-bar.md: what partners' clients send and read."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam, never

ORDER = "tests/ftps/test_command_order.py"
NAMES = "tests/ftps/test_names_in_replies.py"
LISTED = "tests/ftps/test_listing_arguments.py"
SENT = "tests/ftps/test_what_clients_send.py"
WAITING = "tests/ftps/test_waiting_commands.py"

#: What REST, ALLO and RNFR said stays until somebody asks for it.
STAYS_SAID: Final = (
    Cut(
        "ftps/dialogue.py",
        "self.said, self.said_next = self.said_next, Said()",
        "self.said = self.said_next",
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
        (Seam("ftps.interpreter:Interpreter.transferring", "return False"),),
        (
            f"{WAITING}::test_abor_is_heeded_behind_whatever_waits[all different]",
            f"{WAITING}::test_the_upload_of_a_client_that_is_gone_ends_whatever_waits[NOOP]",
        ),
    ),
    Mend(
        "37",
        "a client fills the memory with commands behind a transfer",
        (Seam("ftps.control:ControlChannel._take_lines", "False", test="MAX_WAITING"),),
        (f"{WAITING}::test_who_sends_without_end_behind_a_transfer_is_cut_off",),
    ),
    Mend(
        "38",
        "a reply changes the name that it tells",
        (
            Seam(
                "replies:on_one_line",
                "''.join((c if c.isprintable() else '?' for c in text))",
                call="join",
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
        (Seam("replies:Reply.line", "self.text", call="on_one_line"),),
        (f"{NAMES}::test_nothing_that_ends_a_line_is_sent",),
    ),
    Mend(
        "39",
        "a blank behind a command's words refuses the client",
        (Seam("ftps.interpreter:_given", "argument", call="rstrip"),),
        (
            f"{SENT}::test_a_client_that_ends_every_line_with_a_blank_gets_in",
            f"{SENT}::test_a_blank_behind_words_and_numbers_means_nothing[REST 0 ]",
        ),
    ),
    Mend(
        "39",
        "options of ls are taken for a name",
        (
            Seam("ftps.listed:_without_options", "False", test="fullmatch"),
            Seam("ftps.listed:_without_options", "False", test="startswith"),
        ),
        (f"{LISTED}::test_options_of_ls_list_the_directory[filesystem--1]",),
    ),
    Mend(
        "39",
        "a directory that is there is taken for options",
        (Seam("ftps.listed:_without_options", "False", test="is_dir"),),
        (f"{LISTED}::test_a_directory_that_looks_like_options_is_listed_where_it_is_there",),
    ),
    Mend(
        "40",
        "a pattern is a name that nobody has",
        (Seam("ftps.listed:meant", "False", test="is_pattern"),),
        (f"{LISTED}::test_a_pattern_is_expanded_in_its_directory[filesystem]",),
    ),
    Mend(
        "40",
        "a pattern hides the file that is called so",
        (
            Seam("ftps.listed:meant", "is_pattern(name)", test="is_pattern"),
            never("ftps/patterns.py", "name == self._text"),
        ),
        (f"{LISTED}::test_a_name_that_is_there_wins_over_the_pattern[filesystem]",),
    ),
    Mend(
        "41",
        "NLST names that RETR does not find",
        (
            Cut(
                "ftps/listed.py",
                "yield listed.given if entry.key == one else before + entry.name",
                "yield entry.name",
            ),
        ),
        (f"{LISTED}::test_nlst_gives_names_that_retr_takes[filesystem]",),
    ),
    Mend(
        "41",
        "listings in disorder",
        (Seam("ftps.listed:in_order", "first.reverse()", call="sort"),),
        (f"{LISTED}::test_listings_are_sorted[s3]",),
    ),
    Mend(
        "41",
        "STOU tells its name after the data",
        (Seam("ftps.uploads:_receive", "session.reply(replies.OPENING_DATA)", call="reply"),),
        (f"{SENT}::test_stou_tells_the_name_before_the_data[]",),
    ),
    Mend(
        "41",
        "the algorithm that FEAT names cannot be chosen",
        (Seam("ftps.verbs.parameters:_OPTIONS", "{'UTF8': _utf8, 'UTF-8': _utf8, 'MLST': _mlst}"),),
        (f"{SENT}::test_opts_hash_tells_and_chooses_the_algorithm",),
    ),
    Mend(
        "41",
        "the top directory has no time",
        (
            Seam(
                "ftps.storage_fs:StorageFS.root_entry",
                "Entry(self.key('/'), is_dir=True)",
                call="Entry",
            ),
        ),
        (f"{SENT}::test_mlst_of_the_top_directory_has_its_time[alice-filesystem]",),
    ),
    Mend(
        "42",
        "a login in another encoding is no attempt",
        (
            Seam("ftps.wire:parse", "False", test="upper"),
            Cut(
                "ftps/wire.py",
                'text = line.decode("utf-8", "surrogateescape")',
                "return Violation(replies.BAD_NAME)",
            ),
        ),
        (
            f"{SENT}::test_a_password_that_is_not_utf8_is_a_wrong_password_and_counts",
            f"{SENT}::test_a_name_that_is_not_utf8_is_nobodys_and_its_attempt_leaves_a_row",
        ),
    ),
    Mend(
        "43",
        "unknown verbs are counted over a session's life",
        (Cut("ftps/interpreter.py", "        self.dialogue.bad_commands = 0\n", ""),),
        (f"{SENT}::test_unknown_verbs_end_a_session_only_in_a_row",),
    ),
)
