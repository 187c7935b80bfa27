"""Who is at the other end of a session."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from securedrop_ftp.access.principal import Principal
from securedrop_ftp.ftps.kinship import Member
from securedrop_ftp.ftps.origin import Origin


@dataclass(slots=True)
class Account:
    """Who has logged in. The operator may change it while the session goes on."""

    #: Rights and limits as they are now.
    principal: Principal


@dataclass(slots=True)
class Client:
    """The client of one session; addresses are canonical."""

    #: The session's id, random, in rows and log lines.
    session: str
    #: Where the connection comes from: the client itself, or a balancer that names it.
    origin: Origin
    #: Its place in the table of connections, which all workers share.
    connection_id: int
    #: The address that the client connected to.
    local_ip: str
    #: Where a data channel that proved to be the client's came from.
    data_ip: str = ""
    #: Whose TLS session its data channels resume: the control connection's own.
    member: Member | None = None
    #: Who has logged in; ``None`` before.
    account: Account | None = None
    #: When the connection was accepted, by :func:`time.monotonic`.
    started: float = field(default_factory=time.monotonic)

    @property
    def remote_ip(self) -> str:
        """The client's address, in its one spelling."""
        return self.origin.client

    @property
    def principal(self) -> Principal | None:
        """Rights and limits of who has logged in."""
        return self.account.principal if self.account is not None else None

    @property
    def age(self) -> float:
        """Seconds since the connection was accepted."""
        return time.monotonic() - self.started
