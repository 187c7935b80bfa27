"""Rows of docs/reference/security-bar.md: what other servers' and clients' test suites showed."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

PRINT = "tests/ftps/test_small_print.py"
NAMED = "tests/ftps/test_names_of_files.py"
PERM = "tests/ftps/test_perm_fact.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "98",
        "APPE behind REST takes bytes from another place",
        (
            Cut(
                "ftps/verbs/transfers.py",
                "    if session.said.restart_at:\n        return _store(session, argument)\n",
                "",
            ),
        ),
        (
            f"{PRINT}::test_appe_after_rest_goes_on_where_rest_says_or_is_refused",
            f"{PRINT}::test_appe_after_rest_stores_no_tail_as_a_whole_file[filesystem]",
        ),
    ),
    Mend(
        "98",
        "STOU behind REST stores the rest as a whole file",
        (
            Cut(
                "ftps/verbs/transfers.py",
                "    if session.said.restart_at:\n        raise BadOffset",
                "    if False:\n        raise BadOffset",
            ),
        ),
        (f"{PRINT}::test_stou_after_rest_stores_no_tail_as_a_whole_file[filesystem]",),
    ),
    Mend(
        "99",
        "directories below a file",
        (
            Cut(
                "storage/confined.py",
                "if self._backend.stat(key).is_dir:",
                "if self._backend.stat(key).key:",
            ),
        ),
        (f"{NAMED}::test_nothing_is_made_below_a_file[s3]",),
    ),
    Mend(
        "99",
        "a file named as a directory",
        (
            Cut(
                "ftps/storage_fs.py",
                'path == "/" or argument.rpartition("/")[2] in ("", ".")',
                'path == "/"',
            ),
        ),
        (f"{NAMED}::test_a_file_is_not_named_as_a_directory[filesystem-/]",),
    ),
    Mend(
        "100",
        "rights of a file that is not there yet",
        (Cut("ftps/rights.py", "if isinstance(entry, Unfinished) else", "if False else"),),
        (f"{PERM}::test_the_perm_fact_of_an_own_suspended_upload",),
    ),
    Mend(
        "100",
        "rights that the verbs do not give",
        (
            Cut("ftps/rights.py", 'frozenset("df")', "frozenset()"),
            Cut("ftps/rights.py", "and self.stored_here(entry.key)", "and True"),
        ),
        (
            f"{PERM}::test_the_perm_fact_tells_what_the_verbs_do[filesystem]",
            f"{PERM}::test_the_perm_fact_by_mode_and_policy",
        ),
    ),
    Mend(
        "100",
        "the head of a directory looks whole",
        (Cut("ftps/verbs/information.py", 'if more else "End"', 'if False else "End"'),),
        (f"{PRINT}::test_stat_of_a_large_directory_says_that_it_is_not_all",),
    ),
    Mend(
        "100",
        "a choice of facts that was refused is made",
        (Cut("ftps/verbs/parameters.py", "not _FACT_LIST.fullmatch(value)", "False"),),
        (f"{PRINT}::test_facts_that_are_no_list_are_501_and_change_nothing[fish cakes;]",),
    ),
    Mend(
        "100",
        "HOST takes another name than the certificate was shown for",
        (Cut("ftps/verbs/parameters.py", "if sent and not literal and", "if False and"),),
        (f"{PRINT}::test_host_is_the_name_that_tls_was_begun_with",),
    ),
)
