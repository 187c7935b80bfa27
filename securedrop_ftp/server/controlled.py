"""An FTPS session as live control sees it (:class:`securedrop_ftp.engine.live.ControlledSession`).

Live control's threads read the session's attributes, each once; what it is to do is done on its
loop.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from securedrop_ftp import replies
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.server.connections import ConnectionTable

DOOR: Final = "ftps"


class FtpsSession:
    """See the module's docstring."""

    __slots__ = ("_session", "_table", "address", "door", "id")

    def __init__(self, session: Session, table: ConnectionTable) -> None:
        self._session, self._table = session, table
        self.id, self.door, self.address = session.id, DOOR, session.remote_ip

    @property
    def principal(self) -> Principal | None:
        """Who is logged in."""
        return self._session.principal

    @property
    def doing(self) -> str:
        """The transfer that runs, or the verb."""
        transfer = self._session.transfer
        return self._session.doing if transfer is None else f"{transfer.kind} of {transfer.path}"

    @property
    def bytes_moved(self) -> int:
        """Payload of all transfers so far, in bytes."""
        return self._session.bytes_moved

    @property
    def started(self) -> datetime:
        """When the session began, in UTC."""
        return datetime.now(UTC) - timedelta(seconds=self._session.age)

    def end(self, reason: str) -> None:
        """On the session's loop."""
        session = self._session
        session.loop.call_soon_threadsafe(session.end, replies.SESSION_ENDED, reason)

    def become(self, asked: Principal, now: Principal) -> None:
        """On the session's loop."""
        self._session.loop.call_soon_threadsafe(self._become, asked, now)

    def _become(self, asked: Principal, now: Principal) -> None:
        session = self._session
        if self._is_one_too_many(asked, now):
            session.end(replies.SESSION_ENDED, "The partner may have fewer sessions now.")
        elif session.principal is asked:
            session.become(now)

    def _is_one_too_many(self, asked: Principal, now: Principal) -> bool:
        """Who logs in is held to the limit already; here it was lowered."""
        fewer = now.max_sessions < asked.max_sessions
        connection_id = self._session.connection_id
        return fewer and self._table.is_beyond(connection_id, now.partner_id, now.max_sessions)
