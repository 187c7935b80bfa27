"""Two nodes on one database, one of which has a wrong clock."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.fixtures.cast import password_of
from tests.fixtures.databases import SharedDatabase
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

#: Seconds: more than a lease lasts.
SKEW = 100


def node_with_a_clock(served: Serve, beside: ServedFtps, file: Path) -> ServedFtps:
    return served(
        beside=beside,
        env={
            "DJANGO_SETTINGS_MODULE": "tests.fixtures.skewed_settings",
            "CLOCK_SKEW_FILE": str(file),
            "SECUREDROP_NODE": "wrong",
        },
    )


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_an_upload_lives_on_beside_a_node_whose_clock_is_ahead(
    served: Serve, tmp_path: Path, database: str
) -> None:
    right = served(database)
    (tmp_path / "skew").write_text(str(SKEW))
    with right.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /slow.bin") as data:
            assert isinstance(data, ssl.SSLSocket)
            data.sendall(b"one")
            node_with_a_clock(served, right, tmp_path / "skew")  # recovers before it serves
            data.sendall(b"two")
            data.unwrap()
        assert client.voidresp().startswith("226")
    assert right.stored("acme/slow.bin") == b"onetwo"
    assert [row["state"] for row in right.uploads()] == ["committed"]


def answer_to_login(ftps: ServedFtps) -> str:
    with ftps.connect() as client:
        client.reply_to("USER alice")
        return client.reply_to(f"PASS {password_of('alice')}")


def test_a_node_whose_clock_goes_wrong_takes_no_logins_and_ends_transfers_well(
    served: Serve, tmp_path: Path
) -> None:
    right = served("postgres")
    skew = tmp_path / "skew"
    skew.write_text("0")
    wrong = node_with_a_clock(served, right, skew)
    with wrong.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR /slow.bin") as data:
            assert isinstance(data, ssl.SSLSocket)
            data.sendall(b"one")
            skew.write_text(str(-SKEW))
            wait_until(lambda: answer_to_login(wrong).startswith("421"), "the refusal of logins")
            assert answer_to_login(right).startswith("230")
            data.sendall(b"two")
            data.unwrap()
        assert client.voidresp().startswith("226")
    assert right.stored("acme/slow.bin") == b"onetwo"
    refused = right.audit("login.failed")
    assert refused
    assert {(row["account"], row["outcome"], row["reply"][:3]) for row in refused} == {
        ("alice", "denied", "421")
    }
    assert "clock is 100 s behind the database's" in refused[0]["reason"]
    assert "clock is 100 s behind the database's" in wrong.log
    skew.write_text("0")
    wait_until(lambda: answer_to_login(wrong).startswith("230"), "logins, when the clock is right")


# Two nodes' views in one process: what this one takes for the time is moved.
LOCKOUT = """
import datetime
import django
django.setup()
from django.utils import timezone
from securedrop_ftp import clock
from securedrop_ftp.access import lockout
from securedrop_ftp.exceptions import AccessUnavailable

real = timezone.now

def on_a_node_ahead(seconds, act, *arguments, **options):
    timezone.now = lambda: real() + datetime.timedelta(seconds=seconds)
    clock._last = None
    try:
        return type(act(*arguments, **options)).__name__
    except AccessUnavailable:
        return "waits"
    finally:
        timezone.now = real
        clock._last = None

held = [lockout.reserve("alice", "192.0.2.1") for _ in range(5)]
print(on_a_node_ahead(100, lockout.reserve, "alice", "192.0.2.1", patience=0.1))
for one in held:
    lockout.succeed(one)
print(type(lockout.reserve("alice", "192.0.2.1")).__name__)

for one in [lockout.reserve("bob", "192.0.2.2") for _ in range(4)]:
    lockout.fail(one)
ahead = []
while len(ahead) < 9 and "Locked" not in ahead:
    ahead.append(on_a_node_ahead(960, lambda: lockout.fail(lockout.reserve("bob", "192.0.2.2"))))
print(ahead)
"""


def test_logins_in_flight_lock_nobody_out_and_no_more_guesses_are_looked_at(
    shared_database: SharedDatabase,
) -> None:
    lines = shared_database.run("-c", LOCKOUT).splitlines()
    assert lines == ["waits", "Reservation", "['Locked']"]
