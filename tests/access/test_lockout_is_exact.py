"""No burst of guesses gets more passwords verified than the limit, over several processes, on
either database (security bar, row 28; invariant 7)."""

from __future__ import annotations

import json
from collections import Counter

from tests.fixtures.cast import password_of
from tests.fixtures.databases import SharedDatabase


def _guess(database: SharedDatabase, **options: str | int) -> Counter[str]:
    """Four processes of eight threads."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return Counter(json.loads(database.run("-m", "tests.access.guesser", *arguments)))


def test_two_hundred_parallel_guesses_verify_five_passwords(
    shared_database: SharedDatabase,
) -> None:
    total = _guess(shared_database, usernames="alice", password="wrong", count=50)
    assert total == {"verified": 5, "password": 5, "locked": 195}
    rows = shared_database.run("manage.py", "audit_export").splitlines()
    events = Counter(json.loads(row)["event"] for row in rows)
    assert events["login.failed"] == 5
    assert events["login.locked"] == 195


def test_the_right_password_does_not_help_once_the_limit_is_reached(
    shared_database: SharedDatabase,
) -> None:
    _guess(shared_database, usernames="alice", password="wrong", count=2)
    total = _guess(shared_database, usernames="alice", password=password_of("alice"), count=2)
    assert total == {"locked": 8}


def test_one_address_gets_twenty_guesses_over_all_names(shared_database: SharedDatabase) -> None:
    names = ",".join(["alice", "bob", "carol", "dave", "erin", *(f"nobody{n}" for n in range(10))])
    total = _guess(shared_database, usernames=names, password="wrong", count=15)
    assert total["password"] + total["unknown"] == 20
    assert total["locked"] == 40


def test_forty_parallel_logins_with_the_right_password_all_succeed(
    shared_database: SharedDatabase,
) -> None:
    # A client that opens many connections at once waits its turn; it is not taken for a guesser.
    total = _guess(shared_database, usernames="alice", password=password_of("alice"), count=10)
    assert total == {"in": 40, "verified": 40}
