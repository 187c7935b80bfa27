"""What others' advisories teach: what stands against the like here."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam, never
from tests.security.mends.rows import WIRE_CONTROL_CHARACTERS

CHANNEL = "tests/security/test_control_channel.py"
GUESSING = "tests/security/test_guessing.py"
NAMES = "tests/security/test_hostile_text.py"
ISOLATION = "tests/security/test_isolation.py"
RESILIENCE = "tests/security/test_resilience.py"
PERMISSIONS = "tests/security/test_permissions.py"
WHOLE = "tests/security/test_transfers_are_whole.py"

#: The lessons, in the order of docs/reference/security-bar.md; each has a mend below.
LESSONS: Final = (
    "paths by every verb",
    "control characters",
    "hostile text in admin",
    "a failing back end",
    "before the login",
    "ABOR at every phase",
    "a 1 MB line",
    "verbs and permissions",
    "last bytes",
    "session reuse",
    "globs",
    "exact limits",
    "connect and reset",
    "long passwords",
)

ADVISORIES: Final = (
    Mend(
        "paths by every verb",
        "a generated name reaches the neighbour (CVE-2026-30914, CVE-2024-4040, CVE-2024-39330)",
        (
            Seam("keys:_climb", "parts.append('..')"),
            Seam("keys:_NO_NAMES", "('',)"),
        ),
        (
            f"{ISOLATION}::test_no_name_reaches_storage_outside_the_prefix",
            f"{PERMISSIONS}::test_the_neighbours_file_is_out_of_reach_of_every_verb",
        ),
    ),
    Mend(
        "control characters",
        "NUL and its like in USER, PASS and paths (CVE-2025-47812)",
        (WIRE_CONTROL_CHARACTERS,),
        (f"{GUESSING}::test_control_characters_in_user_and_pass_are_refused_and_log_nobody_in",),
    ),
    Mend(
        "control characters",
        "control characters in paths (the line's check and the path's)",
        (
            WIRE_CONTROL_CHARACTERS,
            Seam("keys:_check_text", "False", test="isprintable"),
        ),
        (f"{NAMES}::test_row_4_a_name_that_storage_could_misread_is_refused_by_every_verb",),
    ),
    Mend(
        "hostile text in admin",
        "a name turns the operator's page around (CVE-2026-44403)",
        (Seam("escaping:escape", "False", test="isprintable"),),
        (f"{NAMES}::test_hostile_names_from_the_wire_are_inert_in_the_admin_site",),
    ),
    Mend(
        "hostile text in admin",
        "a name is markup on the operator's page (Django's escaping taken out)",
        (
            Seam(
                "admin.upload:_asked_path",
                """
from django.utils.safestring import mark_safe
return mark_safe(row.path)
""",
            ),
        ),
        (f"{NAMES}::test_hostile_names_from_the_wire_are_inert_in_the_admin_site",),
    ),
    Mend(
        "a failing back end",
        "a back end's error is taken for consent (CVE-2024-5806)",
        (
            Seam(
                "access.login:_verified",
                """
try:
    return authenticate(request, username=attempt.name, password=password)
except Exception:
    return user
