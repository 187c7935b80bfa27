"""Rows of docs/reference/security-bar.md: whose TLS session opens a data channel."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

SIBLINGS = "tests/security/test_sibling_sessions.py"
CLIENTS = "tests/ftps/test_several_connections.py"

OPENS = f"{SIBLINGS}::test_row_95_a_session_of_any_live_sibling_opens_a_data_channel"
REFUSED = f"{SIBLINGS}::test_row_95_no_other_session_does"
RANDOM = f"{SIBLINGS}::test_row_95_random_tries_open_what_is_their_own_and_nothing_else"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "67",
        "sessions that never log in hold candidates of a passive port for ever",
        (Seam("ftps.passive:PassiveListener._judge", "None", call="_charge_for_sibling"),),
        (f"{SIBLINGS}::test_row_67_sessions_that_never_log_in_have_a_bound",),
    ),
    Mend(
        "95",
        "a client that has one TLS session for several connections is refused",
        (Seam("ftps.passive:PassiveListener._takes_siblings", "return False"),),
        (
            OPENS,
            f"{CLIENTS}::test_row_95_every_file_is_stored_on_the_default_profile[curl -Z]",
            f"{CLIENTS}::test_row_95_every_file_is_stored_on_the_default_profile[rclone of Debian]",
        ),
    ),
    Mend(
        "95",
        "a session that is known by its id is known to one worker only",
        (Seam("ftps.kinship:Kinship._resuming", "None", call="import_session"),),
        (f"{OPENS}[ids]",),
    ),
    Mend(
        "95",
        "any session of the same address opens a data channel",
        (Seam("server.families:_is_of", "return True"),),
        (f"{REFUSED}[tickets-a colleague]", f"{REFUSED}[ids-another partner]", RANDOM),
    ),
    Mend(
        "95",
        "a session of the same account opens a data channel wherever it lives",
        (Seam("server.families:Families.join", "exact('192.0.2.1')", call="exact"),),
        (f"{REFUSED}[tls13-another address]", RANDOM),
    ),
    Mend(
        "95",
        "a session that has not logged in opens a data channel",
        (
            Cut(
                "ftps/kinship.py",
                "return Standing.OURS if now.proved else Standing.LOGGING_IN",
                "return Standing.OURS",
            ),
        ),
        (f"{REFUSED}[tickets-nobody yet]", RANDOM),
    ),
    Mend(
        "95",
        "a session that has ended opens data channels",
        (Seam("server.families:Families.leave", "None", call="_wipe"),),
        (
            f"{REFUSED}[ids-one that quit]",
            f"{REFUSED}[tickets-one that quit]",
            f"{REFUSED}[tls13-one that vanished]",
        ),
    ),
    Mend(
        "95",
        "a sibling that is about to log in is refused",
        (Seam("ftps.passive:SIBLING_PATIENCE", "0.0"),),
        (f"{SIBLINGS}::test_row_95_a_sibling_that_is_still_logging_in_is_waited_for",),
    ),
    Mend(
        "102",
        "a data channel that comes from another address is refused",
        (
            Seam(
                "ftps.passive:PassiveListener._resuming",
                "found is None or channel.foreign",
                test="found",
            ),
        ),
        ((f"{SIBLINGS}::test_row_102_from_another_address_the_very_session_opens_a_data_channel"),),
    ),
    Mend(
        "102",
        "connections from elsewhere take the candidates of a passive port",
        (
            Cut(
                "ftps/passive.py",
                "[channel for channel in self._candidates if channel.foreign or not foreign]",
                "list(self._candidates)",
            ),
            Seam(
                "ftps.passive:PassiveListener._make_room",
                "min(rivals, key=lambda channel: channel.spoke)",
                call="min",
            ),
        ),
        (f"{SIBLINGS}::test_row_102_connections_from_elsewhere_do_not_keep_the_owner_out",),
    ),
    Mend(
        "103",
        "ticket keys live as long as the service",
        (Cut("tls/pages.py", "del self._pages[page]", "pass"),),
        (
            (
                "tests/tls/test_ticket_keys.py::"
                "test_row_103_a_page_is_freed_when_its_time_and_its_connections_have_ended"
            ),
        ),
    ),
    Mend(
        "112",
        "one ClientHello offers hundreds of TLS 1.3 tickets",
        (
            Seam(
                "tls.handshake:Handshake.feed",
                "(tickets := tickets_of(self._hello)) > 100000",
                test="tickets_of",
            ),
        ),
        (
            (
                "tests/tls/test_hello.py::"
                "test_row_112_a_hello_that_offers_hundreds_of_tickets_is_tried_against_nothing"
            ),
        ),
    ),
)
