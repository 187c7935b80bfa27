"""Rows of docs/reference/security-bar.md: floods, silent connections, refusals in the trail."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

STRANGERS = "tests/security/test_strangers.py"
DATA_PORT = "tests/security/test_data_port_strangers.py"
REFUSED = "tests/security/test_refused_data_channels.py"
TLS13 = "tests/ftps/test_tls13.py"
FLOODS = "tests/security/test_trail_floods.py"
WHY_NOT = "tests/ftps/test_why_not.py"
WRITER = "tests/server/test_database_writer.py"

#: A refusal leaves its row however many there were.
NO_BOUND: Final = Seam("refusals:Refusals.admit", "return True")

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "64",
        "silent strangers take every place",
        (
            Seam(
                "server.connections:ConnectionTable.open",
                "full or strangers >= strangers_share(total)",
                test="strangers_share",
            ),
        ),
        (f"{STRANGERS}::test_row_64_partners_log_in_while_strangers_take_every_place",),
    ),
    Mend(
        "64",
        "who has logged in makes room for strangers",
        (Seam("server.connections:ConnectionTable._prove", "pass"),),
        (f"{STRANGERS}::test_row_64_who_has_logged_in_keeps_its_place_whoever_comes",),
    ),
    Mend(
        "65",
        "good logins use up the rate",
        (
            Seam(
                "server.runtime:WorkerRuntime.login_ended",
                "self.shared.rates.failed(place)",
                call="give_back",
            ),
        ),
        (f"{STRANGERS}::test_row_65_a_job_that_logs_in_for_each_file_is_never_turned_away",),
    ),
    Mend(
        "65",
        "good logins use up the rate of connections",
        (Seam("server.runtime:WorkerRuntime.login_ended", "None", call="forgive"),),
        (f"{STRANGERS}::test_row_65_a_job_that_logs_in_for_each_file_is_never_turned_away",),
    ),
    Mend(
        "65",
        "logins that are being checked turn others away",
        (Seam("server.rates:AddressRates._count", "False", test="checks"),),
        (f"{STRANGERS}::test_row_65_logins_at_once_wait_for_each_other_and_all_come_in",),
    ),
    Mend(
        "65",
        "a login without a session to have is a success in the trail",
        (Seam("access.attempt:Admission.hindrance", "False", test="no_place"),),
        (f"{STRANGERS}::test_row_65_a_login_that_finds_no_session_free_is_a_refused_login",),
    ),
    Mend(
        "65",
        "a login beyond the rate has no name",
        (Seam("ftps.trail:Trail.completed", "self._who('')", call="_who"),),
        (
            (
                f"{STRANGERS}::test_row_65_wrong_passwords_have_a_rate_and_the_refusal_names_"
                "who_was_meant"
            ),
        ),
    ),
    Mend(
        "66",
        "silent connections, or ones that stop, take a passive port's candidates",
        (
            Cut(
                "ftps/passive.py",
                "            self._make_room(rivals)",
                """            sock.close()
            return""",
            ),
        ),
        (
            (
                f"{DATA_PORT}::test_row_66_silent_connections_on_a_passive_port_do_not_keep_its_"
                "owner_out"
            ),
            f"{DATA_PORT}::test_row_66_strangers_that_speak_and_stop_do_not_keep_it_out_either",
        ),
    ),
    Mend(
        "67",
        "handshakes on data ports without end",
        (Seam("ftps.passive:PassiveListener._resumes_nothing", "False", test="allows"),),
        (f"{DATA_PORT}::test_row_67_handshakes_that_resume_nothing_have_a_bound",),
    ),
    Mend(
        "68",
        "refusals fill the trail",
        (NO_BOUND,),
        (
            f"{FLOODS}::test_row_68_refused_commands_of_all_sessions_of_a_partner_have_a_bound",
            f"{FLOODS}::test_row_68_a_stranger_that_connects_and_hangs_up_has_the_same_bound",
            f"{FLOODS}::test_row_68_locked_logins_at_the_admin_site_are_counted_too",
        ),
    ),
    Mend(
        "68",
        "what is beyond the bound is lost without a word",
        (Seam("refusals:Refusals.admit", "None", call="count"),),
        (
            f"{FLOODS}::test_row_68_refused_commands_of_all_sessions_of_a_partner_have_a_bound",
            f"{FLOODS}::test_row_68_a_stranger_that_connects_and_hangs_up_has_the_same_bound",
        ),
    ),
    Mend(
        "68",
        "a refused upload is only counted",
        (
            Seam("ftps.uploads:_begin", "None", call="pace_refused_uploads"),
            Seam("intake.service:Intake._reject", "None", call="record_within"),
        ),
        (f"{FLOODS}::test_row_68_a_refused_upload_leaves_its_row_whatever_the_bound",),
    ),
    Mend(
        "69",
        "uploads wait behind the rows of strangers",
        (Seam("db.writer:DatabaseWriter.submit", "False", test="later"),),
        (f"{WRITER}::test_row_69_what_uploads_wait_for_is_written_before_strangers_rows",),
    ),
    Mend(
        "70",
        "attempts that are refused before their verb begins leave no row",
        (Seam("ftps.interpreter:Interpreter._run", "False", test="is_error"),),
        (
            f"{FLOODS}::test_row_70_a_refused_attempt_leaves_one_row",
            f"{FLOODS}::test_row_70_attempts_before_the_login_leave_rows_too",
            f"{FLOODS}::test_row_70_a_password_or_name_that_is_no_text_is_a_failed_login",
        ),
    ),
    Mend(
        "96",
        "a stranger makes a session on a data port and resumes it there",
        (
            Seam(
                "ftps.passive:PassiveListener._resuming",
                """own = channel.chosen = self._client.member