""",
            ),
        ),
        (f"{GUESSING}::test_a_back_end_that_raises_never_logs_in",),
    ),
    Mend(
        "a failing back end",
        "a database that is away is taken for a wrong password",
        (Seam("access.login:_unless_it_failed", "return answer or Refusal('password')"),),
        (
            (
                f"{RESILIENCE}::"
                "test_while_the_database_is_away_nobody_logs_in_and_no_failure_is_counted"
            ),
        ),
    ),
    Mend(
        "before the login",
        "a data verb before 230 (CVE-2025-31161)",
        (never("ftps/interpreter.py", "session is None"),),
        (f"{CHANNEL}::test_no_data_verb_works_before_the_login",),
    ),
    Mend(
        "ABOR at every phase",
        "ABOR in the midst of a transfer has no reply (CVE-2020-9273)",
        (Seam("ftps.interpreter:Interpreter.answer_out_of_turn", "None", call="answer_next"),),
        (f"{RESILIENCE}::test_abor_quit_and_epsv_at_every_phase_of_a_transfer",),
    ),
    Mend(
        "ABOR at every phase",
        "ABOR in one write with its command waits behind it",
        (Seam("ftps.control:ControlChannel.go_on", "None", call="_heed_abor"),),
        (f"{RESILIENCE}::test_abor_in_one_write_with_its_command_ends_it_at_once",),
    ),
    Mend(
        "a 1 MB line",
        "a 1 MB line keeps the server busy (CVE-2019-18217)",
        (Seam("ftps.wire:LineParser._too_long", "False", test="_discarding"),),
        (f"{CHANNEL}::test_row_20_a_megabyte_line_is_refused_once_and_costs_no_time",),
    ),
    Mend(
        "a 1 MB line",
        "what was looked at is looked at again with each byte",
        (
            Cut(
                "ftps/wire.py",
                "if len(self._buffer) > self._max:",
                """sum(self._buffer * 50)
                if False:""",
            ),
        ),
        (f"{CHANNEL}::test_row_20_a_megabyte_line_is_refused_once_and_costs_no_time",),
    ),
    Mend(
        "verbs and permissions",
        "a verb that forgets to ask (CVE-2019-12815)",
        (Seam("ftps.interpreter:Interpreter.dispatch", "False", test="may"),),
        (f"{PERMISSIONS}::test_a_mode_gives_what_it_says_and_nothing_more",),
    ),
    Mend(
        "last bytes",
        "the end of a download is lost (proftpd #2015)",
        (
            Cut(
                "ftps/data.py",
                """        self._act = self._await_peer
        self._await_drain()
""",
                """        waiter, self._waiter = self._waiter, None
        self.reset()
        waiter.set(None)
""",
            ),
        ),
        (f"{WHOLE}::test_no_last_byte_is_lost_at_any_size[modern-16777217]",),
    ),
    Mend(
        "session reuse",
        "a session of its own for each data channel: nothing to resume (curl #4654)",
        (Seam("ftps.passive:PassiveListener._resuming", "None", call="resume"),),
        (
            f"{WHOLE}::test_ten_transfers_of_one_session_all_resume_it",
            f"{WHOLE}::test_five_curl_transfers_of_one_session_all_resume_it",
        ),
    ),
    Mend(
        "globs",
        "a pattern is tried again and again (CVE-2010-2632)",
        (
            Cut(
                "ftps/patterns.py",
                "        (first, width), *others = self._pieces\n",
                """        def again(p: str, n: str) -> bool:
            if p[:1] == "*":
                return again(p[1:], n) or (n != "" and again(p, n[1:]))
            return n == p if "" in (p, n) else p[0] in (n[0], "?") and again(p[1:], n[1:])

        return again(self._text, name)
        (first, width), *others = self._pieces
""",
            ),
        ),
        (f"{CHANNEL}::test_a_pattern_that_could_be_tried_for_ever_is_answered",),
    ),
    Mend(
        "exact limits",
        "one byte over the limit",
        (
            Seam(
                "intake.stream:UploadStream.filled",
                "limit is not None and self.received > limit + 1",
                test="received",
            ),
        ),
        (f"{RESILIENCE}::test_a_file_of_the_limit_is_taken_and_one_byte_more_is_not",),
    ),
    Mend(
        "exact limits",
        "the last byte that may be is refused",
        (
            Seam(
                "intake.stream:UploadStream.filled",
                "limit is not None and self.received >= limit",
                test="received",
            ),
        ),
        (f"{RESILIENCE}::test_a_file_of_the_limit_is_taken_and_one_byte_more_is_not",),
    ),
    Mend(
        "connect and reset",
        "a connection that was reset keeps its place",
        (Seam("server.worker:Worker.session_closed", "None", call="release"),),
        (f"{CHANNEL}::test_a_flood_of_connects_and_resets_leaves_the_service_normal",),
    ),
    Mend(
        "long passwords",
        "a password without a bound is hashed",
        (
            Seam(
                "access.names:password_fits",
                "return bool(password) and '\\0' not in password and is_utf8(password)",
            ),
        ),
        (f"{GUESSING}::test_no_password_longer_than_a_kilobyte_is_hashed",),
    ),
)
