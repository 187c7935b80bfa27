"""django-axes over our lockout: ``AXES_HANDLER = "…access.axes_handler.LockoutHandler"``.

axes alone checks, lets the password be verified and counts afterwards; no setting makes that
exact. This handler keeps axes' place in Django (its back end runs first, its rows exist and show
in admin) and answers every question from :mod:`securedrop_ftp.access.lockout`, so the two cannot
disagree. Logins over HTTP (the admin site) are reserved, settled and audited here; logins over
FTPS bring their reservation with the synthetic request and settle it themselves.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt, AccessFailureLog
from axes.signals import user_locked_out
from django.db.models import F, GenericIPAddressField
from django.http import HttpRequest

from securedrop_ftp import clock
from securedrop_ftp.access import lockout, network
from securedrop_ftp.access.lockout import Locked, Reservation
from securedrop_ftp.access.names import clean_username
from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import write_transaction
from securedrop_ftp.escaping import escape
from securedrop_ftp.events import Event
from securedrop_ftp.prepared import Given, Select
from securedrop_ftp.refusals import of_address, refusals
from securedrop_ftp.signals import emit

_quiet = threading.local()

# Every login looks for them (docs/adr/0008), hardly one finds any.
_ATTEMPTS = Select(
    lambda: (
        AccessAttempt.objects.filter(
            username=Given("username"), ip_address=Given("ip", GenericIPAddressField())
        )
        .order_by()
        .values_list("pk")
    )
)


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]
    """See the module's docstring."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Reserve the attempt; false where it is locked out."""
        if getattr(request, "securedrop_reservation", None) is not None:
            return True
        if self.is_blacklisted(request, credentials):
            return False
        if credentials is None:
            return not self.is_locked(request, credentials)
        answer = lockout.reserve(_shown(request, credentials), _source(request))
        if isinstance(answer, Locked):
            return False
        request.securedrop_reservation = answer
        return True

    def is_locked(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Whether a lockout is in force."""
        return lockout.lock_in_force(_shown(request, credentials), _source(request)) is not None

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """Failures inside the window."""
        return lockout.failures(_shown(request, credentials), _source(request))

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        """A login over HTTP failed: count it, keep axes' rows, write the audit row."""
        if request is None or getattr(request, "securedrop_deferred", False):
            return
        reservation: Reservation | None = getattr(request, "securedrop_reservation", None)
        request.securedrop_reservation = None
        sent = get_client_username(request, credentials)
        shown = _shown(request, credentials)
        with write_transaction():
            if reservation is None:
                user_locked_out.send(
                    "axes", request=request, username=shown, ip_address=request.axes_ip_address
                )
                locked = _event("login.locked", "denied", request, sent)
                if refusals.admit(of_address(_source(request)), locked):
                    emit(locked)
                return
            if lockout.fail(reservation) is not None:
                request.axes_locked_out = True
            write_failure(request, shown)
            emit(_event("login.failed", "failure", request, sent))
        request.axes_credentials = credentials

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """A login over HTTP succeeded. Not axes' own receiver: its reset on success forgets every
        attempt from the address, and so lifted other users' lockouts."""
        if request is None or getattr(request, "securedrop_deferred", False):
            return
        shown = clean_username(user.get_username())[1]
        reservation: Reservation | None = getattr(request, "securedrop_reservation", None)
        with write_transaction():
            if reservation is not None:
                lockout.succeed(reservation)
                request.securedrop_reservation = None
            clear_failures(request, shown)
            emit(_event("login.succeeded", "success", request, user.get_username()))

    def reset_attempts(
        self,
        *,
        ip_address: str | None = None,
        username: str | None = None,
        ip_or_username: bool = False,
    ) -> int:
        """Lift our lockouts too when axes' own commands reset it."""
        if username:
            lockout.unlock_user(username)
        if ip_address:
            lockout.unlock_source(network.source_of(ip_address))
        if not username and not ip_address:
            for row in lockout.current_lockouts():
                lockout.unlock(row)
        return int(
            super().reset_attempts(
                ip_address=ip_address, username=username, ip_or_username=ip_or_username
            )
        )

    def clean_expired_user_attempts(
        self, request: Any = None, credentials: dict[str, Any] | None = None
    ) -> int:
        """Delete axes' old rows; no lockout ends by it."""
        _quiet.on = True
        try:
            return int(super().clean_expired_user_attempts(request, credentials))
        finally:
            _quiet.on = False

    def post_delete_access_attempt(self, instance: Any, **kwargs: Any) -> None:
        """An operator who deletes an attempt in axes' admin means to unlock its user."""
        if instance.username and not getattr(_quiet, "on", False):
            lockout.unlock_user(instance.username)


def broken() -> str:
    """What this release of django-axes lacks, as a sentence, else ``""``. A method that axes has no
    more would never be called, and nobody would count."""
    ours = [name for name in vars(LockoutHandler) if not name.startswith("_")]
    gone = [name for name in ours if not hasattr(AxesDatabaseHandler, name)]
    used = ("get_implementation", "update_request")
    gone += [name for name in used if not hasattr(AxesProxyHandler, name)]
    if not gone:
        return ""
    return f"This django-axes ({version('django-axes')}) has no {', '.join(gone)} in its handlers."


def write_failure(request: HttpRequest, username: str) -> None:
    """axes' rows for one failed attempt. Inside the caller's transaction."""
    handler = AxesProxyHandler.get_implementation()
    if not isinstance(handler, LockoutHandler):
        return  # axes' own handler has written them, on Django's signal
    AxesProxyHandler.update_request(request)
    seen: Any = request
    common = {"http_accept": seen.axes_http_accept, "path_info": seen.axes_path_info[:255]}
    who = {
        "username": username,
        "ip_address": seen.axes_ip_address,
        "user_agent": escape(seen.axes_user_agent, 255),
    }
    fresh = clock.now() - timedelta(seconds=get_conf().lockout_seconds)
    rows = AccessAttempt.objects.filter(**who)
    if not rows.filter(attempt_time__gt=fresh).update(
        failures_since_start=F("failures_since_start") + 1, attempt_time=clock.now()
    ):
        AccessAttempt.objects.update_or_create(
            **who,
            defaults={
                "failures_since_start": 1,
                "attempt_time": clock.now(),
                "get_data": "",
                "post_data": "",
                **common,
            },
        )
    AccessFailureLog.objects.create(locked_out=seen.axes_locked_out, **who, **common)


def clear_failures(request: HttpRequest, username: str) -> None:
    """Forget axes' count of a user who has logged in from the request's address."""
    AxesProxyHandler.update_request(request)
    ip: str | None = request.axes_ip_address  # type: ignore[attr-defined]
    if ip is None or _ATTEMPTS.rows(username=username, ip=ip):
        forget_attempts(username=username, ip_address=ip)


def forget_attempts(**who: str | None) -> None:
    """Delete axes' attempts of ``who``; our lockouts are the caller's business."""
    _quiet.on = True
    try:
        AccessAttempt.objects.filter(**who).delete()
    finally:
        _quiet.on = False


def _shown(request: Any, credentials: dict[str, Any] | None) -> str:
    name = get_client_username(request, credentials)
    return clean_username(name or "")[1]


def _source(request: Any) -> str:
    AxesProxyHandler.update_request(request)
    ip = request.axes_ip_address or ""
    try:
        return network.source_of(ip)
    except ValueError:
        return str(ip)[:64]


def _event(name: str, outcome: str, request: Any, username: str | None) -> Event:
    return Event(
        name,
        outcome=outcome,
        account=username or "",
        remote_ip=request.axes_ip_address or "",
        reason=f"over HTTP at {request.path}",
    )
