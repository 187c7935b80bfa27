"""argon2id with our parameters, and a bound on how many run at once.

Django's own default takes 100 MiB for each login; OWASP's password storage cheat sheet gives
m=19456 (19 MiB), t=2, p=1 (security bar, row 30). Put the class first in ``PASSWORD_HASHERS``:
stored passwords with other parameters are rehashed when their owner next logs in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    check_password,
    get_hasher,
    identify_hasher,
    make_password,
)
from django.views.decorators.debug import sensitive_variables

from securedrop_ftp.conf import get_conf
from securedrop_ftp.db import release_connection, write_transaction

_slots: threading.BoundedSemaphore | None = None
_slots_made = threading.Lock()


@contextmanager
def _hash_slot() -> Iterator[None]:
    """A hash takes long, and so may the wait for its turn: no shared database connection is kept
    meanwhile."""
    release_connection()
    with _hash_slots():
        yield


def _hash_slots() -> threading.BoundedSemaphore:
    global _slots
    with _slots_made:
        if _slots is None:
            _slots = threading.BoundedSemaphore(max(1, get_conf().concurrent_hashes))
        return _slots


def _forget_slots() -> None:
    # A slot that a thread of the parent held at the fork would never come back.
    global _slots, _slots_made
    _slots, _slots_made = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_slots)


class Argon2id(Argon2PasswordHasher):
    """Argon2id, m=19456 KiB, t=2, p=1; at most ``concurrent_hashes`` at once in a process."""

    time_cost = 2
    memory_cost = 19456
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """The encoded hash of ``password``."""
        with _hash_slot():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Whether ``encoded`` is a hash of ``password``."""
        with _hash_slot():
            return super().verify(password, encoded)


def burn_one_hash() -> None:
    """Do the work of one verification, of nothing: what a refused login costs (row 29)."""
    hasher = get_hasher()
    hasher.encode("no password of anyone", hasher.salt())


def is_outdated(encoded: str) -> bool:
    """Whether the next right login with that stored password stores it anew."""
    try:
        hasher = identify_hasher(encoded)
    except ValueError:  # none that is usable
        return False
    preferred = get_hasher()
    return hasher.algorithm != preferred.algorithm or preferred.must_update(encoded)


@sensitive_variables("password")
def is_right(password: str, encoded: str) -> bool:
    """Whether ``encoded`` is a hash of ``password``, by whichever hasher made it. Keeps no shared
    database connection meanwhile."""
    release_connection()
    return check_password(password, encoded)


@sensitive_variables("password")
def store_anew(user: AbstractBaseUser, password: str) -> None:
    """Replace the stored hash of ``user``, as it was read, by one of our hasher: outside of a
    transaction, since it takes long, and only where the row still has the one that was read. What
    another login, or a change of the password, has stored meanwhile stays."""
    encoded = make_password(password)
    with write_transaction():
        get_user_model()._default_manager.filter(pk=user.pk, password=user.password).update(
            password=encoded
        )
