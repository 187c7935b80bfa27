"""No burst of guesses gets more passwords verified than the limit, over several processes, on
either database (security bar, row 28; invariant 7)."""

from __future__ import annotations

import json

from tests.fixtures.cast import password_of
from tests.fixtures.databases import SharedDatabase


def _guess(database: SharedDatabase, **options: str | int) -> tuple[dict[str, int], dict[str, int]]:
    """Four processes of eight threads: how the attempts ended, and the login rows there are."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    answer = json.loads(database.run("-m", "tests.access.guesser", *arguments))
    return answer["ended"], answer["rows"]


def test_two_hundred_parallel_guesses_verify_five_passwords(
    shared_database: SharedDatabase,
) -> None:
    ended, rows = _guess(shared_database, usernames="alice", password="wrong", count=50)
    assert ended == {"verified": 5, "password": 5, "locked": 195}
    assert rows == {"login.failed": 5, "login.locked": 195}


def test_the_right_password_does_not_help_once_the_limit_is_reached(
    shared_database: SharedDatabase,
) -> None:
    _guess(shared_database, usernames="alice", password="wrong", count=2)
    ended, _ = _guess(shared_database, usernames="alice", password=password_of("alice"), count=2)
    assert ended == {"locked": 8}


def test_one_address_gets_twenty_guesses_over_all_names(shared_database: SharedDatabase) -> None:
    names = ",".join(["alice", "bob", "carol", "dave", "erin", *(f"nobody{n}" for n in range(10))])
    ended, _ = _guess(shared_database, usernames=names, password="wrong", count=15)
    assert ended["password"] + ended["unknown"] == 20
    assert ended["locked"] == 40


def test_forty_parallel_logins_with_the_right_password_all_succeed(
    shared_database: SharedDatabase,
) -> None:
    # A client that opens many connections at once waits its turn; it is not taken for a guesser.
    ended, _ = _guess(shared_database, usernames="alice", password=password_of("alice"), count=10)
    assert ended == {"in": 40, "verified": 40}
