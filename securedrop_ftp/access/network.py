"""Addresses, and the partners' network rules. Deny wins; any allow rule means: match one.

An address has one spelling everywhere: :func:`canonical` is called where it enters (an accepted
connection, a PROXY header, an HTTP request), and what is stored, counted or compared later is that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: One IPv6 customer holds at least a /64 (RFC 6177), so guesses are counted by /64.
IPV6_SOURCE_PREFIX: Final = 64

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


#: Addresses that are parsed once: each login asks for its own ten times.
_REMEMBERED: Final = 1024


@lru_cache(maxsize=_REMEMBERED)
def normalise(text: str) -> Address:
    """The address of a socket's peer: zone removed, IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) as
    IPv4.

    Raises:
        ValueError: not an address.
    """
    address = ipaddress.ip_address(text.strip().partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=_REMEMBERED)
def canonical(text: str) -> str:
    """The one spelling of an address: IPv4-mapped IPv6 as IPv4, IPv6 in RFC 5952's form, without
    the zone, which is this machine's name for an interface and not part of who the peer is.

    On a dual-stack listener the kernel says ``::ffff:192.0.2.7`` for an IPv4 peer (RFC 4291
    §2.5.5.2); beside ``192.0.2.7`` from elsewhere it was another client (data channels refused).

    Raises:
        ValueError: not an address.
    """
    return str(normalise(text))


_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def is_host_name(text: str) -> bool:
    """Whether a resolver could know it (RFC 1123 §2.1): no address, nor a number that looks like
    one (``192.0.2``)."""
    labels = text.removesuffix(".").split(".")
    return (
        len(text) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def network(text: str) -> Network:
    """A rule's network, IPv4-mapped ones as IPv4, so that both ways of writing it match."""
    net = ipaddress.ip_network(text)
    if isinstance(net, ipaddress.IPv6Network) and net.subnet_of(_MAPPED):
        mapped = int(net.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((mapped, net.prefixlen - 96))
    return net


@lru_cache(maxsize=16)
def networks(text: str) -> tuple[Network, ...]:
    """The networks and addresses of a setting, separated by commas.

    Raises:
        ValueError: one of them is neither, or has bits beyond its prefix (10.0.0.1/8).
    """
    return tuple(network(word.strip()) for word in text.split(",") if word.strip())


def within(address: str, text: str) -> bool:
    """Whether a canonical address lies in one of the networks of a setting."""
    if not text:
        return False
    ip = ipaddress.ip_address(address)
    return any(ip.version == net.version and ip in net for net in networks(text))


@lru_cache(maxsize=_REMEMBERED)
def source_of(text: str) -> str:
    """What guesses are counted by: the IPv4 address, or the /64 of an IPv6 one."""
    address = normalise(text)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), IPV6_SOURCE_PREFIX), strict=False))


def allowed(remote_ip: str, rules: Iterable[tuple[str, str]]) -> bool:
    """Whether ``remote_ip`` may come in under ``rules``, pairs of ``allow``/``deny`` and a
    network. What is not an address may not."""
    try:
        address = normalise(remote_ip)
    except ValueError:
        return False
    any_allow = matched = False
    for action, text in rules:
        net = network(text)
        hit = address.version == net.version and address in net
        if action == "deny":
            if hit:
                return False
        else:
            any_allow = True
            matched = matched or hit
    return matched or not any_allow
