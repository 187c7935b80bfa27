"""What wears a service out: descriptors, idle crowds, trickles, interrupted transfers, limits, and
a database that does not answer. The rows are those of the security bar."""

from __future__ import annotations

import contextlib
import ftplib
import itertools
import os
import random
import resource
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.clients import FtpsClient, reset_on_close
from tests.fixtures import postgres as postgres_server
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps, make_cast
from tests.security.test_control_channel import (
    logged_in_raw,
    raw,
    read_all,
    read_reply,
    secured,
)
from tests.security.test_trail_floods import counted

MIB = 1024 * 1024

#: Interruptions in every run; the long form has a thousand (``INTERRUPTIONS=1000``).
INTERRUPTIONS = int(os.environ.get("INTERRUPTIONS", "200"))


def serves(ftps: ServedFtps, name: str) -> None:
    with ftps.login() as client:
        assert client.upload(name, b"fine").startswith("226")


# --- row 7 and crowds --------------------------------------------------------------------


def test_row_7_every_connection_beyond_the_descriptors_is_refused_and_the_listener_lives(
    served: Serve,
) -> None:
    ftps = served()
    ftps.faults_expected = True  # what lacks a descriptor may say so in the log
    (worker,) = ftps.workers
    refused, began = 0, time.monotonic()
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    for spare in (0, 1, 2, 3, 5, 8):
        used = max(int(fd.name) for fd in Path(f"/proc/{worker}/fd").iterdir()) + 1
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + spare, hard))
        with ExitStack() as stack:
            answers: Counter[bytes] = Counter()
            for _ in range(40):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", ftps.port), 60))
                answers[read_reply(sock)[:3]] += 1
            assert set(answers) == {b"220", b"421"} or set(answers) == {b"421"}, answers
            assert answers[b"421"] >= 20
            refused += answers[b"421"]
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
        serves(ftps, f"after-{spare}.txt")
    assert ftps.workers == [worker]
    seconds = time.monotonic() - began
    ftps.stop()
    assert 0 < counted(ftps) <= refused  # a row may wait in the spool for a descriptor
    assert 1 <= len(ftps.log_lines("connection.no_descriptors")) <= seconds + 1


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_leave_the_service_normal(served: Serve) -> None:
    with many_descriptors(4096), ExitStack() as stack:
        ftps = served(workers=2, options={"max_connections_per_ip": 2000})
        for _ in range(1000):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", ftps.port), 60))
            assert sock.recv(3) == b"220"
        for _ in range(10):  # as many as a partner may have beside the one that works
            stack.enter_context(logged_in_raw(ftps))
        serves(ftps, "/among-the-idle.txt")
        with ftps.login() as client:
            assert client.download("/among-the-idle.txt") == b"fine"
            assert "among-the-idle.txt" in client.names("/")


# --- row 17: trickles --------------------------------------------------------------------


def test_slowloris_before_the_login_is_cut_off_while_others_are_served(served: Serve) -> None:
    ftps = served(options={"handshake_timeout": 2, "login_timeout": 3})
    with ExitStack() as stack:
        clear = [stack.enter_context(raw(ftps)) for _ in range(10)]
        hello = [stack.enter_context(raw(ftps)) for _ in range(10)]
        for sock in hello:
            sock.sendall(b"AUTH TLS\r\n")
            assert read_reply(sock).startswith(b"234")
            sock.sendall(b"\x16\x03\x01\x02\x00")  # a record of 512 bytes, which never comes
        alive = {*clear, *hello}
        deadline = time.monotonic() + 60
        while alive and time.monotonic() < deadline:
            for sock in tuple(alive):
                if not _trickle(sock, b"U" if sock in clear else b"\x00"):
                    alive.discard(sock)
            time.sleep(0.2)
        assert not alive, "still open after a minute"
        serves(ftps, "before-the-login.txt")


def test_slowloris_after_the_login_is_cut_off(served: Serve) -> None:
    ftps = served(options={"idle_timeout": 2})
    with ExitStack() as stack:
        alive = {stack.enter_context(logged_in_raw(ftps)) for _ in range(5)}
        deadline = time.monotonic() + 60
        while alive and time.monotonic() < deadline:
            for sock in tuple(alive):
                if not _trickle(sock, b"S"):  # of a line that never ends
                    alive.discard(sock)
            time.sleep(0.2)
        assert not alive, "still open after a minute"
        serves(ftps, "after-the-login.txt")


