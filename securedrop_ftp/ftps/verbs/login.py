"""AUTH, PBSZ, PROT (RFC 4217), USER, PASS, QUIT (RFC 959 §4.1.1)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

from securedrop_ftp import reasons, replies
from securedrop_ftp.access.certificates import PeerCertificate
from securedrop_ftp.access.login import log_in, log_in_by_certificate
from securedrop_ftp.access.principal import Principal
from securedrop_ftp.events import Event
from securedrop_ftp.exceptions import (
    AccessUnavailable,
    LoginFailed,
    NoStorageForLogin,
    SecureDropError,
    SessionGone,
    StorageNotSeen,
    TooManySessions,
)
from securedrop_ftp.ftps.answers import FTPS, answer
from securedrop_ftp.ftps.client import Account
from securedrop_ftp.ftps.logged_in import LoggedIn
from securedrop_ftp.ftps.registry import verb
from securedrop_ftp.ftps.runtime import Refused
from securedrop_ftp.ftps.session import Session
from securedrop_ftp.intake.kept_directories import confined
from securedrop_ftp.intake.locations import located_backend, seen_backend
from securedrop_ftp.log import get_logger
from securedrop_ftp.replies import Reply
from securedrop_ftp.storage.protocol import Backend
from securedrop_ftp.tls.peer import peer_certificates

logger = get_logger(__name__)

T = TypeVar("T")

#: Wrong passwords in one session; then it is closed.
MAX_FAILED_LOGINS: Final = 3
#: Seconds that a login waits while others of its address are being checked.
LOGIN_PATIENCE: Final = 15.0


@verb("AUTH", clear=True, login=False, argument=True, words=True, syntax="AUTH TLS")
def auth(session: Session, argument: str) -> Reply | None:
    """RFC 4217 §4. Input behind AUTH would be plaintext that pretends to have come under TLS
    (row 8): the session is closed."""
    if session.tls is not None:
        return replies.BAD_SEQUENCE.but("TLS is in use already.")
    if argument.upper() not in ("TLS", "TLS-C", "SSL"):
        return replies.BAD_PARAMETER.but("Only AUTH TLS is supported.")
    if session.input_pending:
        session.drop_input()
        session.end(replies.UNENCRYPTED_INPUT, "input pending behind AUTH")
        return None
    session.secure()
    return replies.AUTH_OK


@verb("PBSZ", login=False, argument=True, prepares=True, words=True, syntax="PBSZ 0")
def pbsz(session: Session, argument: str) -> Reply:
    """RFC 4217 §8: 0 is the one size that TLS knows."""
    if not re.fullmatch(r"[0-9]{1,10}", argument):
        return replies.BAD_ARGUMENT
    session.data.protection_size_set = True
    return replies.OK.but("PBSZ=0")


@verb("PROT", login=False, argument=True, prepares=True, words=True, syntax="PROT P")
def prot(session: Session, argument: str) -> Reply:
    """RFC 4217 §9. PROT C is refused for good (invariant 5)."""
    level = argument.upper()
    if not session.data.protection_size_set:
        return replies.BAD_SEQUENCE.but("Send PBSZ 0 first.")
    if level == "P":
        session.data.protected = True
        return replies.OK.but("Data channels are private.")
    if level == "C":
        return replies.PROT_REFUSED
    return replies.PROT_LEVEL_UNSUPPORTED if level in ("S", "E") else replies.BAD_PARAMETER


@verb("USER", login=False, argument=True, words=True, syntax="USER <name>")
def user(session: Session, argument: str) -> Reply | None:
    """A name; who is logged in already stays so (RFC 959 allows a second USER; we do not). It is
    the whole login where the partner takes client certificates instead of passwords and the
    right one was shown (232, RFC 4217 §5)."""
    if session.logged_in is not None:
        return replies.BAD_SEQUENCE.but("Logged in already.")
    session.dialogue.username = argument
    shown = _certificates(session)
    certificate = PeerCertificate.from_der(shown)
    if certificate is None:
        return replies.NEED_PASSWORD
    if not _rate_allows(session, argument):
        return None
    files = _Files(session)
    try:
        principal, reply_at = files.logged_in(_by_certificate, argument, certificate, session)
    except (AccessUnavailable, NoStorageForLogin, TooManySessions) as exc:
        _end(session, exc, files)
        return None
    if principal is None:
        session.offload.sleep_until(reply_at)
        return replies.NEED_PASSWORD
    return _admit(session, principal, files, replies.LOGGED_IN_BY_CERTIFICATE)


@verb("PASS", login=False, syntax="PASS <password>", attempts="login.failed")
def password(session: Session, argument: str) -> Reply | None:
    """Check the password in the accounts pool. Input that came behind a failed login is dropped,
    so that one write cannot hold a hundred guesses (row 5)."""
    if session.logged_in is not None and session.dialogue.username:
        return replies.SUPERFLUOUS  # USER and the certificate were the login
    if session.logged_in is not None or not session.dialogue.username:
        return replies.BAD_SEQUENCE.but("Send USER first.")
    username, session.dialogue.username = session.dialogue.username, ""
    shown = _certificates(session)
    if not shown and not _rate_allows(session, username):  # else USER has asked
        return None
    session.trail.command_has_row = True  # the login's, whatever comes of it
    files = _Files(session)
    try:
        principal = files.logged_in(_authenticate, username, argument, shown, session)
    except LoginFailed as exc:
        session.drop_input()
        session.offload.sleep_until(exc.reply_at)
        session.drop_input()
        session.end_login(good=False)
        session.trail.spend_row()
        session.failed_logins += 1
        cause = reasons.of_refusal(exc.why, exc.reason) if exc.why is not None else None
        if cause is not None:  # the reply tells all of them alike
            session.course.troubles.add(cause)
        if session.failed_logins >= MAX_FAILED_LOGINS:
            session.end(answer(exc), "too many failed logins")
            return None
        return answer(exc)
    except (AccessUnavailable, NoStorageForLogin, TooManySessions) as exc:
        _end(session, exc, files)
        return None
    return _admit(session, principal, files)


@verb("ACCT", argument=True)
def acct(_session: LoggedIn, _argument: str) -> Reply:
    """The login asks for no account; 202 is what RFC 959 §5.4 has for that."""
    return replies.SUPERFLUOUS


class _Files:
    """The files of who logs in, looked for before the trail says that they are logged in. Only the
    first login to a storage in a worker has to look; that takes the storage pool, so that a slow
    storage holds no thread of the accounts pool, and the credentials are checked again behind it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._unusable = ""  # why the storage of _principal is
        self._looked_for: str | None = None  # its alias
        self.principal: Principal | None = None  # the credentials were right
        self.backend: Backend | None = None

    def logged_in(self, log_in: Callable[..., T], *args: object) -> T:
        """``log_in(*args, self)`` in the accounts pool; what it raises, but StorageNotSeen."""
        while True:
            try:
                return self._session.offload.accounts(log_in, *args, self)
            except StorageNotSeen:
                pass
            try:
                self._look()
            except SessionGone:  # nobody waits for the row that says so
                self._session.runtime.accounts(log_in, *args, self)
                raise

    def hindrance(self, principal: Principal) -> NoStorageForLogin | StorageNotSeen | None:
        """See :data:`securedrop_ftp.access.attempt.FindFiles`."""
        self.principal = principal
        if principal.storage != self._looked_for:
            self.backend = seen_backend(principal.storage)
            return StorageNotSeen() if self.backend is None else None
        if self._unusable:
            return NoStorageForLogin(f"storage “{principal.storage}”: {self._unusable}")
        return None

    def _look(self) -> None:
        principal, session = self.principal, self._session
        if principal is None:
            raise RuntimeError("a storage is to be looked at and nobody has logged in")
        self._looked_for, self._unusable = principal.storage, ""
        try:
            self.backend = session.offload.outcome(
                session.runtime.storage(principal.partner, located_backend, principal.storage)
            )
        except Exception as exc:
            self._unusable = str(exc) if isinstance(exc, SecureDropError) else "internal error"
            logger.error(
                "login.storage_unusable",
                storage=principal.storage,
                reason=self._unusable,
                partner=principal.partner,
                exc_info=None if isinstance(exc, SecureDropError) else exc,
            )


