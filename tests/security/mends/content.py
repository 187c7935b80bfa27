"""Files that are cut or changed on their way, and nobody is told."""

from __future__ import annotations

from typing import Final

from tests.security.mends import NO_SELF_TEST, Mend, Seam, never

TEXTS: Final = "tests/ftps/test_texts.py::test"
FIN: Final = "tests/faults/test_missing_close_notify.py::test"
_JUDGE: Final = "ftps/missing_close_notify.py"

ROWS: Final = (
    Mend(
        "91",
        "who is let off close_notify is cut anywhere",
        (never(_JUDGE, "announced is None"), never(_JUDGE, "announced != received")),
        (f"{FIN}_fin_ends_no_upload_that_allo_did_not_announce_exactly",),
    ),
    Mend(
        "91",
        "a cut at ALLO's number is taken for the end where that number means less",
        (never(_JUDGE, "not binary or not whole"),),
        (
            f"{FIN}_fin_ends_no_upload_under_type_a_where_allo_means_the_file",
            f"{FIN}_fin_ends_no_upload_that_goes_on_where_allo_has_two_meanings[sqlite-filesystem-rest]",
        ),
    ),
    Mend(
        "91",
        "a reset, or a record that is none, passes for a FIN",
        (
            Seam(
                "tls.openssl:_ended_by_fin",
                "return _lib.SSL_get_error(_raw(_connection), _result) != _lib.SSL_ERROR_WANT_READ",
            ),
            NO_SELF_TEST,
        ),
        (f"{FIN}_a_reset_or_a_bad_record_ends_no_upload_whatever_allo_said",),
    ),
    Mend(
        "91",
        "one partner's switch lets everybody off, or for ever",
        (never(_JUDGE, "not session.principal.accept_missing_close_notify"),),
        (
            f"{FIN}_no_other_partner_is_let_off",
            f"{FIN}_who_is_let_off_no_more_is_not_while_the_upload_runs",
        ),
    ),
    Mend(
        "92",
        "TYPE A is stored with the CR LF that the client put in",
        (Seam("ftps.texts:is_text", "return False"),),
        (
            f"{TEXTS}_a_file_arrives_as_its_sender_has_it_and_comes_back_so",
            f"{TEXTS}_under_type_a_nothing_begins_in_the_midst_of_a_file",
            f"{TEXTS}_refused_files_leave_a_row_and_a_reply_that_name_type_i",
        ),
    ),
    Mend(
        "92",
        "a CR at the end of a piece is taken for one alone",
        (Seam("ftps.nvt:FromNvt.convert", "False", call="endswith"),),
        (
            f"{TEXTS}_a_cr_lf_that_two_tls_records_share_is_one",
            "tests/ftps/test_nvt.py::test_only_cr_lf_becomes_lf_wherever_it_is_cut",
            "tests/ftps/test_nvt.py::test_what_was_sent_comes_back_to_the_byte",
        ),
    ),
    Mend(
        "92",
        "what was converted is gone on with at an offset of something else",
        (
            Seam("intake.terms:_keeps_parts", "False", test="converted"),
            Seam("intake.takeover:_has_whole_parts", "False", test="converted"),
            Seam("intake.suspended:parts_of", "False", test="converted"),
        ),
        (
            f"{TEXTS}_what_is_converted_is_not_gone_on_with_however_it_ends",
            f"{TEXTS}_who_takes_over_finds_nothing_to_go_on_with",
        ),
    ),
    Mend(
        "92",
        "APPE under TYPE A goes on with bytes of TYPE I",
        (Seam("intake.resume:Resumption.resume", "False", test="converted"),),
        (f"{TEXTS}_appe_does_not_go_on_with_bytes_that_came_under_type_i",),
    ),
)