def _trickle(sock: socket.socket, byte: bytes) -> bool:
    """Send one byte; whether the connection still stands."""
    try:
        sock.sendall(byte)
        sock.settimeout(0.01)
        return sock.recv(4096) != b"" or not isinstance(sock, ssl.SSLSocket)
    except (TimeoutError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


def test_a_slow_reader_of_a_download_is_cut_off_and_holds_no_memory(served: Serve) -> None:
    ftps = served(options={"stall_window": 2})
    size = 64 * MIB
    ftps.store.put("acme/large.bin", bytes(size))
    (worker,) = ftps.workers
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("RETR large.bin") as data:
            before = _resident(worker)
            data.recv(1000)
            reply = client.final_reply()  # nothing more is read
            assert reply.startswith("426"), reply
            assert _resident(worker) - before < size // 2 + 16 * MIB
        assert client.sendcmd("NOOP").startswith("200")


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


# --- ABOR, QUIT, EPSV at every phase (CVE-2020-9273) ---------------------------------------

#: Sessions that are interrupted at once; most of the time each waits for a deadline.
INTERRUPTERS = 10
COMMANDS = ("ABOR", "QUIT", "EPSV", "ABOR\r\nQUIT", "EPSV\r\nABOR", "")
PHASES = ("before data", "handshake", "in the middle", "last byte", "after the end")


@pytest.mark.timeout(0)  # it ends with its interruptions
def test_abor_quit_and_epsv_at_every_phase_of_a_transfer(served: Serve) -> None:
    ftps = served(options={"passive_timeout": 1})
    ftps.store.put("acme/down.bin", bytes(300_000))
    (worker,) = ftps.workers
    turns = list(itertools.product(("STOR", "RETR"), PHASES, COMMANDS))
    random.Random(9273).shuffle(turns)
    with ThreadPoolExecutor(INTERRUPTERS) as pool:
        running = [pool.submit(_interrupter, ftps, n, turns) for n in range(INTERRUPTERS)]
        finals = sum((done.result() for done in running), Counter[str]())
    print(f"\n  transfers interrupted {INTERRUPTIONS}, first replies {dict(finals)}")
    assert ftps.workers == [worker]
    wait_until(lambda: not _live(ftps), "the end of the uploads")
    serves(ftps, "after-the-interruptions.txt")


def _interrupter(ftps: ServedFtps, number: int, turns: list[tuple[str, str, str]]) -> Counter[str]:
    """How the transfers ended: the code of each one's reply."""
    finals: Counter[str] = Counter()
    chance = random.Random(number)
    with ExitStack() as sessions:
        client: FtpsClient | None = None
        for turn in range(number, INTERRUPTIONS, INTERRUPTERS):
            verb, phase, command = turns[turn % len(turns)]
            line = f"STOR up-{number}.bin" if verb == "STOR" else "RETR down.bin"
            if client is None:
                client = sessions.enter_context(ftps.login())
            codes = _interrupt(client, line, phase, command, chance)
            finals[codes[0]] += 1
            if "221" in codes:
                client.close()
                client = None
    return finals


def _live(ftps: ServedFtps) -> bool:
    return any(r["state"] in ("receiving", "publishing") for r in ftps.uploads())


def _interrupt(
    client: FtpsClient, verb: str, phase: str, command: str, chance: random.Random
) -> list[str]:
    """One transfer with the command in its midst; the codes of the replies to both. Every command
    has its one reply, the transfer too, whatever the order in which they came."""
    client.voidcmd("TYPE I")
    address = client.makepasv()
    _say(client, verb, command if phase == "before data" else "")
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=20) as data:
        data.settimeout(20)
        if phase == "handshake":
            _say(client, command)
        elif phase != "before data":
            _move(client, data, verb, phase, command, chance)
    return _in_step(client, command)


def _move(
    client: FtpsClient,
    data: socket.socket,
    verb: str,
    phase: str,
    command: str,
    chance: random.Random,
) -> None:
    control = client.sock
    assert isinstance(control, ssl.SSLSocket)
    said = False
    try:
        with client.context.wrap_socket(
            data, session=control.session, server_hostname="127.0.0.1"
        ) as tls:
            if verb.startswith("STOR"):
                tls.sendall(chance.randbytes(chance.randrange(1, 50_000)))
            else:
                tls.recv(chance.randrange(1, 50_000))
            if phase != "after the end":
                said = True
                _say(client, command)
            if phase != "in the middle":
                tls.unwrap()
            elif chance.random() < 0.5:
                reset_on_close(tls)
    finally:
        if not said:
            _say(client, command)


