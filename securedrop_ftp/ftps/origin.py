"""Where a control connection comes from: the client itself, or a balancer that names it."""

from __future__ import annotations

from dataclasses import dataclass

from securedrop_ftp.access import network
from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.proxy_protocol import Header


@dataclass(frozen=True, slots=True)
class Origin:
    """Addresses are canonical (:func:`securedrop_ftp.access.network.canonical`).

    Attributes:
        client: whom rules, caps, rates, lockouts and the trail mean.
        reached: the address that the client connected to; ``""``: the socket's own.
        balancer: who sent the PROXY header; ``""``: nobody.
        named: whether the header named the client. Where not, ``client`` is the balancer itself.
        is_check: a health check until it says more than one does; it leaves no row then.
    """

    client: str
    reached: str = ""
    balancer: str = ""
    named: bool = False
    is_check: bool = False

    @classmethod
    def direct(cls, client: str, conf: Conf) -> Origin:
        """A connection without a header."""
        return cls(client, is_check=network.within(client, conf.health_check_from))

    @classmethod
    def behind(cls, balancer: str, header: Header) -> Origin:
        """A connection that a balancer passed on, or has made itself: then the header names nobody,
        or the balancer's own address (HAProxy's checks with version 1 do)."""
        reached = header.server or ""
        if header.client in (None, balancer):
            return cls(balancer, reached, balancer, is_check=True)
        return cls(header.client, reached, balancer, named=True)
