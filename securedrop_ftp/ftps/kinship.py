"""Which TLS session a data channel resumes, and whether that makes it the client's.

A data channel may resume the session of its own control connection, or of a *sibling*: any live
control connection of the same account and the same exact address, on any worker of the node
(clients with one TLS session cache for several connections: ``curl -Z``, rclone). OpenSSL resumes a
session only under the session id context (*sid*) that it was made with, so the ClientHello is first
tried in memory against the sids of the family. That only tells which one to take: the handshake
itself proves that the peer has the session's secret, and :meth:`Kinship.standing` asks once more,
after it, whether the sibling still lives and who it is.

A handshake that resumes nothing is another context's: the session that it leaves opens nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from OpenSSL import SSL

from securedrop_ftp.log import get_logger
from securedrop_ftp.tls import openssl
from securedrop_ftp.tls.hello import session_id_of
from securedrop_ftp.tls.pages import Pages
from securedrop_ftp.tls.session_der import without_peer

logger = get_logger(__name__)

#: Sessions that one ClientHello is tried against: each costs some 20 µs of the loop, so all of them
#: less than one handshake in full; and ClientHellos that resume nothing have a bound
#: (:mod:`securedrop_ftp.ftps.handshakes`), beyond which only the own session is tried.
MAX_FAMILY: Final = 32


@dataclass(frozen=True, slots=True)
class Member:
    """A control connection, as far as its TLS session matters to data channels.

    Attributes:
        page, sid: what its session was made under (:mod:`securedrop_ftp.tls.pages`).
        tls13: whether it speaks TLS 1.3.
        session_id, session: of a TLS 1.2 session without a ticket: its id, and OpenSSL's DER of it.
        proved: whether it has logged in.
    """

    page: int
    sid: bytes
    tls13: bool = False
    session_id: bytes = b""
    session: bytes = b""
    proved: bool = False


class FamilyTable(Protocol):
    """What all workers know (:class:`securedrop_ftp.server.families.Families`)."""

    def join(self, connection_id: int, address: str, member: Member) -> None: ...

    def prove(self, connection_id: int, account_id: int) -> None: ...

    def leave(self, connection_id: int) -> None: ...

    def of(self, connection_id: int) -> list[Member]: ...


class Standing(Enum):
    """What a resumed session says of its peer."""

    OURS = "ours"
    LOGGING_IN = "logging in"
    NOT_OURS = "not ours"


class Kinship:
    """Of one worker; for the loop's thread. Tickets name control connections."""

    def __init__(self, pages: Pages, families: FamilyTable) -> None:
        self._pages, self._families = pages, families

    # --- control connections ---------------------------------------------------------

    def accept_control(
        self, sock: socket.socket, context: SSL.Context, lifetime: float, *, tls13: bool
    ) -> tuple[SSL.Connection, Member]:
        """The server side of a control connection, and what is known of it so far."""
        member = Member(self._pages.now, openssl.new_sid())
        made = self._pages.accept(
            member.page, member.sid, context, sock, tls13=tls13, lifetime=int(lifetime)
        )
        return made, member

    def join(self, connection_id: int, address: str, member: Member, tls: SSL.Connection) -> Member:
        """Its handshake is done."""
        tls13 = tls.get_protocol_version() != SSL.TLS1_2_VERSION
        session_id, session = b"", b""
        if not tls13:
            session_id, session = without_peer(openssl.exported_session(tls))
        if not session_id:
            session = b""  # the client has a ticket
        known = Member(member.page, member.sid, tls13, session_id, session)
        self._families.join(connection_id, address, known)
        return known

    def prove(self, connection_id: int, account_id: int) -> None:
        """It has logged in."""
        self._families.prove(connection_id, account_id)

    def leave(self, connection_id: int) -> None:
        """It ends; its session opens nothing from now on."""
        self._families.leave(connection_id)

    # --- data channels ---------------------------------------------------------------

    def resume(
        self, connection_id: int, own: Member, hello: list[bytes], *, siblings: bool
    ) -> tuple[Member, SSL.Connection] | None:
        """The member whose session a data channel resumes, and the channel's server side, which
        has taken ``hello``, the records of its ClientHello. That has no certificate, so it can do
        nothing else: whatever the peer tries, no other session is made under that sid. ``None``:
        it would resume none of theirs.

        Raises:
            HandshakeFailed: it resumes one, and fails all the same.
        """
        session_id, records = session_id_of(hello), b"".join(hello)
        made = self._resuming(own, session_id, records)
        if made is not None:  # nearly always: no table is looked at
            return own, made
        family = self._families.of(connection_id) if siblings else []
        family.sort(key=lambda member: member.session_id != session_id)
        for member in family:
            if member.sid != own.sid:
                made = self._resuming(member, session_id, records)
                if made is not None:
                    return member, made
        return None

    def _resuming(self, member: Member, session_id: bytes, hello: bytes) -> SSL.Connection | None:
        """A connection that resumes the member's session, if the ClientHello does. A session that
        is known by its id, and that this worker has not seen, is put where OpenSSL looks."""
        if member.session_id and member.session_id != session_id:
            return None
        page, sid, tls13 = member.page, member.sid, member.tls13
        made = self._pages.resuming(page, sid, hello, tls13=tls13)
        if made is None and member.session_id:
            self._pages.import_session(page, sid, member.session)
            made = self._pages.resuming(page, sid, hello, tls13=tls13)
        return made

    def standing(
        self, connection_id: int, own: Member, chosen: Member | None, *, siblings: bool
    ) -> Standing:
        """Asked after a handshake that resumed the session of ``chosen``."""
        if chosen is None:
            return Standing.NOT_OURS
        if chosen.sid == own.sid:
            return Standing.OURS
        family = self._families.of(connection_id) if siblings else []
        now = next((member for member in family if member.sid == chosen.sid), None)
        if now is None:
            return Standing.NOT_OURS
        return Standing.OURS if now.proved else Standing.LOGGING_IN
