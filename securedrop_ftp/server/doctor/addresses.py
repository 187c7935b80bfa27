"""What clients are told to connect to, and whose PROXY headers are believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from concurrent.futures import TimeoutError as TooSlow
from typing import Final

from securedrop_ftp.access import network
from securedrop_ftp.checks.exposure import is_loopback
from securedrop_ftp.conf import Conf
from securedrop_ftp.db.threads import Threads
from securedrop_ftp.server.doctor.finding import Finding, ok, problem, warning
from securedrop_ftp.server.passive_address import lookup, remembered

CHECK: Final = "addresses"

_TIMEOUT: Final = 10.0
_SET_IT: Final = "Mend the name's DNS record (type A), or SECUREDROP_FTPS_PASSIVE_ADDRESS."


def addresses(conf: Conf) -> Iterator[Finding]:
    """Nothing where neither is set."""
    if conf.ftps_passive_address:
        yield from _passive(conf, conf.ftps_passive_address)
    if conf.proxy_protocol_from:
        count = len(network.networks(conf.proxy_protocol_from))
        yield ok(
            CHECK,
            f"connections from {conf.proxy_protocol_from} ({count}) must begin with a PROXY "
            "header, and no others may.",
        )


def _passive(conf: Conf, told: str) -> Iterator[Finding]:
    try:
        found = [network.canonical(told)]
    except ValueError:
        try:
            found = _looked_up(told)
        except (OSError, UnicodeError, TooSlow) as exc:
            kept = remembered(conf.data_dir, told)
            yield problem(
                CHECK,
                f"The passive address {told} does not resolve to an IPv4 address: {exc}. PASV "
                + (f"tells the last answer, {kept}." if kept else "is refused; EPSV works."),
                _SET_IT,
            )
            return
        yield ok(CHECK, f"the passive address {told} is {' and '.join(found)} now.")
    if any(ipaddress.ip_address(a).is_loopback for a in found) and not is_loopback(conf.bind[0]):
        yield warning(CHECK, f"PASV tells {found[0]}, which leads every client to itself.", _SET_IT)


def _looked_up(name: str) -> list[str]:
    pool = Threads(max_workers=1)
    try:
        return pool.submit(lookup, name).result(_TIMEOUT)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
