"""Rows of docs/reference/security-bar.md: addresses, balancers and the PROXY protocol."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend, Seam

WEB: Final = "tests/project/test_web.py"
PROXIED: Final = "tests/security/test_proxied_clients.py"
HAPROXY: Final = "tests/security/test_haproxy.py"
PASSIVE: Final = "tests/server/test_passive_address.py"
DUAL_STACK: Final = "tests/ftps/test_dual_stack.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "60",
        "one client has two spellings: ::ffff:a.b.c.d and a.b.c.d",
        (Seam("access.network:canonical", "return text"),),
        (
            f"{DUAL_STACK}::test_an_ipv4_client_of_a_dual_stack_listener_has_data_channels",
            f"{DUAL_STACK}::test_epsv_speaks_the_clients_protocol",
            f"{WEB}::test_on_a_dual_stack_listener_an_ipv4_client_has_its_ipv4_address",
        ),
    ),
    Mend(
        "61",
        "behind a balancer all clients are one address",
        (Seam("server.acceptor:Acceptor._accept", "False", test="within"),),
        (
            f"{PROXIED}::test_trail_ledger_and_live_sessions_know_the_client",
            f"{PROXIED}::test_twenty_guesses_of_one_client_lock_out_that_client_alone",
            f"{HAPROXY}::test_twenty_guesses_lock_out_the_guesser_alone_on_both_nodes",
        ),
    ),
    Mend(
        "61",
        "anybody says in a PROXY header that he is somebody else",
        (Seam("server.acceptor:Acceptor._accept", "conf.proxy_protocol_from", test="within"),),
        (f"{PROXIED}::test_a_header_from_anywhere_else_makes_nobody_another",),
    ),
    Mend(
        "61",
        "a PROXY header that never ends",
        (Seam("ftps.header_wait:HeaderWaits.check_deadlines", "True", test="_patience"),),
        (f"{PROXIED}::test_a_balancer_that_sends_no_whole_header_is_closed_in_time",),
    ),
    Mend(
        "61",
        "connections without their header fill the memory",
        (Seam("ftps.header_wait:HeaderWaits.add", "False", test="_places"),),
        (f"{PROXIED}::test_silent_connections_of_a_balancer_take_no_clients_place",),
    ),
    Mend(
        "61",
        "the balancer's own connections fill its address's cap",
        (Seam("server.acceptor:Acceptor._counted", "False", test="balancer"),),
        (f"{PROXIED}::test_caps_count_the_client_and_never_the_balancer",),
    ),
    Mend(
        "61",
        "what comes right behind a PROXY header is lost with it",
        (
            Cut(
                "ftps/proxy_protocol.py",
                "return len(seen) if end < 0 else end + 1 - len(self._data)",
                "return len(seen)",
            ),
        ),
        ("tests/ftps/test_proxy_protocol.py::test_nothing_behind_the_header_is_read",),
    ),
    Mend(
        "62",
        "a client whose connections come by two ways has no data channel",
        (
            Seam(
                "ftps.passive:PassiveListener._resuming",
                "found is None or channel.foreign",
                test="found",
            ),
        ),
        (f"{PROXIED}::test_where_addresses_differ_the_tls_session_proves_the_data_channel",),
    ),
    Mend(
        "62",
        "a stranger from elsewhere takes a data channel behind a balancer",
        (
            Seam(
                "ftps.passive:PassiveListener._must_resume",
                "return self._account.principal.require_tls_session_reuse",
            ),
        ),
        (f"{PROXIED}::test_another_address_must_resume_also_where_the_partner_is_let_off",),
    ),
    Mend(
        "62",
        "each health check writes two rows into the trail",
        (Cut("ftps/origin.py", "balancer, is_check=True)", "balancer)"),),
        (
            f"{PROXIED}::test_a_health_check_leaves_no_row",
            f"{HAPROXY}::test_everything_works_through_it_and_its_checks_leave_no_row",
        ),
    ),
    Mend(
        "63",
        "the passive address cannot be a name",
        (Seam("access.network:is_host_name", "False", call="all"),),
        ("tests/project/test_checks.py::test_a_bad_value_has_its_own_id",),
    ),
    Mend(
        "63",
        "a name's address moves and clients are told the old one",
        (
            Seam(
                "server.passive_address:PassiveAddress.check",
                "self._name and (not self._due)",
                test="_name",
            ),
        ),
        (f"{PASSIVE}::test_a_name_is_looked_up_again_and_the_new_address_told",),
    ),
    Mend(
        "63",
        "a resolver that fails takes the passive address away",
        (
            Seam(
                "server.passive_address:PassiveAddress._look_up",
                "(setattr(self, 'address', ''), self._resolve(name))[1]",
                call="_resolve",
            ),
        ),
        (f"{PASSIVE}::test_the_last_good_answer_is_kept_when_the_resolver_fails",),
    ),
    Mend(
        "63",
        "a resolver that hangs gets a thread with every lookup",
        (Seam("server.passive_address:PassiveAddress.check", "False", test="is_alive"),),
        (f"{PASSIVE}::test_a_resolver_that_hangs_has_one_thread_and_holds_nobody_up",),
    ),
    Mend(
        "63",
        "clients inside are sent to the outer address",
        (Seam("ftps.verbs.data_connection:_told", "False", test="within"),),
        (f"{PASSIVE}::test_clients_inside_are_told_the_address_that_they_reached",),
    ),
)
