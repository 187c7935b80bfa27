"""What the workers of one service share, in memory that is made before they are forked."""

from __future__ import annotations

from dataclasses import dataclass

from securedrop_ftp.conf import Conf
from securedrop_ftp.refusals import LAYOUT, refusals
from securedrop_ftp.server.connections import ConnectionTable
from securedrop_ftp.server.families import Families
from securedrop_ftp.server.handover import GENERATIONS, Inheritance
from securedrop_ftp.server.rates import AddressRates
from securedrop_ftp.tls.pages import Pages


@dataclass(frozen=True, slots=True)
class Shared:
    """Made by the supervisor; memory of the generation before it, where that fits.

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

    @classmethod
    def made(cls, conf: Conf, bank: int, inheritance: Inheritance) -> Shared:
        """For one generation: with the memory of the one before it, as far as the settings of both
        have one layout. What is left of the inheritance is closed."""
        buckets = refusals.buckets
        buckets.share(inheritance.take(f"memory/{LAYOUT}", lambda: buckets.memory))
        shared = cls(
            ConnectionTable(
                conf.workers,
                conf.max_connections,
                banks=GENERATIONS,
                bank=bank,
                inheritance=inheritance,
            ),
            Families(conf.workers, conf.max_connections),
            Pages(),
            AddressRates(name="logins", inheritance=inheritance),
            AddressRates(name="arrivals", inheritance=inheritance),
        )
        inheritance.close_rest()
        return shared
