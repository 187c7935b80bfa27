"""Rows 28 to 30, and what others' advisories teach about logins: over real sockets."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from securedrop_ftp.access.login import REFUSAL_STEP
from securedrop_ftp.access.names import MAX_PASSWORD_BYTES
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import read_all, read_reply, secured

MIB = 1024 * 1024

#: No lockout in a test that guesses a lot.
PATIENT = {"lockout_user_ip_limit": 1000, "lockout_ip_limit": 1000}


def guess(ftps: ServedFtps, username: str, password: str) -> bytes:
    """The reply to PASS in a session of its own."""
    with secured(ftps) as sock:
        sock.sendall(f"USER {username}\r\nPASS {password}\r\n".encode())
        assert read_reply(sock).startswith(b"331")
        return read_reply(sock)


def guess_at_once(ftps: ServedFtps, username: str, count: int) -> Counter[bytes]:
    """``count`` sessions that wait at the gate, and give one wrong password each."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        socks = [stack.enter_context(secured(ftps)) for _ in range(count)]
        for sock in socks:
            sock.sendall(f"USER {username}\r\n".encode())
            assert read_reply(sock).startswith(b"331")
        for sock in socks:
            sock.settimeout(90)  # they take turns
            sock.sendall(b"PASS wrong\r\n")
        return Counter(reply[:3] for reply in pool.map(read_reply, socks))


# --- row 28 ------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_row_28_of_fifty_guesses_at_once_five_passwords_are_looked_at(
    served: Serve, database: str
) -> None:
    ftps = served(database, workers=2)
    assert guess_at_once(ftps, "alice", 50) == {b"530": 50}
    looked_at = [r for r in ftps.audit("login.failed") if r["reason"].startswith("password")]
    assert (len(looked_at), len(ftps.audit("login.locked"))) == (5, 45)
    assert guess(ftps, "alice", password_of("alice")).startswith(b"530")
    assert guess(ftps, "bob", password_of("bob")).startswith(b"230")


def test_row_28_one_address_has_twenty_guesses_over_all_names(served: Serve) -> None:
    ftps = served(workers=2)
    names = [f"nobody-{number}" for number in range(10)]
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(guess, [ftps] * 30, names * 3, ["wrong"] * 30))
    assert len(ftps.audit("login.failed")) == 20
    assert guess(ftps, "alice", password_of("alice")).startswith(b"530")


# --- row 29 ------------------------------------------------------------------------------


def test_row_29_a_refusal_does_not_tell_by_its_time_why(served: Serve) -> None:
    ftps = served()
    ftps.query("UPDATE auth_user SET is_active = (1 = 0) WHERE username = %s", "carol")
    guess_at_once(ftps, "alice", 5)  # locked from now on
    # One after the other: what one waits for must not hide what another does not.
    fastest = [_fastest_refusal(ftps, name) for name in ("alice", "nobody", "bob", "carol")]
    assert ftps.audit("login.locked")
    # A refusal leaves at a multiple of the step after its attempt began, however little it was:
    # a locked one takes 2 ms. A busy machine makes them later, never earlier.
    assert min(fastest) >= REFUSAL_STEP


def _fastest_refusal(ftps: ServedFtps, username: str) -> float:
    """Seconds from PASS to its reply, the best of three."""
    took = []
    with secured(ftps) as sock:
        for _ in range(3):
            sock.sendall(f"USER {username}\r\n".encode())
            assert read_reply(sock).startswith(b"331")
            began = time.monotonic()
            sock.sendall(b"PASS wrong\r\n")
            assert read_reply(sock).startswith(b"530")
            took.append(time.monotonic() - began)
    return min(took)


# --- row 30 ------------------------------------------------------------------------------


def test_row_30_a_crowd_that_logs_in_has_the_memory_of_two_hashes(served: Serve) -> None:
    ftps = served(options=PATIENT | {"account_threads": 16, "concurrent_hashes": 2})
    (worker,) = ftps.workers
    # Of ten times the work, so that those that come together are at work together.
    slow = PasswordHasher(time_cost=20, memory_cost=19456, parallelism=1).hash("another")
    ftps.query("UPDATE auth_user SET password = %s WHERE username = %s", f"argon2{slow}", "alice")
    assert guess(ftps, "bob", password_of("bob")).startswith(b"230")
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # VmHWM begins anew
    before = _peak_since_reset(worker)
    assert guess_at_once(ftps, "alice", 12) == {b"530": 12}
    # Two hashes take 38 MiB; all twelve, 228.
    assert _peak_since_reset(worker) - before < 100 * MIB


def _peak_since_reset(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# --- advisories --------------------------------------------------------------------------


@pytest.mark.parametrize("char", ["\x00", "\n", "\r", "\x1b", "\x7f", "\x08"])
def test_control_characters_in_user_and_pass_are_refused_and_log_nobody_in(
    ftps: ServedFtps, char: str
) -> None:
    """CVE-2025-47812 (Wing FTP): a name was checked up to its NUL and used beyond it."""
    secret = password_of("alice")
    with secured(ftps) as sock:
        for name in (f"alice{char}", f"alice{char}x", f"{char}alice", f"al{char}ice"):
            sock.sendall(f"USER {name}\r\n".encode())
            assert read_reply(sock).startswith(b"501")
            sock.sendall(f"PASS {secret}\r\n".encode())
            assert read_reply(sock).startswith(b"503")
    with secured(ftps) as sock:
        for word in (f"{secret}{char}", f"{secret}{char}x", f"{char}{secret}"):
            sock.sendall(f"USER alice\r\nPASS {word}\r\n".encode())
            assert read_reply(sock).startswith(b"331")
            assert read_reply(sock).startswith(b"501")
            sock.sendall(b"PWD\r\n")
            assert read_reply(sock).startswith(b"530")


def test_a_back_end_that_raises_never_logs_in(served: Serve) -> None:
    """CVE-2024-5806 (MOVEit): an error on the way was taken for consent."""
    ftps = served(env={"DJANGO_SETTINGS_MODULE": "tests.fixtures.debug_settings"})
    ftps.faults_expected = True
    for _ in range(6):
        with secured(ftps) as sock:
            sock.sendall(b"USER alice\r\nPASS wrong\r\nPWD\r\nQUIT\r\n")
            answers = read_all(sock)
        assert b"421 " in answers, answers
        assert b"230 " not in answers
        assert b"257 " not in answers
    assert not ftps.audit("login.succeeded")
    assert ftps.query("SELECT count(*) AS n FROM securedrop_ftp_loginattempt")[0]["n"] == 0
    assert guess(ftps, "alice", password_of("alice")).startswith(b"230")


def test_no_password_longer_than_a_kilobyte_is_hashed(served: Serve) -> None:
    """Hashing what a stranger sends must have a bound (CVE-2013-1443, Django)."""
    ftps = served()
    longest = "p" * MAX_PASSWORD_BYTES
    for username, secret in (("alice", longest), ("bob", longest + "p")):
        _set_password(ftps, username, secret)
    assert guess(ftps, "alice", longest).startswith(b"230")
    assert guess(ftps, "bob", longest + "p").startswith(b"530")


def _set_password(ftps: ServedFtps, username: str, secret: str) -> None:
    code = (
        "from django.contrib.auth.models import User; "
        f"user = User.objects.get(username={username!r}); "
        f"user.set_password({secret!r}); user.save()"
    )
    ftps.manage("shell", "-c", code)
