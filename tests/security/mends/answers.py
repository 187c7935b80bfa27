"""Rows of the security bar: true replies, fair clocks."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

COPY = "tests/ftps/test_rclone.py::test_row_47"
FAIR = "tests/security/test_fair_clocks.py::test_row"
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
    Mend(
        "45",
        "who waits for our storage is late with its data connection",
        (
            Cut(
                "ftps/passive.py",
                "now - self._asked if self._asked else self._control.owed(now) - self._opened",
                "now - self._client.started - self._opened",
            ),
        ),
        (
            f"{FAIR}_45_uploads_that_wait_for_a_slow_storage_have_their_data_channels",
            f"{FAIR}_45_a_command_between_pasv_and_its_transfer_is_not_the_clients_time",
        ),
    ),
    Mend(
        "45",
        "a login that waits for us is late",
        (
            Seam(
                "ftps.session:Session._overdue",
                "self.principal is None and now - self.client.started > conf.login_timeout",
                test="owed",
            ),
        ),
        (f"{FAIR}_45_a_login_that_waits_for_us_is_not_late",),
    ),
    Mend(
        "45",
        "after a stop of the process everybody is late",
        (Seam("server.worker:Worker._tick", "True", test="_held_up"),),
        (f"{FAIR}_45_a_process_that_was_stopped_blames_nobody",),
    ),
    Mend(
        "46",
        "what moves slowly is stalled",
        (Seam("ftps.transfer:Transfer._patience", "AGED_RATE", call="max"),),
        (f"{FAIR}_46_a_sender_of_a_few_bytes_a_second_is_not_stalled",),
    ),
    Mend(
        "46",
        "only whole TLS records, and what our kernel took, count as moving",
        (Cut("ftps/data.py", "return counted or self.moved", "return self.moved"),),
        (
            f"{FAIR}_46_a_tls_record_that_comes_byte_by_byte_is_not_stalled",
            f"{FAIR}_46_a_slow_reader_is_not_stalled_while_our_kernel_gets_rid_of_bytes",
        ),
    ),
    Mend(
        "46",
        "a partner's own window and rate are not asked",
        (
            Seam(
                "ftps.transfer:Transfer._patience",
                "Patience(session.conf.stall_window, session.conf.min_transfer_rate)",
                call="Patience",
            ),
        ),
        (f"{FAIR}_46_a_partner_has_a_window_and_a_rate_of_its_own",),
    ),
    Mend(
        "46",
        "a trickle holds its place for ever",
        (
            Seam(
                "ftps.transfer:Transfer._patience",
                "max(principal.min_transfer_rate, 0)",
                call="max",
            ),
        ),
        (f"{FAIR}_46_a_trickle_ends_with_the_age_of_its_session",),
    ),
    Mend(
        "46",
        "slow readers of one partner hold all that is read ahead",
        (Seam("engine.reads:ReadBudget._is_fair", "return size <= self._left"),),
        (f"{FAIR}_46_slow_readers_of_a_partner_leave_room_for_the_others",),
    ),
    Mend(
        "47",
        "rclone deletes what was stored well, for an old answer",
        (
            Cut(
                "ftps/storage_fs.py",
                "entry: Entry = self._offload(self.storage.stat, self.key(path))",
                """seen: dict[str, Entry] = self.__dict__.setdefault("_seen", {})
        entry = seen.get(path) or self._offload(self.storage.stat, self.key(path))
        seen[path] = entry""",
            ),
        ),
        (f"{COPY}_copy_and_sync_over_four_connections_lose_nothing[filesystem-in place]",),
    ),
)
