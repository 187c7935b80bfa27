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
from django.db.models import DateTimeField, Q

from securedrop_ftp import clock
from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import release_connection, write_transaction
from securedrop_ftp.exceptions import AccessUnavailable
from securedrop_ftp.models import Lockout, LoginAttempt
from securedrop_ftp.prepared import Delete, Given, Select, Update, insert

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


# What every login runs (docs/adr/0008).
_TOUCH = Update(
    lambda: Lockout.objects.filter(source=Given("source"), username=WHOLE_SOURCE),
    touched=Given("now", DateTimeField()),
)
_LOCKOUTS = Select(
    lambda: (
        Lockout.objects.filter(
            source=Given("source"), username__in=(WHOLE_SOURCE, Given("username"))
        )
        .order_by()
        .values_list("username", "since", "until")
    )
)
_ATTEMPTS = Select(
    lambda: (
        LoginAttempt.objects.filter(
            source=Given("source"), started__gt=Given("window", DateTimeField())
        )
        .order_by()
        .values_list("username", "state", "started")
    )
)
_SUCCEED = Delete(
    lambda: LoginAttempt.objects.filter(
        Q(pk=Given("id"))
        | Q(
            source=Given("source"),
            username=Given("username"),
            state=LoginAttempt.State.FAILED,
        )
    )
)


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

    Blocks while only open reservations fill the limit, and keeps no shared database connection
    meanwhile: those that it waits for need one to end. Not inside a transaction.

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
        release_connection()
        time.sleep(pause * (0.5 + random.random()))
        pause = min(pause * 1.5, 0.2)


def _try_reserve(username: str, source: str) -> Reservation | Locked | None:
    locked = lock_in_force(username, source)  # without the write lock: locked tries cost a read
    if locked is not None:
        return locked
    with write_transaction():
        now = _take_turn(source)
        _release_abandoned()
        standing = _Standing.of(username, source)
        locked = standing.in_force(now)
        if locked is not None:
            return locked
        failed, open_ = _count(username, source, now, standing)
        for scope, limit in _limits(username):
            if failed[scope] >= limit:
                return _lock(scope, source, now)
        if any(failed[scope] + open_[scope] >= limit for scope, limit in _limits(username)):
            return None
        row = LoginAttempt(source=source, username=username, started=now)
        insert(row)
    return Reservation(row.pk, source, username)


def fail(reservation: Reservation) -> Locked | None:
    """Count a wrong password; the lockout that this failure began, if it did. Inside the
    caller's transaction, so that the audit row commits with it."""
    with write_transaction():
        now = _take_turn(reservation.source)
        LoginAttempt.objects.filter(pk=reservation.id).update(state=LoginAttempt.State.FAILED)
        standing = _Standing.of(reservation.username, reservation.source)
        failed, _ = _count(reservation.username, reservation.source, now, standing)
        begun = None
        for scope, limit in _limits(reservation.username):
            if failed[scope] >= limit and not standing.holds(scope, now):
                begun = _lock(scope, reservation.source, now)
        _sweep_sometimes(now)
    return begun


def succeed(reservation: Reservation) -> None:
    """Take back the reservation, and forget the user's failures from that source."""
    _SUCCEED.run(id=reservation.id, source=reservation.source, username=reservation.username)


def abandon(reservation: Reservation) -> None:
    """Give the reservation back uncounted: the password was not checked to the end (the database
    failed). Released at once or, where the database is away, with the next attempt in this
    process."""
    with _abandoned_guard:
        _abandoned.add(reservation.id)
    try:
        with write_transaction():
            _release_abandoned()
    except Exception:  # noqa: S110  (the database is away: that is why we are here)
        pass


def lock_in_force(username: str, source: str) -> Locked | None:
    """The lockout that holds for ``username`` from ``source``: the one that lasts longest."""
    return _Standing.of(username, source).in_force(clock.now())


@dataclass(frozen=True, slots=True)
class _Standing:
    """The lockouts of a user from a source and of the whole source, past ones included: when each
    began and ends, by scope."""

    lockouts: dict[str, tuple[datetime | None, datetime | None]]

    @classmethod
    def of(cls, username: str, source: str) -> _Standing:
        rows = _LOCKOUTS.rows(username=username, source=source)
        return cls({scope: (since, until) for scope, since, until in rows})

    def since(self, scope: str) -> datetime | None:
        return self.lockouts.get(scope, (None, None))[0]

    def holds(self, scope: str, now: datetime) -> bool:
        until = self.lockouts.get(scope, (None, None))[1]
        return until is not None and until > now

    def in_force(self, now: datetime) -> Locked | None:
        ends = [
            Locked(until, scope == WHOLE_SOURCE)
            for scope, (_, until) in self.lockouts.items()
            if until is not None and until > now
        ]
        return max(ends, key=lambda locked: locked.until, default=None)


def failures(username: str, source: str) -> int:
    """Failed attempts of ``username`` from ``source`` that count now; while it is locked out, the
    limit that it reached."""
    if lock_in_force(username, source) is not None:
        return get_conf().lockout_user_ip_limit
    standing = _Standing.of(username, source)
    return _count(username, source, clock.now(), standing)[0][username]


def unlock_user(username: str) -> int:
    """Lift every lockout of ``username`` and forget its failures. Returns how many were lifted."""
    return _unlock(username=username)


def unlock_source(source: str) -> int:
    """Lift the lockout of a whole address. Its users' own lockouts stay."""
    return _unlock(username=WHOLE_SOURCE, source=source)


def unlock(lockout: Lockout) -> int:
    """Lift one lockout; how many were in force (0 or 1)."""
    return _unlock(username=lockout.username, source=lockout.source)


def current_lockouts() -> Iterable[Lockout]:
    """The lockouts in force, the longest first."""
    return Lockout.objects.filter(until__gt=clock.now()).order_by("-until", "pk")


def _unlock(**scope: str) -> int:
    now = clock.now()
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
    while not _TOUCH.run(source=source, now=clock.now()):
        Lockout.objects.bulk_create(
            [Lockout(source=source, username=WHOLE_SOURCE, touched=clock.now())],
            ignore_conflicts=True,
        )
    return clock.now()


def _count(
    username: str, source: str, now: datetime, standing: _Standing
) -> tuple[dict[str, int], dict[str, int]]:
    """Per scope: failures (dead reservations included) and open reservations in the window."""
    window = now - timedelta(seconds=get_conf().lockout_window)
    dead = now - timedelta(seconds=RESERVATION_TIMEOUT)
    failed = {WHOLE_SOURCE: 0, username: 0}
    open_ = {WHOLE_SOURCE: 0, username: 0}
    for name, state, started in _ATTEMPTS.rows(source=source, window=window):
        counter = failed if state == LoginAttempt.State.FAILED or started < dead else open_
        for scope in (WHOLE_SOURCE, username):
            if scope in (WHOLE_SOURCE, name) and started > (standing.since(scope) or window):
                counter[scope] += 1
    return failed, open_


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
    """Delete rows that count no more, so that the tables do not grow with the guessers."""
    conf = get_conf()
    old = now - timedelta(seconds=conf.lockout_window + conf.lockout_seconds)
    LoginAttempt.objects.filter(started__lt=old).delete()
    # The old ones by their index, not all that are unlocked.
    Lockout.objects.filter(touched__lt=old).exclude(until__gte=now).delete()
