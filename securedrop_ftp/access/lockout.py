"""The lockout: a guess is counted before it is checked (invariant 7; security bar, row 28).

django-axes looks up the count, lets the password be hashed, and counts afterwards: of 20 parallel
guesses under a limit of 5 all 20 are verified (seen). Here an attempt is *reserved* first, in a
short transaction that holds the row of its address, so that attempts of one address take turns on
every node: reserved and failed ones inside the window together stay at or under the limit. A
reservation turns into a failure or is released; one whose process died stays and counts.

Where only reservations fill the limit the outcome is still open (a client that opens ten
connections at once with the right password): the caller waits its turn instead of being refused.

A *source* is an IPv4 address or the /64 of an IPv6 one; ``""`` as a user name stands for the whole
source.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import write_transaction
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Lockout, LoginAttempt

WHOLE_SOURCE: Final = ""

#: Seconds after which a reservation's owner is taken for dead and the reservation for a failure.
RESERVATION_TIMEOUT: Final = 60.0

#: Seconds that an attempt waits for the outcome of those before it.
PATIENCE = 15.0

_SWEEP_EVERY: Final = 256

# Reservations to release whose database was away at the time; tried again with the next attempt.
_abandoned: set[int] = set()
_abandoned_guard = threading.Lock()
_settled = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to check one password."""

    id: int
    source: str
    username: str


@dataclass(frozen=True, slots=True)
class Locked:
    """No password may be checked until then."""

    until: datetime
    whole_source: bool


def reserve(username: str, source: str, *, patience: float | None = None) -> Reservation | Locked:
    """Take the right to check one password of ``username`` from ``source``.

    Blocks while only open reservations fill the limit. Not inside a transaction.

    Raises:
        AccessUnavailable: the attempts before this one did not end within ``patience`` seconds
            (:data:`PATIENCE` unless given).
        django.db.Error: the database failed; nothing is counted.
    """
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    pause = 0.01
    while True:
        answer = _try_reserve(username, source)
        if answer is not None:
            return answer
        if time.monotonic() >= deadline:
            raise AccessUnavailable("Earlier logins from this address have not ended.")
        time.sleep(pause * (0.5 + random.random()))
        pause = min(pause * 1.5, 0.2)


def _try_reserve(username: str, source: str) -> Reservation | Locked | None:
    locked = lock_in_force(username, source)  # without the write lock: locked tries cost a read
    if locked is not None:
        return locked
    with write_transaction():
        now = _take_turn(source)
        _release_abandoned()
        locked = lock_in_force(username, source)
        if locked is not None:
            return locked
        failed, open_ = _count(username, source, now)
        for scope, limit in _limits(username):
            if failed[scope] >= limit:
                return _lock(scope, source, now)
        if any(failed[scope] + open_[scope] >= limit for scope, limit in _limits(username)):
            return None
        row = LoginAttempt.objects.create(source=source, username=username, started=now)
    return Reservation(row.pk, source, username)


def fail(reservation: Reservation) -> Locked | None:
    """The password was wrong. Returns the lockout that this failure began, if it did.

    Inside the caller's transaction, so that the audit row commits with it.
    """
    with write_transaction():
        now = _take_turn(reservation.source)
        LoginAttempt.objects.filter(pk=reservation.id).update(state=LoginAttempt.State.FAILED)
        failed, _ = _count(reservation.username, reservation.source, now)
        begun = None
        for scope, limit in _limits(reservation.username):
            if failed[scope] >= limit and not _in_force(scope, reservation.source, now):
                begun = _lock(scope, reservation.source, now)
        _sweep_sometimes(now)
    return begun


def succeed(reservation: Reservation) -> None:
    """The password was right: the reservation and the user's failures from there are gone."""
    LoginAttempt.objects.filter(
        Q(pk=reservation.id)
        | Q(
            source=reservation.source,
            username=reservation.username,
            state=LoginAttempt.State.FAILED,
        )
    ).delete()


def abandon(reservation: Reservation) -> None:
    """The password was not checked to the end (the database failed): count nothing. Released at
    once or, where the database is away, with the next attempt in this process."""
    with _abandoned_guard:
        _abandoned.add(reservation.id)
    try:
        with write_transaction():
            _release_abandoned()
    except Exception:  # noqa: S110  (the database is away: that is why we are here)
        pass


def lock_in_force(username: str, source: str) -> Locked | None:
    """The lockout that holds for ``username`` from ``source``: the one that lasts longest."""
    row = (
        Lockout.objects.filter(
            source=source, username__in=(WHOLE_SOURCE, username), until__gt=timezone.now()
        )
        .order_by("-until")
        .values_list("until", "username")
        .first()
    )
    return Locked(row[0], row[1] == WHOLE_SOURCE) if row and row[0] else None


