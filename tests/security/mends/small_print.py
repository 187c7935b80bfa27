"""Rows of docs/reference/security-bar.md: what other servers' and clients' test suites showed."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

PRINT = "tests/ftps/test_small_print.py"
NAMED = "tests/ftps/test_names_of_files.py"

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
)