def _say(client: FtpsClient, *lines: str) -> None:
    assert client.sock is not None
    client.sock.sendall("".join(f"{line}\r\n" for line in lines if line).encode())


def _in_step(client: FtpsClient, command: str) -> list[str]:
    """Read every reply up to one that we know, or the end; the final ones' codes."""
    with contextlib.suppress(OSError):
        _say(client, "SYST")
    replies = []
    while True:
        try:
            reply = client.final_reply()
        except (EOFError, ConnectionError):
            break
        if reply.startswith("215"):
            break
        replies.append(reply[:3])
    finals = [code for code in replies if code != "150"]
    commands = [line for line in command.split("\r\n") if line]
    assert len(finals) == 1 + len(commands), (command, replies)
    assert ("QUIT" in commands) == ("221" in finals), (command, replies)
    return finals


@pytest.mark.parametrize("line", ["STOR never.bin", "RETR there.bin", "LIST"])
def test_abor_in_one_write_with_its_command_ends_it_at_once(standing: Serve, line: str) -> None:
    ftps = standing()  # which waits half a minute for a data connection
    ftps.store.put("acme/there.bin", b"there")
    with ftps.login() as client:
        assert client.sock is not None
        client.sock.settimeout(15)
        client.makepasv()
        _say(client, f"{line}\r\nABOR")
        replies = [client.final_reply()[:3]]
        if replies == ["150"]:
            replies = [client.final_reply()[:3]]
        assert replies[0] in ("426", "425"), replies
        assert client.final_reply().startswith("226 ABOR")
        assert client.sendcmd("NOOP").startswith("200")


# --- limits to the byte --------------------------------------------------------------------


@pytest.mark.parametrize(("extra", "code"), [(-1, "226"), (0, "226"), (1, "552")])
@pytest.mark.parametrize("announced", [False, True])
def test_a_file_of_the_limit_is_taken_and_one_byte_more_is_not(
    standing: Serve, announced: bool, extra: int, code: str
) -> None:
    ftps = standing(options={"part_size": 64 * 1024})
    limit = 150_000
    ftps.query(
        "UPDATE securedrop_ftp_partner SET max_file_size = %s WHERE name = %s", limit, "globex"
    )
    path, size = f"/limit{extra}-{announced}.bin", limit + extra
    with ftps.login("bob") as client:
        if announced:
            reply = client.reply_to(f"ALLO {size}")
            assert reply[0] in ("2", "5")
        client.voidcmd("TYPE I")
        try:
            reply = client.upload(path, bytes(size))
        except (ftplib.Error, OSError) as exc:
            reply = str(exc) if isinstance(exc, ftplib.Error) else client.final_reply()
        assert reply.startswith(code), reply
        assert client.sendcmd("NOOP").startswith("200")
    stored = {k: n for k, n in ftps.store.everything().items() if k == f"globex{path}"}
    assert stored == ({f"globex{path}": size} if code == "226" else {})


# --- a database that does not answer (CVE-2024-5806) ------------------------------------------


def test_while_the_database_is_away_nobody_logs_in_and_no_failure_is_counted(
    served: Serve, tmp_path: Path
) -> None:
    with postgres_server.running() as postgres:
        url = postgres.database()
        make_cast(url, tmp_path)
        ftps = served(start=False)
        ftps.database_url = ftps.settings["DATABASE_URL"] = url
        ftps.faults_expected = True
        ftps.start()
        serves(ftps, "before.txt")
        postgres.stop()
        for secret in ("wrong", password_of("alice"), "wrong", "wrong", "wrong", "wrong", "wrong"):
            with secured(ftps) as sock:
                sock.sendall(f"USER alice\r\nPASS {secret}\r\nPWD\r\n".encode())
                answers = read_all(sock)
            assert b"421 " in answers
            assert b"230 " not in answers
            assert b"530 Login" not in answers
        postgres.start()
        wait_until(lambda: _logs_in(ftps), "the database's return")
        assert not ftps.audit("login.failed") or all(
            row["outcome"] == "error" for row in ftps.audit("login.failed")
        )
        assert ftps.query("SELECT count(*) AS n FROM securedrop_ftp_loginattempt")[0]["n"] == 0


def _logs_in(ftps: ServedFtps) -> bool:
    try:
        serves(ftps, "again.txt")
    except (OSError, EOFError, ftplib.Error):
        return False
    return True
