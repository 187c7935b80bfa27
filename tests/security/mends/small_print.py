"""Rows of docs/reference/security-bar.md: what other servers' and clients' test suites showed."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend, Seam

PRINT = "tests/ftps/test_small_print.py"
NAMED = "tests/ftps/test_names_of_files.py"
WHERE = "tests/ftps/test_where_appe_goes_on.py"
NESTED = "tests/intake/test_nesting.py"
PERM = "tests/ftps/test_perm_fact.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "98",
        "APPE behind REST takes bytes from another place",
        (Seam("ftps.verbs.transfers:appe", "False", test="restart_at"),),
        (
            f"{PRINT}::test_appe_after_rest_goes_on_where_rest_says_or_is_refused",
            f"{PRINT}::test_appe_after_rest_stores_no_tail_as_a_whole_file[filesystem]",
        ),
    ),
    Mend(
        "98",
        "STOU behind REST stores the rest as a whole file",
        (Seam("ftps.verbs.transfers:stou", "False", test="restart_at"),),
        (f"{PRINT}::test_stou_after_rest_stores_no_tail_as_a_whole_file[filesystem]",),
    ),
    Mend(
        "98",
        "APPE goes on with another file than the client saw",
        (Seam("intake.resume:Resumption._refuse_unless_meant", "return"),),
        (
            f"{WHERE}::test_who_saw_a_finished_file_does_not_go_on_with_the_new_one[filesystem-MLSD]",
        ),
    ),
    Mend(
        "99",
        "directories below a file",
        (
            Seam(
                "storage.confined:ConfinedStorage.missing_above",
                "self._backend.stat(key).key",
                test="stat",
            ),
        ),
        (f"{NAMED}::test_nothing_is_made_below_a_file[s3]",),
    ),
    Mend(
        "99",
        "uploads of a file and below it, at once",
        (Seam("intake.nesting:refuse_nested", "return"),),
        (
            f"{NESTED}::test_of_two_that_are_received_at_once_the_first_is_stored[moto-/a-/a/b]",
            f"{NESTED}::test_of_two_that_are_published_at_once_one_is_refused[moto-/a-/a/b]",
        ),
    ),
    Mend(
        "99",
        "a rename that makes a file's name a directory's",
        (Seam("intake.name_changes:_overlap", "return one == other"),),
        (f"{NESTED}::test_a_rename_is_an_upload_of_its_target[moto-publishing.after-/a-/a/b]",),
    ),
    Mend(
        "99",
        "a file named as a directory",
        (Seam("ftps.storage_fs:StorageFS.resolve_file", "path == '/'", test="rpartition"),),
        (f"{NAMED}::test_a_file_is_not_named_as_a_directory[filesystem-/]",),
    ),
    Mend(
        "100",
        "rights of a file that is not there yet",
        (Seam("ftps.rights:Rights.letters", "False", test="Unfinished"),),
        (f"{PERM}::test_the_perm_fact_of_an_own_suspended_upload",),
    ),
    Mend(
        "100",
        "rights that the verbs do not give",
        (
            Seam("ftps.rights:_NOT_OF_THE_TOP", "frozenset()"),
            Seam("ftps.rights:Rights._of_file", "True", call="stored_here"),
        ),
        (
            f"{PERM}::test_the_perm_fact_tells_what_the_verbs_do[filesystem]",
            f"{PERM}::test_the_perm_fact_by_mode_and_policy",
        ),
    ),
    Mend(
        "100",
        "the head of a directory looks whole",
        (Seam("ftps.verbs.information:_stat_path", "False", test="more"),),
        (f"{PRINT}::test_stat_of_a_large_directory_says_that_it_is_not_all",),
    ),
    Mend(
        "100",
        "a choice of facts that was refused is made",
        (Seam("ftps.verbs.parameters:_mlst", "False", test="fullmatch"),),
        (f"{PRINT}::test_facts_that_are_no_list_are_501_and_change_nothing[fish cakes;]",),
    ),
    Mend(
        "100",
        "HOST takes another name than the certificate was shown for",
        (
            Seam(
                "ftps.verbs.parameters:host",
                "False",
                test="rstrip",
            ),
        ),
        (f"{PRINT}::test_host_is_the_name_that_tls_was_begun_with",),
    ),
)
