"""Rows of docs/reference/security-bar.md: commands, readiness, restores."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Mend, Seam, never

CODES: Final = "tests/access/test_exit_codes.py"
EXPORTED_NOBODY: Final = (
    'options["partner"] and not rows.exists() and not _ever_was(options["partner"])'
)
HEALTH: Final = "tests/project/test_health.py"
COMMANDS: Final = "tests/access/test_operating_commands.py"
READY: Final = "tests/server/test_ready.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "77",
        "ready is printed, and the project has no time zones",
        (Seam("checks.project:project_problems", "True", test="settings"),),
        (f"{READY}::test_a_project_without_time_zones_is_not_served",),
    ),
    Mend(
        "77",
        "ready is printed, and the database takes no row",
        (Seam("server.readiness.database:usable", "migrated()"),),
        (f"{READY}::test_a_database_that_takes_no_row_is_not_served",),
    ),
    Mend(
        "77",
        "one partner's storage that is gone stops everybody",
        (Seam("server.housekeeping:_storages_that_fail", "failing", test="failing"),),
        (f"{READY}::test_one_partners_storage_stops_nobody_else",),
    ),
    Mend(
        "77",
        "another app's migration stops the service",
        (Seam("server.readiness.database:_graph", "True", test="labels"),),
        (f"{READY}::test_another_apps_pending_migration_is_a_line_in_the_log",),
    ),
    Mend(
        "77",
        "the uploads of a storage that is silent hold up those of the others",
        (Seam("intake.recovery:Recovery._try_to_settle", "False", test="storage"),),
        ("tests/intake/test_recovery.py::test_a_silent_storage_is_asked_once_a_round",),
    ),
    Mend(
        "78",
        "a probe hangs with the database that it asks for",
        (Seam("server.readiness.bounded:ask", "wait(futures.values())", call="wait"),),
        (f"{HEALTH}::test_a_database_that_hangs_is_no_answer_and_hangs_nobody",),
    ),
    Mend(
        "78",
        "one partner's storage takes the node out of the balancer",
        (Seam("server.readiness.checks:_some_are_usable", "return False"),),
        (f"{HEALTH}::test_one_partners_storage_does_not_take_the_node_away",),
    ),
    Mend(
        "78",
        "operators behind a proxy on another port are refused",
        (Seam("project.environment:trusted_origins", "return []"),),
        (f"{HEALTH}::test_a_proxy_on_another_port_is_let_in_by_its_origin",),
    ),
    Mend(
        "79",
        "what a command changed is laid to somebody else's name",
        (Seam("management.base:_name_of", "return os.environ.get('LOGNAME', '')"),),
        (f"{COMMANDS}::test_the_trail_says_from_what_to_what_and_who",),
    ),
    Mend(
        "79",
        "a partner that has uploads running is deleted",
        (Seam("access.changes:_refuse_while_uploads_run", "pass"),),
        (f"{COMMANDS}::test_a_prefix_that_holds_files_moves_only_when_told_to",),
    ),
    Mend(
        "79",
        "a command that was run twice is two changes in the trail",
        (Seam("access.changes:_compared", "True", test="old"),),
        (f"{COMMANDS}::test_what_changes_nothing_writes_nothing",),
    ),
    Mend(
        "80",
        "no database is told as a broken chain",
        (Seam("management.commands.audit_verify:Command.code_of_faults", "1"),),
        (f"{CODES}::test_without_a_database_there_is_one_sentence",),
    ),
    Mend(
        "80",
        "a name that is nobody's is an empty export",
        (never("management/commands/audit_export.py", EXPORTED_NOBODY),),
        (f"{CODES}::test_what_names_nothing_is_an_error",),
    ),
)
