"""What a login is made of: who tries and from where, what the door has to say, and the refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from securedrop_ftp.access.certificates import PeerCertificate
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    LoginFailed,
    LoginReason,
    NoStorageForLogin,
    SecureDropError,
    StorageNotSeen,
    TooManySessions,
)
from securedrop_ftp.models import Account

#: Asks for a place for who has shown the right credentials, before the trail says that it is in:
#: ``""``, or why there is none (``sessions``, ``gone``).
TakePlace = Callable[[Principal], str]

#: Asks, likewise, whether its files can be reached: ``None``, or :class:`NoStorageForLogin`, or
#: :class:`StorageNotSeen` where somebody has to look first. Does not block.
FindFiles = Callable[[Principal], NoStorageForLogin | StorageNotSeen | None]

_NO_PLACE: Final = {
    "sessions": "max_sessions: the partner has as many sessions as it may have",
    "gone": "the connection ended before the login did",
}


class Door(Protocol):
    """What the login must know of the door that it came through: how it words an outcome. An audit
    row says what the client was told, and is written before anybody is told."""

    def refused(self, error: SecureDropError) -> str:
        """What the client of a login that failed with ``error`` is told, one line."""

    def logged_in(self, *, by_certificate: bool) -> str:
        """What a client that is in is told, one line."""


class _NoClient:
    """For a caller that tells nobody."""

    def refused(self, error: SecureDropError) -> str:
        return ""

    def logged_in(self, *, by_certificate: bool) -> str:
        return ""


#: For a caller that tells nobody.
NO_CLIENT: Final = _NoClient()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries, from where. Holds no password."""

    name: str | None  # None: no account can be called that
    shown: str  # escaped: counted and shown by
    sent: str  # as the client sent it; the audit trail escapes it
    remote_ip: str
    source: str
    session: str
    certificate: PeerCertificate | None = None
    door: Door = NO_CLIENT

    def event(
        self,
        name: str,
        outcome: str,
        reason: str,
        account: Account | None = None,
        reply: str | None = None,
    ) -> Event:
        """``reply``: what the client is told, where that is not the refusal of all logins."""
        return Event(
            name,
            outcome=outcome,
            partner=account.partner.name if account is not None else "",
            partner_id=account.partner_id if account is not None else None,
            account=self.sent,
            remote_ip=self.remote_ip,
            session=self.session,
            reason="; ".join(text for text in (reason, self._shown_certificate) if text),
            reply=self.door.refused(LoginFailed()) if reply is None else reply,
        )

    @property
    def _shown_certificate(self) -> str:
        return str(self.certificate) if self.certificate is not None else ""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the door has to say of who has shown the right credentials, before the row is written:
    the row is true."""

    find_files: FindFiles | None
    take_place: TakePlace | None

    def hindrance(self, principal: Principal) -> SecureDropError | None:
        """What stands against the login; its text is the row's reason. ``None``: nothing."""
        error = self.find_files(principal) if self.find_files is not None else None
        if error is not None:
            return error
        no_place = self.take_place(principal) if self.take_place is not None else ""
        return TooManySessions(_NO_PLACE[no_place]) if no_place else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a login ended that let nobody in."""

    words: str  # of the row
    why: LoginReason | None = None
    #: What is raised where the credentials are right.
    error: SecureDropError | None = None
