"""Network rules: deny wins, any allow must match, mapped addresses are what they map."""

from __future__ import annotations

import pytest

from securedrop_ftp.access.network import allowed

ALLOW, DENY = "allow", "deny"


@pytest.mark.parametrize(
    ("address", "rules", "expected"),
    [
        ("192.0.2.7", [], True),
        ("192.0.2.7", [(ALLOW, "192.0.2.0/24")], True),
        ("192.0.2.7", [(ALLOW, "192.0.2.7")], True),
        ("192.0.3.7", [(ALLOW, "192.0.2.0/24")], False),
        ("192.0.3.7", [(ALLOW, "192.0.2.0/24"), (ALLOW, "192.0.3.0/24")], True),
        ("192.0.2.7", [(DENY, "192.0.2.7/32")], False),
        ("192.0.2.8", [(DENY, "192.0.2.7/32")], True),
        ("192.0.2.7", [(ALLOW, "192.0.2.0/24"), (DENY, "192.0.2.7/32")], False),
        ("192.0.2.7", [(DENY, "192.0.2.0/24"), (ALLOW, "192.0.2.7/32")], False),
        ("::ffff:192.0.2.7", [(ALLOW, "192.0.2.0/24")], True),
        ("::ffff:192.0.2.7", [(DENY, "192.0.2.0/24")], False),
        ("192.0.2.7", [(DENY, "::ffff:192.0.2.0/120")], False),
        ("192.0.2.7", [(ALLOW, "::/0")], False),
        ("2001:db8::1", [(ALLOW, "0.0.0.0/0")], False),
        ("2001:db8::1", [(ALLOW, "2001:db8::/32")], True),
        ("fe80::1%eth0", [(ALLOW, "fe80::/10")], True),
        ("not an address", [], False),
        ("", [], False),
    ],
)
def test_rules(address: str, rules: list[tuple[str, str]], expected: bool) -> None:
    assert allowed(address, rules) is expected
