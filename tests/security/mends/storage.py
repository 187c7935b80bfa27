"""Rows of the security bar: folders that vanish, disks that fill, memory that is not given back."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

VANISHED = "tests/security/test_vanished_storage.py"
QUERIES = "tests/intake/test_periodic_queries.py"
MEMORY = "tests/faults/test_memory_of_uploads.py"
FULL = "tests/faults/test_full_disk.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "49",
        "the disk is unmounted while the service runs, and uploads go to the root disk",
        (Seam("storage.filesystem.tree:Tree._open_root", "False", test="_expected"),),
        (
            (
                f"{VANISHED}::"
                "test_row_49_a_folder_that_vanishes_while_the_service_runs_takes_nothing[sqlite-empty]"
            ),
            (
                f"{VANISHED}::"
                "test_row_49_an_upload_in_whose_midst_the_folder_vanishes_is_not_acknowledged"
            ),
            f"{VANISHED}::test_row_49_another_disk_in_its_place_is_seen",
        ),
    ),
    Mend(
        "49",
        "a service that runs never looks at what an operator adopted",
        (Seam("engine.engine:Engine._heed_adoptions", "return"),),
        (f"{VANISHED}::test_row_49_a_service_that_runs_serves_from_what_was_adopted",),
    ),
    Mend(
        "49",
        "the disk is not mounted when the service starts",
        (
            Cut(
                "intake/locations.py",
                "    if not _knows_files(alias):\n        return True\n",
                "    return True\n",
            ),
        ),
        (
            (
                f"{VANISHED}::"
                "test_row_49_the_service_does_not_start_on_an_empty_folder_until_it_is_adopted"
            ),
        ),
    ),
    Mend(
        "50",
        "uploads are taken until the disk has no room for the database",
        (Seam("disk:lack", "True", test="kept"),),
        (
            (
                f"{FULL}::"
                "test_row_50_uploads_that_fill_the_disk_are_refused_while_there_is_room_for_rows"
            ),
        ),
    ),
    Mend(
        "50",
        "what did not fit is kept to be gone on with, and keeps the disk full",
        (
            Seam(
                "intake.ending:_NEVER_SUSPEND",
                "(TooLarge, UploadRejected, LeaseLost, VerificationFailed, Exists)",
            ),
        ),
        (
            (
                f"{FULL}::"
                "test_row_50_uploads_that_fill_the_disk_are_refused_while_there_is_room_for_rows"
            ),
        ),
    ),
    Mend(
        "50",
        "nothing is let go for the database when somebody else fills the disk",
        (Seam("ballast:drop", "None", call="unlink"),),
        (
            (
                f"{FULL}::"
                "test_row_50_on_a_disk_without_a_free_byte_every_attempt_still_leaves_its_row"
            ),
        ),
    ),
    Mend(
        "52",
        "the hourly sweep reads the whole ledger to name its storages",
        (
            Seam(
                "intake.sweep:_aliases",
                "sorted(used | {*Upload.objects.values_list('storage', flat=True).distinct()})",
                call="sorted",
            ),
        ),
        (
            f"{QUERIES}::test_row_52_nothing_that_runs_by_itself_reads_a_whole_table[sqlite]",
            f"{QUERIES}::test_row_52_nothing_that_runs_by_itself_reads_a_whole_table[postgres]",
        ),
    ),
    Mend(
        "51",
        "buffers live as long as a reference cycle that names them",
        (
            Seam("intake.buffers:take_memory", "bytearray(size)", call="mmap"),
            Cut(
                "intake/buffers.py",
                "    memory.madvise(mmap.MADV_DONTNEED)\n    with suppress(BufferError):",
                "    with suppress(AttributeError):",
            ),
            Seam("tls.openssl:read_into", "exc", call="with_traceback"),
        ),
        (
            f"{MEMORY}::test_row_51_a_long_upload_and_aborted_ones_stay_within_the_workers_memory[filesystem]",
        ),
    ),
    Mend(
        "89",
        "a file system that tells no size is taken for a full one",
        (Seam("disk:lack", "False", test="size"),),
        (f"{FULL}::test_row_89_a_file_system_that_tells_no_size_is_not_a_full_one",),
    ),
    Mend(
        "51",
        "what a full socket says refers to the caller, and keeps what was being sent",
        (Seam("tls.openssl:write_from", "exc", call="with_traceback"),),
        (
            (
                f"{MEMORY}::test_row_51_long_downloads_stay_within_the_workers_memory"
                f"[filesystem-{768 * 1024 * 1024}]"
            ),
        ),
    ),
)