def failures(username: str, source: str) -> int:
    """Failed attempts of ``username`` from ``source`` that count now; while it is locked out, the
    limit that it reached."""
    if lock_in_force(username, source) is not None:
        return get_conf().lockout_user_ip_limit
    return _count(username, source, timezone.now())[0][username]


def unlock_user(username: str) -> int:
    """Lift every lockout of ``username`` and forget its failures. Returns how many were lifted."""
    return _unlock(username=username)


def unlock_source(source: str) -> int:
    """Lift the lockout of a whole address. Its users' own lockouts stay."""
    return _unlock(username=WHOLE_SOURCE, source=source)


def unlock(lockout: Lockout) -> int:
    """Lift one lockout."""
    return _unlock(username=lockout.username, source=lockout.source)


def current_lockouts() -> Iterable[Lockout]:
    """The lockouts in force, the longest first."""
    return Lockout.objects.filter(until__gt=timezone.now()).order_by("-until", "pk")


def _unlock(**scope: str) -> int:
    now = timezone.now()
    with write_transaction():
        # ``since`` moves up: failures before it do not count again.
        lifted = Lockout.objects.filter(until__gt=now, **scope).update(until=None, since=now)
        if scope["username"] != WHOLE_SOURCE:
            LoginAttempt.objects.filter(state=LoginAttempt.State.FAILED, **scope).delete()
    return lifted


def _limits(username: str) -> tuple[tuple[str, int], tuple[str, int]]:
    conf = get_conf()
    return (WHOLE_SOURCE, conf.lockout_ip_limit), (username, conf.lockout_user_ip_limit)


def _take_turn(source: str) -> datetime:
    """Hold the source's row until the transaction ends; the time is taken after that."""
    # An UPDATE and not SELECT … FOR UPDATE: SQLite takes its write lock by it as well.
    row = Lockout.objects.filter(source=source, username=WHOLE_SOURCE)
    while not row.update(touched=timezone.now()):
        Lockout.objects.bulk_create(
            [Lockout(source=source, username=WHOLE_SOURCE, touched=timezone.now())],
            ignore_conflicts=True,
        )
    return timezone.now()


def _count(username: str, source: str, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """Per scope: failures (dead reservations included) and open reservations in the window."""
    window = now - timedelta(seconds=get_conf().lockout_window)
    dead = now - timedelta(seconds=RESERVATION_TIMEOUT)
    since = dict(
        Lockout.objects.filter(
            source=source, username__in=(WHOLE_SOURCE, username), since__isnull=False
        ).values_list("username", "since")
    )
    failed = {WHOLE_SOURCE: 0, username: 0}
    open_ = {WHOLE_SOURCE: 0, username: 0}
    rows = LoginAttempt.objects.filter(source=source, started__gt=window)
    for name, state, started in rows.values_list("username", "state", "started"):
        counter = failed if state == LoginAttempt.State.FAILED or started < dead else open_
        for scope in (WHOLE_SOURCE, username):
            if scope in (WHOLE_SOURCE, name) and started > (since.get(scope) or window):
                counter[scope] += 1
    return failed, open_


def _in_force(scope: str, source: str, now: datetime) -> bool:
    return Lockout.objects.filter(source=source, username=scope, until__gt=now).exists()


def _lock(scope: str, source: str, now: datetime) -> Locked:
    until = now + timedelta(seconds=get_conf().lockout_seconds)
    Lockout.objects.update_or_create(
        source=source,
        username=scope,
        defaults={"since": now, "until": until, "touched": now},
    )
    return Locked(until, scope == WHOLE_SOURCE)


def _release_abandoned() -> None:
    with _abandoned_guard:
        ids = set(_abandoned)
    if ids:
        LoginAttempt.objects.filter(pk__in=ids, state=LoginAttempt.State.RESERVED).delete()
        transaction.on_commit(lambda: _forget_abandoned(ids))


def _forget_abandoned(ids: set[int]) -> None:
    with _abandoned_guard:
        _abandoned.difference_update(ids)


def _sweep_sometimes(now: datetime) -> None:
    global _settled
    _settled += 1
    if _settled % _SWEEP_EVERY == 0:
        sweep(now)


def sweep(now: datetime) -> None:
    """Delete what counts no more, so that the tables do not grow with the guessers."""
    conf = get_conf()
    old = now - timedelta(seconds=conf.lockout_window + conf.lockout_seconds)
    LoginAttempt.objects.filter(started__lt=old).delete()
    Lockout.objects.filter(Q(until__isnull=True) | Q(until__lt=now), touched__lt=old).delete()
