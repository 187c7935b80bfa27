"""One login: credentials to a :class:`~securedrop_ftp.access.principal.Principal`, or a refusal.

The order is what protects: text is checked before the database sees it, the address before the
password, an attempt is counted before its password is verified, and the outcome, its count and its
audit row commit in one transaction before the client hears of it. Django's ``authenticate()`` is
asked only where the account exists, is enabled, comes from an address it may come from and shows
the client certificate that its partner asks for; every other case does the same work on no password
(security bar, row 29).

A failing database or authentication back end never logs in and never counts (CVE-2024-5806).
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp import clock
from securedrop_ftp.access import lockout, network
from securedrop_ftp.access.attempt import (
    NO_CLIENT,
    Admission,
    Attempt,
    Door,
    FindFiles,
    Refusal,
    TakePlace,
)
from securedrop_ftp.access.authentication import authenticate
from securedrop_ftp.access.certificates import (
    PeerCertificate,
    note_certificate,
    refusal_reason,
    replaces_password,
)
from securedrop_ftp.access.hashers import burn_one_hash, is_outdated, is_right, store_anew
from securedrop_ftp.access.lockout import Locked, Reservation
from securedrop_ftp.access.names import clean_username, is_utf8, password_fits
from securedrop_ftp.access.principal import Principal, principal_of
from securedrop_ftp.db import renew_connections, write_transaction
from securedrop_ftp.exceptions import (
    AccessUnavailable,
    LoginFailed,
    LoginReason,
    SecureDropError,
    StorageNotSeen,
)
from securedrop_ftp.log import get_logger
from securedrop_ftp.models import Account, ClientCertificates, IPRule, is_staff
from securedrop_ftp.prepared import Given, Instances, Select
from securedrop_ftp.signals import emit

__all__ = [
    "CERTIFICATE_STEP",
    "REFUSAL_STEP",
    "log_in",
    "log_in_by_certificate",
    "synthetic_request",
]

logger = get_logger(__name__)

#: Refusals leave at multiples of this many seconds after the attempt began, so that what differs
#: between them (a query more, a row less) does not show.
REFUSAL_STEP: Final = 0.5

#: The same for the answer to USER from a client with a certificate: the chain of an account that
#: exists is verified, and that must not show.
CERTIFICATE_STEP: Final = 0.05


@sensitive_variables("password")
def log_in(
    username: str,
    password: str,
    *,
    remote_ip: str,
    session: str,
    certificate: PeerCertificate | None = None,
    find_files: FindFiles | None = None,
    take_place: TakePlace | None = None,
    door: Door = NO_CLIENT,
) -> Principal:
    """Check a user name, a password and, where the partner asks for one, the certificate of the
    TLS handshake. Blocking; for a thread of the accounts pool.

    Emits ``login.succeeded``, ``login.failed`` or ``login.locked``.

    Raises:
        NoStorageForLogin: the credentials are right, but ``find_files`` finds none.
        StorageNotSeen: likewise; nothing was counted, and the login leaves no row yet.
        TooManySessions: the credentials are right, but ``take_place`` has no place.
        LoginFailed: unknown, wrong, inactive, locked, or a network that may not; the client is
            told alike, at :attr:`LoginFailed.reply_at`.
        AccessUnavailable: the database or an authentication back end failed.
    """
    began = time.monotonic()
    renew_connections()
    attempt = _made(username, remote_ip, session, certificate, door)
    answer: Principal | Refusal | None = None
    try:
        answer = _attempt(attempt, password, Admission(find_files, take_place))
    except AccessUnavailable as exc:
        logger.warning("login.unavailable", reason=str(exc))
    except Exception as exc:
        # Type only: the text or the frames of a back end's exception may hold the password.
        logger.error("login.internal_error", error=type(exc).__name__, account=attempt.shown)
    # Raised out here, so that neither its frames nor a chained exception hold the password.
    del password
    answer = _unless_it_failed(answer)
    if isinstance(answer, Refusal):
        if answer.error is not None:
            raise answer.error
        raise LoginFailed(
            answer.words,
            why=answer.why,
            locked=answer.why is LoginReason.LOCKED,
            reply_at=_reply_at(began),
        )
    return answer


def log_in_by_certificate(
    username: str,
    certificate: PeerCertificate,
    *,
    remote_ip: str,
    session: str,
    find_files: FindFiles | None = None,
    take_place: TakePlace | None = None,
    door: Door = NO_CLIENT,
) -> tuple[Principal | None, float]:
    """Whether USER alone is a login (RFC 4217 §5): the partner takes certificates instead of
    passwords, and this one is right for this account. Blocking; for a thread of the accounts pool.

    Otherwise ``None``, which says and counts nothing: PASS follows, and :func:`log_in` refuses.
    The second value is the :func:`time.monotonic` before which that answer should not leave.

    Raises:
        AccessUnavailable: the database failed.
        NoStorageForLogin, StorageNotSeen, TooManySessions: the certificate is right; as in
            :func:`log_in`.
    """
    began = time.monotonic()
    renew_connections()
    attempt = _made(username, remote_ip, session, certificate, door)
    try:
        answer = _by_certificate(attempt, Admission(find_files, take_place))
    except Exception as exc:
        logger.error("login.internal_error", error=type(exc).__name__, account=attempt.shown)
        raise AccessUnavailable from exc
    if isinstance(answer, Refusal):
        raise answer.error or LoginFailed(answer.words, why=answer.why)
    return answer, _reply_at(began, CERTIFICATE_STEP)


def _by_certificate(attempt: Attempt, admission: Admission) -> Principal | Refusal | None:
    if clock.fault():
        return None  # PASS follows, and is refused
    account = _find(attempt.name)
    if account is None or _bar(account, attempt.remote_ip) or not replaces_password(account):
        return None
    if refusal_reason(account, attempt.certificate):
        return None
    if lockout.lock_in_force(attempt.shown, attempt.source) is not None:
        return None
    request = synthetic_request(attempt.remote_ip)
    return _admit(attempt, account, account.user, request, None, admission)


def _made(
    username: str, remote_ip: str, session: str, certificate: PeerCertificate | None, door: Door
) -> Attempt:
    name, shown = clean_username(username)
    source = _source(remote_ip)
    return Attempt(name, shown, username, remote_ip, source, session, certificate, door)


def _reply_at(began: float, step: float = REFUSAL_STEP) -> float:
    steps = math.ceil((time.monotonic() - began) / step)
    return began + max(1, steps) * step


def _source(remote_ip: str) -> str:
    try:
        return network.source_of(remote_ip)
    except ValueError:
        return remote_ip[:64]


@sensitive_variables("password")
def _attempt(attempt: Attempt, password: str, admission: Admission) -> Principal | Refusal:
    _refuse_by_the_clock(attempt)
    account = _find(attempt.name)
    why, words = _bar(account, attempt.remote_ip), ""
    if account is not None and why is None:
        why, words = _bar_by_certificate(account, attempt)
    if why is LoginReason.NETWORK:
        # Never verified, so nothing was guessed and nothing is counted.
        burn_one_hash()
        return _refuse(attempt, account, why)
    reservation = lockout.reserve(attempt.shown, attempt.source)
    if isinstance(reservation, Locked):
        burn_one_hash()
        return _refuse_locked(attempt, account, reservation)
    try:
        request = synthetic_request(attempt.remote_ip, reservation)
        user = None
        if account is not None and why is None and replaces_password(account):
            user = account.user  # the certificate is right, and is the whole login
        elif account is None or why is not None or not password_fits(password):
            _fail_unseen(attempt, request)
        else:
            user = _verified(request, attempt, password, account.user)
        if account is not None and user is not None and user.pk == account.user_id:
            return _admit(attempt, account, user, request, reservation, admission)
        why = why or _why_wrong(password)
        return _refuse(attempt, account, why, words, request, reservation)
    except BaseException:
        lockout.abandon(reservation)
        raise


@sensitive_variables("password")
def _fail_unseen(attempt: Attempt, request: HttpRequest) -> None:
    """A failure that costs what the look at a password would, and is counted as one."""
    burn_one_hash()
    user_login_failed.send_robust(
        sender=__name__, credentials={"username": attempt.shown}, request=request
    )


def _unless_it_failed(answer: Principal | Refusal | None) -> Principal | Refusal:
    """An error is never taken for consent, nor for a wrong password."""
    if answer is None:
        raise AccessUnavailable
    return answer


def _verified(request: HttpRequest, attempt: Attempt, password: str, user: AbstractBaseUser) -> Any:
    """Django's answer. A stored hash that is outdated is replaced before: Django's back end would
    store one for each of several logins at once, and live control would take all but the last for
    sessions from before a change."""
    if is_outdated(user.password) and is_right(password, user.password):
        store_anew(user, password)
    return authenticate(request, username=attempt.name, password=password)


def _why_wrong(password: str) -> LoginReason:
    return LoginReason.PASSWORD if is_utf8(password) else LoginReason.ENCODING


# What every login runs (docs/adr/0008).
_ACCOUNT = Instances(
    Account,
    lambda: Account.objects.order_by().filter(
        **{f"user__{get_user_model().USERNAME_FIELD}": Given("name")}
    ),
    "user",
    "partner",
)
_RULES = Select(
    lambda: (
        IPRule.objects.filter(partner_id=Given("partner_id"))
        .order_by()
        .values_list("action", "network")
    )
)


def _find(name: str | None) -> Account | None:
    return _ACCOUNT.first(name=name) if name is not None else None


def _bar(account: Account | None, remote_ip: str) -> LoginReason | None:
    """Why this login cannot succeed whatever the password; ``None``: it can."""
    if account is None:
        return LoginReason.UNKNOWN
    if not network.allowed(remote_ip, _RULES.rows(partner_id=account.partner_id)):
        return LoginReason.NETWORK
    if is_staff(account.user):
        return LoginReason.STAFF  # who operates the service does not log in to it for files
    return None if _active(account) else LoginReason.INACTIVE


def _bar_by_certificate(account: Account, attempt: Attempt) -> tuple[LoginReason | None, str]:
    """The same for the certificate that was shown, or was not, and the words of the row."""
    words = refusal_reason(account, attempt.certificate)
    if not words:
        return None, ""
    shown = attempt.certificate is not None
    return LoginReason.CERTIFICATE if shown else LoginReason.NO_CERTIFICATE, words


def _active(account: Account) -> bool:
    return account.enabled and account.partner.enabled and account.user.is_active


def synthetic_request(remote_ip: str, reservation: Reservation | None = None) -> HttpRequest:
    """The request that Django's back ends and django-axes see for a login over FTP.

    ``reservation`` tells :mod:`securedrop_ftp.access.axes_handler` that the attempt is counted
    already and that its rows are written by us.
    """
    request: Any = HttpRequest()
    request.method = "POST"
    request.path = request.path_info = "/ftp/login"
    request.META = {
        "REMOTE_ADDR": remote_ip,
        "HTTP_USER_AGENT": "FTP",
        "PATH_INFO": "/ftp/login",
        "REQUEST_METHOD": "POST",
    }
    request.securedrop_reservation = reservation
    request.securedrop_deferred = True
    return request  # type: ignore[no-any-return]


def _admit(
    attempt: Attempt,
    account: Account,
    user: AbstractBaseUser,
    request: HttpRequest,
    reservation: Reservation | None,
    admission: Admission,
) -> Principal | Refusal:
    policy = account.partner.client_certificates
    shown = attempt.certificate if policy != ClientCertificates.OFF else None
    principal = principal_of(account, shown, user)
    hindrance = admission.hindrance(principal)
    if hindrance is not None:
        return _refuse_though_right(attempt, account, hindrance, reservation)
    with write_transaction():
        if reservation is not None:
            lockout.succeed(reservation)
        if shown is not None:
            note_certificate(account, shown)
        _write_axes_success(request, attempt.shown)
        for _, result in user_logged_in.send_robust(
            sender=user.__class__, request=request, user=user
        ):
            if isinstance(result, Exception):
                # Receivers that expect a session meet none here; they decide nothing.
                logger.warning("login.receiver_failed", error=type(result).__name__)
        told = replace(attempt, certificate=shown)
        reply = attempt.door.logged_in(by_certificate=reservation is None)
        emit(told.event("login.succeeded", "success", "", account, reply))
    return principal


def _refuse_though_right(
    attempt: Attempt, account: Account, error: SecureDropError, reservation: Reservation | None
) -> Refusal:
    """The credentials are right: nothing was guessed, and nothing is counted."""
    if isinstance(error, StorageNotSeen):  # the same attempt comes again
        if reservation is not None:
            lockout.abandon(reservation)
        return Refusal(str(error), error=error)
    reply = attempt.door.refused(error)
    told = attempt.event("login.failed", "denied", str(error), account, reply)
    with write_transaction():
        if reservation is not None:
            lockout.succeed(reservation)
        emit(told)
    return Refusal(str(error), error=error)


def _refuse_by_the_clock(attempt: Attempt) -> None:
    """A node whose clock is wrong takes no logins; nothing is checked, nothing counted.

    Raises:
        AccessUnavailable: its clock is.
    """
    fault = clock.fault()
    if not fault:
        return
    unavailable = AccessUnavailable(fault)
    reply = attempt.door.refused(unavailable)
    with write_transaction():
        emit(attempt.event("login.failed", "denied", f"clock: {fault}", reply=reply))
    raise unavailable


def _refuse(
    attempt: Attempt,
    account: Account | None,
    why: LoginReason,
    words: str = "",
    request: HttpRequest | None = None,
    reservation: Reservation | None = None,
) -> Refusal:
    with write_transaction():
        begun = lockout.fail(reservation) if reservation is not None else None
        if request is not None:
            _write_axes_failure(request, attempt.shown)
        told = words or why.value
        if begun is not None:
            whose = "address" if begun.whole_source else "user"
            told += f"; {whose} locked until {begun.until:%Y-%m-%dT%H:%M:%SZ}"
        emit(attempt.event("login.failed", "failure", told, account))
    return Refusal(words or why.value, why)


def _refuse_locked(attempt: Attempt, account: Account | None, lock: Locked) -> Refusal:
    whose = "address" if lock.whole_source else "user"
    told = f"{whose} locked until {lock.until:%Y-%m-%dT%H:%M:%SZ}"
    with write_transaction():
        emit(attempt.event("login.locked", "denied", told, account))
    return Refusal("locked", LoginReason.LOCKED)


def _write_axes_failure(request: HttpRequest, username: str) -> None:
    if apps.is_installed("axes"):
        from securedrop_ftp.access.axes_handler import write_failure

        write_failure(request, username)


def _write_axes_success(request: HttpRequest, username: str) -> None:
    if apps.is_installed("axes"):
        from securedrop_ftp.access.axes_handler import clear_failures

        clear_failures(request, username)
