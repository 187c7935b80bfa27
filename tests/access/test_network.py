"""Network rules: deny wins, any allow must match, mapped addresses are what they map."""

from __future__ import annotations

import pytest

from securedrop_ftp.access.network import allowed, canonical

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


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("0:0:0:0:0:FFFF:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("::192.0.2.7", "::c000:207"),  # deprecated "IPv4-compatible": another address
    ],
)
def test_an_address_has_one_spelling(told: str, address: str) -> None:
    assert canonical(told) == address


@pytest.mark.parametrize("told", ["", "localhost", "192.0.2", "192.0.2.07", "::g"])
def test_what_is_no_address_is_not_spelt(told: str) -> None:
    with pytest.raises(ValueError, match="address"):
        canonical(told)
