"""Live control: the sessions of this process, of whichever door, and what operators want of them.

Again and again it asks whether what let a session in still holds (rows 31 and 73), shows the
sessions to operators, and ends those that they want ended.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from datetime import datetime
from typing import Final, Protocol

from securedrop_ftp.access.live import Standing, standings
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.engine.pools import FairPool
from securedrop_ftp.engine.presence import Board, Snapshot
from securedrop_ftp.engine.rounds import log_failure
from securedrop_ftp.log import get_logger

logger = get_logger(__name__)

#: Live control's own queue in the accounts pool: a crowd of logins must not keep sessions alive
#: that may no longer be.
CONTROL: Final = "control"
_PRESENCE: Final = "presence"


class ControlledSession(Protocol):
    """A session of any door. All of it is used from threads that are not the session's own:
    properties must be safe to read there, and the methods must return at once.

    Attributes:
        id: unique among all sessions; it is in the audit trail.
        door: the protocol's name: ``ftps``.
        address: the client's IP address.
        principal: who is logged in; ``None`` before the login.
        doing: what it does now, for operators.
        bytes_moved: payload in either direction since it began.
        started: UTC.
    """

    @property
    def id(self) -> str: ...

    @property
    def door(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def principal(self) -> Principal | None: ...

    @property
    def doing(self) -> str: ...

    @property
    def bytes_moved(self) -> int: ...

    @property
    def started(self) -> datetime: ...

    def end(self, reason: str) -> None:
        """End it: tell the client, leave ``reason`` in the audit trail."""

    def become(self, asked: Principal, now: Principal) -> None:
        """Go on as ``now``, if it still is who was ``asked`` about; or end, if the door finds that
        ``now`` may have fewer sessions."""


class LiveControl:
    """See the module's docstring. Thread-safe; nothing here blocks."""

    def __init__(self, accounts: FairPool, board: Board) -> None:
        self._accounts, self._board = accounts, board
        self._sessions: dict[str, ControlledSession] = {}
        self._lock = threading.Lock()
        self._publishing = self._shown = False

    def add(self, session: ControlledSession) -> None:
        """Control it from now on."""
        with self._lock:
            self._sessions[session.id] = session

    def remove(self, session_id: str) -> None:
        """Control a session no longer: it has ended."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def __len__(self) -> int:
        return len(self._sessions)

    def sessions(self) -> list[ControlledSession]:
        """Those of this moment."""
        with self._lock:
            return list(self._sessions.values())

    def check(self) -> None:
        """Sessions whose account, partner or network may no longer end; the others go on with
        what holds now."""
        live = [(s, p) for s in self.sessions() if (p := s.principal) is not None]
        if not live:
            return

        def settle(done: Future[list[Standing]]) -> None:
            if done.exception() is None:
                for (session, asked), standing in zip(live, done.result(), strict=True):
                    _settle(session, asked, standing)

        asked = [(principal, session.address) for session, principal in live]
        future = self._accounts.submit(CONTROL, standings, asked)
        future.add_done_callback(settle)
        log_failure(future, "session check")

    def publish(self) -> None:
        """Show the sessions to operators, and end those that they want ended. One at a time,
        however long the database takes."""
        sessions = self.sessions()
        if self._publishing or (not sessions and not self._shown):
            return
        shots = [_snapshot(session) for session in sessions]
        self._publishing, self._shown = True, bool(sessions)
        future = self._accounts.submit(_PRESENCE, self._board.publish, shots)
        future.add_done_callback(self._published)
        log_failure(future, "presence")

    def _published(self, done: Future[dict[str, str]]) -> None:
        self._publishing = False
        if done.exception() is None:
            for session_id, operator in done.result().items():
                session = self._sessions.get(session_id)
                if session is not None:
                    _end(session, f"ended by {operator}")


def _settle(session: ControlledSession, asked: Principal, standing: Standing) -> None:
    if standing.ended:
        _end(session, standing.ended)
    elif standing.principal != asked:
        session.become(asked, standing.principal)


def _end(session: ControlledSession, reason: str) -> None:
    """One that fails keeps no other alive."""
    try:
        session.end(reason)
    except Exception:
        logger.exception("session.not_ended", session=session.id, door=session.door)


def _snapshot(session: ControlledSession) -> Snapshot:
    principal = session.principal
    return Snapshot(
        id=session.id,
        partner=principal.partner if principal else "",
        account=principal.username if principal else "",
        remote_ip=session.address,
        doing=session.doing[:255],
        bytes_moved=session.bytes_moved,
        started=session.started,
    )
