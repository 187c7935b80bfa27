"""Rows of docs/reference/security-bar.md: commands, readiness, restores."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, never

COMMANDS: Final = "tests/access/test_operating_commands.py"
READY: Final = "tests/server/test_ready.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "77",
        "ready is printed, and the project has no time zones",
        (Cut("checks/project.py", "if settings.USE_TZ:", "if True:"),),
        (f"{READY}::test_a_project_without_time_zones_is_not_served",),
    ),
    Mend(
        "77",
        "ready is printed, and the database takes no row",
        (
            Cut(
                "server/readiness/database.py",
                "    migrated()\n    writable()\n",
                "    migrated()\n",
            ),
        ),
        (f"{READY}::test_a_database_that_takes_no_row_is_not_served",),
    ),
    Mend(
        "77",
        "one partner's storage that is gone stops everybody",
        (
            Cut(
                "server/housekeeping.py",
                "if len(failing) == len(aliases):",
                "if failing:",
            ),
        ),
        (f"{READY}::test_one_partners_storage_stops_nobody_else",),
    ),
    Mend(
        "77",
        "another app's migration stops the service",
        (
            Cut(
                "server/readiness/database.py",
                "if leaf[0] in labels:",
                "if True:",
            ),
        ),
        (f"{READY}::test_another_apps_pending_migration_is_a_line_in_the_log",),
    ),
    Mend(
        "77",
        "the uploads of a storage that is silent hold up those of the others",
        (never("intake/recovery.py", "row.storage in silent"),),
        ("tests/intake/test_recovery.py::test_a_silent_storage_is_asked_once_a_round",),
    ),
    Mend(
        "79",
        "what a command changed is laid to somebody else's name",
        (
            Cut(
                "management/base.py",
                "name = pwd.getpwuid(uid).pw_name",
                'name = os.environ.get("LOGNAME", "")',
            ),
        ),
        (f"{COMMANDS}::test_the_trail_says_from_what_to_what_and_who",),
    ),
    Mend(
        "79",
        "a partner that has uploads running is deleted",
        (never("access/changes.py", "running"),),
        (f"{COMMANDS}::test_a_prefix_that_holds_files_moves_only_when_told_to",),
    ),
    Mend(
        "79",
        "a command that was run twice is two changes in the trail",
        (
            Cut(
                "access/changes.py",
                "for name, old, new in pairs if old != new]",
                "for name, old, new in pairs]",
            ),
        ),
        (f"{COMMANDS}::test_what_changes_nothing_writes_nothing",),
    ),
)
