"""Rows of docs/reference/security-bar.md: addresses, balancers and the PROXY protocol."""

from __future__ import annotations

from typing import Final

from tests.security.mends import Cut, Mend

WEB: Final = "tests/project/test_web.py"
DUAL_STACK: Final = "tests/ftps/test_dual_stack.py"

ROWS: Final[tuple[Mend, ...]] = (
    Mend(
        "60",
        "one client has two spellings: ::ffff:a.b.c.d and a.b.c.d",
        (Cut("access/network.py", "return str(normalise(text))", "return text"),),
        (
            f"{DUAL_STACK}::test_an_ipv4_client_of_a_dual_stack_listener_has_data_channels",
            f"{DUAL_STACK}::test_epsv_speaks_the_clients_protocol",
            f"{WEB}::test_on_a_dual_stack_listener_an_ipv4_client_has_its_ipv4_address",
        ),
    ),
)