if own is None:
    return None
context = self._runtime.tls_context(own.tls13)[0]
made = self._runtime.kinship._pages.accept(
    own.page, own.sid, context, None, tls13=own.tls13
)
made.bio_write(b"".join(hello))
try:
    made.do_handshake()
except Exception:
    pass
return made""",
            ),
        ),
        (
            (
                f"{REFUSED}::test_row_96_a_strangers_own_session_of_a_data_port_opens_no_data_"
                "channel[tls12-on the same port]"
            ),
            (
                f"{REFUSED}::test_row_96_a_strangers_own_session_of_a_data_port_opens_no_data_"
                "channel[modern-on the next one]"
            ),
            (
                "tests/security/test_sibling_sessions.py::"
                "test_row_96_a_session_made_on_a_data_port_opens_nothing"
            ),
        ),
    ),
    Mend(
        "97",
        "a refused data channel is reset, and its owner reads nothing of why",
        (
            Seam("ftps.passive:PassiveListener._resumes_nothing", "False", test="_uploads"),
            Seam("ftps.passive:PassiveListener._turn_away", "channel.reset()", call="refuse"),
        ),
        (
            (
                f"{REFUSED}::test_row_97_an_upload_that_is_refused_says_so_to_stock_ftplib"
                "[tls12-STOR refused.bin-20000000]"
            ),
            (
                f"{REFUSED}::test_row_97_what_would_be_read_ends_with_a_fatal_alert"
                "[modern-LIST-after 150]"
            ),
        ),
    ),
    Mend(
        "97",
        "a refused listing ends as an empty one does",
        (
            Seam("ftps.passive:PassiveListener._resumes_nothing", "False", test="_uploads"),
            Seam(
                "ftps.passive:PassiveListener._turn_away",
                "channel.refuse(gracefully=True)",
                call="refuse",
            ),
        ),
        (
            (
                f"{REFUSED}::test_row_97_what_would_be_read_ends_with_a_fatal_alert"
                "[tls12-MLSD-before the command]"
            ),
        ),
    ),
    Mend(
        "97",
        "a stranger's attempt ends the owner's wait at once",
        (Seam("ftps.passive:REFUSAL_GRACE", "0.0"),),
        ((f"{REFUSED}::test_row_97_strangers_that_are_refused_leave_the_owner_its_moment[tls12]"),),
    ),
    Mend(
        "97",
        "a port scan ends the owner's wait",
        (Seam("ftps.passive:PassiveListener._handshake_lost", "True", test="channel"),),
        (f"{REFUSED}::test_row_97_a_port_scan_does_not_end_the_owners_wait[modern]",),
    ),
    Mend(
        "101",
        "what a client calls itself has no bound",
        (Cut("ftps/verbs/parameters.py", "argument[:MAX_CLIENT]", "argument"),),
        (f"{WHY_NOT}::test_what_a_client_calls_itself_is_bounded_and_inert",),
    ),
    Mend(
        "101",
        "details of a row drive a terminal",
        (Seam("audit.receivers:_inert_text", "return str(value)"),),
        (
            f"{WHY_NOT}::test_what_a_client_calls_itself_is_bounded_and_inert",
            "tests/audit/test_trail.py::test_details_are_escaped_and_bounded",
        ),
    ),
    Mend(
        "101",
        "sessions of strangers that fail leave a row each",
        (NO_BOUND,),
        (
            f"{WHY_NOT}::test_a_flood_of_strangers_leaves_no_more_rows_than_the_bound_and_is_counted_by_cause",
        ),
    ),
    Mend(
        "110",
        "TLS 1.3's tickets on a data channel reset the upload of a client that only writes",
        (Cut("tls/handshake.py", 'self.tickets, out = out, b""', "pass"),),
        (f"{TLS13}::test_row_110_a_client_that_uploads_has_nothing_to_read_before_its_end[True]",),
    ),
    Mend(
        "110",
        "a client uses its tickets up",
        (Seam("ftps.transfer:Transfer.over", "None", call="renew_tickets"),),
        (f"{TLS13}::test_row_110_each_transfer_brings_new_tickets_on_the_control_channel",),
    ),
    Mend(
        "111",
        "TLS 1.3 for clients to whom no new tickets can be given",
        (Seam("ftps.control:ControlChannel._hello_is_here", "connect(True)", call="connect"),),
        (
            (
                f"{TLS13}::test_row_111_a_client_that_gets_no_new_tickets_speaks_tls_1_2"
                "[False-True-TLSv1.2]"
            ),
        ),
    ),
)
