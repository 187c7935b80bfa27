"""Rows of docs/reference/security-bar.md: lost database connections, nodes, clocks of nodes."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

SKEW = "tests/faults/test_clock_skew.py"
NODES = "tests/faults/test_nodes.py"
LOST = "tests/faults/test_lost_connections.py"
WRITER = "tests/intake/test_one_writer.py"
LOCK = "tests/server/test_process_lock.py"

PRESENCE = "tests/engine/test_presence.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "54",
        "a lost database connection stays with its thread, and every upload on it fails",
        (Seam("engine.pools:FairPool._do", "job()"),),
        (
            f"{LOST}::test_uploads_begun_after_every_connection_was_ended_under_load_are_stored",
            f"{LOST}::test_uploads_go_on_after_postgresql_was_killed_and_started_again",
            "tests/engine/test_pools.py::test_a_thread_outlives_its_connection_to_the_database",
        ),
    ),
    Mend(
        "54",
        "a project that does not have Django ask its connections",
        (Seam("db.connections:_check", "pass"),),
        ("tests/engine/test_pools.py::test_a_thread_outlives_its_connection_to_the_database",),
    ),
    Mend(
        "55",
        "a node whose clock is wrong retires others' uploads and locks out who logs in",
        (Seam("clock:now", "return timezone.now()"),),
        (
            f"{SKEW}::test_an_upload_lives_on_beside_a_node_whose_clock_is_ahead",
            f"{SKEW}::test_logins_in_flight_lock_nobody_out_and_no_more_guesses_are_looked_at",
        ),
    ),
    Mend(
        "55",
        "a node whose clock is wrong takes logins",
        (Seam("clock:fault", "True", test="TOLERATED"),),
        (f"{SKEW}::test_a_node_whose_clock_goes_wrong_takes_no_logins_and_ends_transfers_well",),
    ),
    Mend(
        "56",
        "two services of one name take each other's writers for their own dead",
        (Seam("engine.heartbeat:_outlast_namesakes", "return"),),
        (f"{NODES}::test_a_second_service_of_a_nodes_name_does_not_start_and_ends_no_upload",),
    ),
    Mend(
        "56",
        "a process of another machine is judged by this one's kernel",
        (
            Cut(
                "intake/owners.py",
                "bool(row.machine) and row.machine == _machine() and _started",
                "_started",
            ),
        ),
        (f"{NODES}::test_a_process_of_another_machine_lives_as_long_as_it_beats",),
    ),
    Mend(
        "57",
        "what a dead node received is not told until its lease runs out",
        (Seam("intake.suspended:SuspendedUploads.at_or_ending", "None", call="next"),),
        (f"{NODES}::test_what_a_dead_node_received_is_told_and_goes_on_on_another",),
    ),
    Mend(
        "88",
        "the kernel sees a deadlock where threads of two workers use two tables",
        (Seam("process_lock:ProcessLock._lock", "True", test="EDEADLK"),),
        (f"{LOCK}::test_row_88_nobody_is_refused_for_a_deadlock_that_is_none",),
    ),
    Mend(
        "58",
        "live sessions are written anew all the time, strangers' too",
        (
            Seam("engine.presence:_differ", "return True"),
            Seam("engine.presence:_is_shown", "return True"),
        ),
        (
            f"{PRESENCE}::test_row_58_what_did_not_change_is_not_written",
            f"{PRESENCE}::test_row_58_strangers_have_no_row",
        ),
    ),
    Mend(
        "113",
        "an upload that has just begun to publish is taken over",
        (Seam("intake.opening:_unless_it_went_on", "return _whole(pk)"),),
        (
            f"{WRITER}::test_row_113_an_upload_that_goes_on_to_publish_is_not_taken_over",
            f"{WRITER}::test_row_113_an_upload_whose_writer_is_back_is_not_settled",
        ),
    ),
)
