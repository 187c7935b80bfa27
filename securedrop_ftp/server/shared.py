"""What the workers of one service share, in memory that is made before they are forked."""

from __future__ import annotations

from dataclasses import dataclass

from securedrop_ftp.server.connections import ConnectionTable
from securedrop_ftp.server.families import Families
from securedrop_ftp.server.rates import AddressRates
from securedrop_ftp.tls.pages import Pages


@dataclass(frozen=True, slots=True)
class Shared:
    """Made by the supervisor.

    Attributes:
        table: connections, and whose they are.
        families: sessions of one client, whose data channels may resume each other's TLS session.
        pages: keys of TLS session tickets.
        rates: logins a minute, by address.
        arrivals: connections a minute, by address.
    """

    table: ConnectionTable
    families: Families
    pages: Pages
    rates: AddressRates
    arrivals: AddressRates
