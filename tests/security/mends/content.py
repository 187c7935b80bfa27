"""Files that are cut or changed on their way, and nobody is told."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, never

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
            Cut(
                "tls/records.py",
                "fin = _lib.ERR_GET_REASON(_lib.ERR_peek_error()) == _FIN",
                "fin = _lib.SSL_get_error(tls, n) != _lib.SSL_ERROR_WANT_READ",
            ),
        ),
        (f"{FIN}_a_reset_or_a_bad_record_ends_no_upload_whatever_allo_said",),
    ),
    Mend(
        "91",
        "one partner's switch lets everybody off, or for ever",
        (
            never(
                _JUDGE,
                "principal is None or not principal.accept_missing_close_notify",
            ),
        ),
        (
            f"{FIN}_no_other_partner_is_let_off",
            f"{FIN}_who_is_let_off_no_more_is_not_while_the_upload_runs",
        ),
    ),
)
