"""Rows of the security bar: true replies, fair clocks."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

SAME = "tests/security/test_true_answers.py::test_row_44"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "44",
        "what was so is told as if it were so",
        (
            Cut(
                "ftps/storage_fs.py",
                "entry: Entry = self._offload(self.storage.stat, self.key(path))",
                """seen: dict[str, Entry] = self.__dict__.setdefault("_seen", {})
        entry = seen.get(path) or self._offload(self.storage.stat, self.key(path))
        seen[path] = entry""",
            ),
        ),
        (
            f"{SAME}_a_size_is_that_of_the_file_that_another_session_just_stored[filesystem]",
            f"{SAME}_a_file_that_another_session_deleted_is_gone_for_every_verb[filesystem]",
            f"{SAME}_a_directory_that_another_session_renamed_is_under_its_new_name_alone[s3]",
            f"{SAME}_a_true_answer_of_a_file_costs_one_storage_request[SIZE]",
        ),
    ),
)
