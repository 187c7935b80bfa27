"""What the sessions of one worker ask for (:class:`securedrop_ftp.ftps.runtime.Runtime`): the
engine's parts, what workers share, and TLS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from OpenSSL import SSL

from securedrop_ftp.conf import Conf
from securedrop_ftp.engine import Engine
from securedrop_ftp.events import Event
from securedrop_ftp.ftps.handshakes import HandshakeBudget
from securedrop_ftp.ftps.kinship import Kinship
from securedrop_ftp.ftps.runtime import Refused
from securedrop_ftp.server import passive_address
from securedrop_ftp.server.contexts import ServerContexts
from securedrop_ftp.server.loop import Loop
from securedrop_ftp.server.rates import Place
from securedrop_ftp.server.shared import Shared
from securedrop_ftp.tls.contexts import Certificate


class WorkerRuntime:
    """Made after the fork. :class:`~securedrop_ftp.server.worker.Worker` adds the life of a worker
    and of its sessions."""

    def __init__(self, engine: Engine, shared: Shared, certificate: Certificate) -> None:
        self.conf: Conf = engine.conf
        self.engine, self.shared = engine, shared
        self.intake, self.reads = engine.intake, engine.reads
        self.loop = Loop()
        self.contexts = ServerContexts(self.conf, certificate)
        self.handshakes = HandshakeBudget()
        self.kinship = Kinship(shared.pages, shared.families)
        self.passive = passive_address.watched(
            self.conf.data_dir,
            self.conf.ftps_passive_address,
            self.conf.ftps_passive_lookup_interval,
        )
        self._listeners: Counter[int] = Counter()  # pending passive ones, by partner id

    # --- the engine ------------------------------------------------------------------

    def accounts(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run in the accounts pool."""
        return self.engine.accounts.submit("", function, *args)

    def storage(self, partner: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run on the partner's share of the storage pool."""
        return self.engine.storage.submit(partner, function, *args)

    def record(self, event: Event, *, later: bool = False) -> Future[None]:
        """Into the audit trail, in order."""
        return self.engine.record(event, later=later)

    # --- addresses and TLS -----------------------------------------------------------

    @property
    def passive_address(self) -> str:
        """The address that PASV tells, textual."""
        return self.passive.address

    def tls_context(self, tls13: bool) -> tuple[SSL.Context, bool]:
        """The TLS context for a control connection that comes now, and whether it offers TLS
        1.3."""
        return self.contexts.control(tls13)

    def strangers_context(self, tls13: bool) -> SSL.Context:
        """For data channels that resume nothing."""
        return self.contexts.strangers(tls13)

    # --- caps and rates --------------------------------------------------------------

    def assign_partner(self, connection_id: int, partner_id: int, limit: int) -> str:
        """Count the connection for its partner, over all workers; ``""``, or why not
        (``sessions``, ``gone``)."""
        return self.shared.table.assign(connection_id, partner_id, limit)

    def login_begins(self, address: str) -> Place | Refused:
        """Take a place in the address's login rate, over all workers."""
        return self.shared.rates.take(address, self.conf.login_rate_per_ip)

    def login_ended(self, place: Any, *, good: bool) -> None:
        """A good one counts no more, and neither does the connection that brought it."""
        if good:
            self.shared.rates.give_back(place)
            self.shared.arrivals.forgive(place.address)
        else:
            self.shared.rates.failed(place)

    def passive_listener_opened(self, partner_id: int, limit: int) -> bool:
        """Count a passive listener of the partner in this worker; false where it has ``limit``
        already."""
        if self._listeners[partner_id] >= limit:
            return False
        self._listeners[partner_id] += 1
        return True

    def passive_listener_closed(self, partner_id: int) -> None:
        """Taken, or given up."""
        self._listeners[partner_id] -= 1
        if self._listeners[partner_id] <= 0:
            del self._listeners[partner_id]
