"""What a session needs of the worker it lives in. ``server.worker`` provides it; ``ftps`` must not
import ``server``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from typing import Any, Protocol

from OpenSSL import SSL

from securedrop_ftp.conf import Conf
from securedrop_ftp.engine.reads import ReadBudget
from securedrop_ftp.events import Event
from securedrop_ftp.ftps.draining import Drain
from securedrop_ftp.ftps.handshakes import HandshakeBudget
from securedrop_ftp.ftps.kinship import Kinship
from securedrop_ftp.intake.service import Intake


class Refused(Enum):
    """Why an address has no place for a login: for this minute, or until a check has ended."""

    NOW = "now"
    WAIT = "wait"


class EventLoop(Protocol):
    """The part of the loop that channels use."""

    READ: int
    WRITE: int

    def register(self, fd: int, instance: Any, events: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def modify(self, fd: int, events: int) -> None: ...

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None: ...

    def call_soon_threadsafe(self, function: Callable[..., Any], *args: Any) -> None: ...

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> Any: ...


class Runtime(Protocol):
    """A worker, seen from a session."""

    conf: Conf
    intake: Intake
    draining: Drain | None
    reads: ReadBudget
    handshakes: HandshakeBudget
    kinship: Kinship

    @property
    def passive_address(self) -> str:
        """What PASV tells where an address or a name is set; ``""``: not known."""

    @property
    def loop(self) -> EventLoop:
        """The event loop of the worker."""

    def accounts(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run in the accounts pool (database, password hashing)."""

    def storage(self, partner: str, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Run in the storage pool, on the partner's share."""

    def record(self, event: Event, *, later: bool = False) -> Future[None]:
        """Send the event to its receivers, on a thread that may block; never lost. ``later``:
        behind what uploads and sessions wait for."""

    def tls_context(self, tls13: bool) -> tuple[SSL.Context, bool]:
        """The context with the certificate in force for a client that suits TLS 1.3, or does not;
        and whether TLS 1.3 may be spoken."""

    def strangers_context(self, tls13: bool) -> SSL.Context:
        """The context for data channels that resume nothing."""

    def assign_partner(self, connection_id: int, partner_id: int, limit: int) -> str:
        """Count a session for its partner, from any thread; ``""``, ``"sessions"`` past
        ``limit``, or ``"gone"`` where the connection is."""

    def login_begins(self, address: str) -> Any:
        """Count a login attempt of an address: a place, or ``Refused``."""

    def login_ended(self, place: Any, *, good: bool) -> None:
        """The attempt that has the place is over; a good one counts no more."""

    def passive_listener_opened(self, partner_id: int, limit: int) -> bool:
        """Count a pending passive listener; ``False`` past ``limit``."""

    def passive_listener_closed(self, partner_id: int) -> None:
        """It was taken, or given up."""

    def session_closed(self, session: Any) -> None:
        """A session has closed: forget it, and free its place."""
