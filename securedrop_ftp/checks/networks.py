"""Checks of settings that hold networks: for whom the service makes an exception."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name

from securedrop_ftp.access import network
from securedrop_ftp.conf import Conf

_SETTINGS: Final = {
    "proxy_protocol_from": "anybody may then say in a PROXY header that they are somebody else",
    "ftps_passive_direct_from": "nobody is then told SECUREDROP_FTPS_PASSIVE_ADDRESS",
    "health_check_from": "strangers may then connect without a row in the audit trail",
}


def network_problems(conf: Conf) -> Iterator[CheckMessage]:
    """E013 for what is not a list of networks, W014 for everybody."""
    for name, danger in _SETTINGS.items():
        text = getattr(conf, name)
        try:
            networks = network.networks(text)
        except ValueError as exc:
            yield Error(
                f"SECUREDROP_{name.upper()} is {text!r}, which is not a list of networks: {exc}.",
                hint="Addresses and networks with commas between: 192.0.2.10,198.51.100.0/24,"
                "2001:db8::/64.",
                id="securedrop.E013",
            )
            continue
        if _everybody(networks):
            yield Warning(
                f"SECUREDROP_{name.upper()} holds every address: {danger}.",
                hint="Name the addresses of those alone whom it is meant for.",
                id="securedrop.W014",
            )


def _everybody(networks: Iterable[network.Network]) -> bool:
    """Whether they hold every address of a family, also in pieces (0.0.0.0/1, 128.0.0.0/1)."""
    v4 = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    v6 = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    return any(n.prefixlen == 0 for n in ipaddress.collapse_addresses(v4)) or any(
        n.prefixlen == 0 for n in ipaddress.collapse_addresses(v6)
    )