def _end(
    session: Session, exc: AccessUnavailable | NoStorageForLogin | TooManySessions, files: _Files
) -> None:
    if isinstance(exc, NoStorageForLogin) and files.principal is not None:
        session.end_login(good=True)
        session.client.account = Account(files.principal)  # it stands in the session's last row
    unavailable = isinstance(exc, AccessUnavailable)
    session.end(answer(exc), "accounts database unavailable" if unavailable else str(exc))


def _rate_allows(session: Session, username: str) -> bool:
    """Count a login of the address until it has proved to be good; past its limit the session
    ends. Where others that are being checked are all that stands in the way it waits for them."""
    patience = time.monotonic() + LOGIN_PATIENCE
    place = session.runtime.login_begins(session.remote_ip)
    while place is Refused.WAIT and time.monotonic() < patience:
        session.offload.sleep_until(time.monotonic() + 0.1)
        place = session.runtime.login_begins(session.remote_ip)
    if not isinstance(place, Refused):
        session.end_login(good=False)
        session.login_place = place
        session.trail.announce()
        return True
    refusal = replies.TOO_MANY_LOGINS
    session.trail.record_durably(
        Event(
            "login.failed",
            outcome="denied",
            account=username,
            reason="rate: too many failed logins from the address",
            reply=str(refusal),
        )
    )
    session.end(refusal, "login rate")
    return False


def _certificates(session: Session) -> tuple[bytes, ...]:
    return peer_certificates(session.tls) if session.tls is not None else ()


def _authenticate(
    username: str, secret: str, shown: tuple[bytes, ...], session: Session, files: _Files
) -> Principal:
    return log_in(
        username,
        secret,
        remote_ip=session.remote_ip,
        session=session.id,
        certificate=PeerCertificate.from_der(shown),
        find_files=files.hindrance,
        take_place=session.claim_place,
        door=FTPS,
    )


def _by_certificate(
    username: str, certificate: PeerCertificate, session: Session, files: _Files
) -> tuple[Principal | None, float]:
    return log_in_by_certificate(
        username,
        certificate,
        remote_ip=session.remote_ip,
        session=session.id,
        find_files=files.hindrance,
        take_place=session.claim_place,
        door=FTPS,
    )


def _admit(
    session: Session, principal: Principal, files: _Files, reply: Reply = replies.LOGGED_IN
) -> Reply:
    if files.backend is None:
        raise RuntimeError("somebody has logged in whose files were not found")
    session.end_login(good=True)
    session.admit(Account(principal), confined(files.backend, principal.root, principal.storage))
    return reply


@verb("QUIT", clear=True, login=False, argument=False, syntax="QUIT")
def quit_(session: Session, _argument: str) -> None:
    """RFC 959 §4.1.1. It waits for a transfer's reply like every other command."""
    session.end(replies.GOODBYE, "quit")
