"""A clock that ends what a client began runs only on what the client owes (row 45), and what moves
is not stalled (row 46)."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from securedrop_ftp.engine.reads import ReadBudget
from securedrop_ftp.ftps.stall import Patience, StallClock
from tests.clients import FtpsClient
from tests.faults.behind import BehindProxy, through_tls
from tests.faults.holding import database_held
from tests.faults.proxy import FaultProxy
from tests.fixtures.cast import password_of
from tests.fixtures.certificates import Certificates
from tests.fixtures.moto import MotoServer
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import BucketStore
from tests.security.test_control_channel import read_reply, secured

MIB = 1024 * 1024

# --- row 45: what the client owes ------------------------------------------------------------

#: Seconds; every deadline below is far shorter.
LONG = 4.0


@pytest.fixture
def slow(
    served: Serve, moto_server: MotoServer, certificates: Certificates
) -> Iterator[ServedFtps]:
    """S3 takes two seconds for every request, and a data connection must come within one."""
    delays = {"faults": ("delay",), "delay": 2.0}
    with FaultProxy(moto_server.port, tls=through_tls(certificates), **delays) as proxy:  # type: ignore[arg-type]
        direct = BucketStore(moto_server, moto_server.bucket())
        store = BehindProxy(direct, moto_server.client(), proxy.port)
        ftps = served("sqlite", "s3", start=False, options={"passive_timeout": 1})
        ftps.store, ftps.settings["STORAGE_URL"] = store, store.url
        ftps.start()
        store.put("acme/there.txt", b"there")
        with ftps.login() as client:  # what a first request makes ready
            client.size("there.txt")
        proxy.rate = 1.0
        yield ftps


def test_row_45_uploads_that_wait_for_a_slow_storage_have_their_data_channels(
    slow: ServedFtps,
) -> None:
    def upload(number: int) -> str:
        with slow.login() as client:
            client.sock.settimeout(120)  # type: ignore[union-attr]
            return client.upload(f"{number}.txt", b"x" * 1000)[:3]

    with ThreadPoolExecutor(9) as pool:  # more than the partner's storage jobs at once
        assert list(pool.map(upload, range(9))) == ["226"] * 9


def test_row_45_a_command_between_pasv_and_its_transfer_is_not_the_clients_time(
    slow: ServedFtps,
) -> None:
    with slow.login() as client:
        host, port = client.makepasv()
        assert client.size("there.txt") == 5
        client.putcmd("RETR there.txt")
        with socket.create_connection((host, port), timeout=20) as plain:
            assert client.final_reply().startswith("150")
            assert client.sock is not None
            session = client.sock.session  # type: ignore[attr-defined]
            with client.context.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as data:
                assert data.recv(100) == b"there"
                assert data.recv(100) == b""
        assert client.final_reply().startswith("226")


def test_row_45_a_login_that_waits_for_us_is_not_late(served: Serve) -> None:
    ftps = served(options={"login_timeout": 1})
    with secured(ftps) as waiting:
        with database_held(ftps):
            waiting.sendall(f"USER alice\r\nPASS {password_of('alice')}\r\n".encode())
            assert read_reply(waiting).startswith(b"331")
            time.sleep(LONG)
        waiting.settimeout(30)
        assert read_reply(waiting).startswith(b"230")


def test_row_45_a_process_that_was_stopped_blames_nobody(served: Serve) -> None:
    ftps = served(options={"passive_timeout": 2, "stall_window": 2, "idle_timeout": 2})
    (worker,) = ftps.workers
    with ftps.login() as client, ftps.login() as other:
        client.voidcmd("TYPE I")
        other.voidcmd("TYPE I")
        with other.transfercmd("STOR running.bin") as running:
            running.sendall(b"before")
            host, port = client.makepasv()
            os.kill(worker, signal.SIGSTOP)
            try:
                plain = socket.create_connection((host, port), timeout=30)
                client.putcmd("STOR stopped.bin")
                running.sendall(b" and after")
                time.sleep(LONG + 2)
            finally:
                os.kill(worker, signal.SIGCONT)
            assert client.final_reply().startswith("150")
            data = client.context.wrap_socket(
                plain,
                server_hostname="localhost",
                session=client.sock.session,  # type: ignore[union-attr]
            )
            data.sendall(b"whole")
            data.unwrap().close()
            running.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
        assert other.final_reply().startswith("226")
    assert ftps.stored("acme/running.bin") == b"before and after"


# --- row 46: what moves is not stalled -------------------------------------------------------

WINDOW = 3


@pytest.fixture
def strict(standing: Serve) -> ServedFtps:
    """Three seconds without a byte are a stall; a slow rate is none."""
    return standing(options={"stall_window": WINDOW})


def until_later(seconds: float, pause: float) -> Iterator[None]:
    """Beats, until ``seconds`` are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause)


def test_row_46_a_sender_of_a_few_bytes_a_second_is_not_stalled(strict: ServedFtps) -> None:
    with strict.login() as client:
        client.voidcmd("TYPE I")
        sent = 0
        with client.transfercmd("STOR logger.bin") as data:
            for _ in until_later(3 * WINDOW, 0.5):
                data.sendall(b"x")
                sent += 1
            data.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
    assert strict.stored("acme/logger.bin") == b"x" * sent


def test_row_46_pauses_shorter_than_the_window_are_borne_wherever_they_come(
    strict: ServedFtps,
) -> None:
    with strict.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR dump.bin") as data:
            for number in range(4):
                time.sleep(WINDOW * 0.5)
                data.sendall(b"x" * 10 ** (number + 1))
            data.unwrap()  # type: ignore[attr-defined]
        assert client.final_reply().startswith("226")
    assert len(strict.stored("acme/dump.bin")) == 11_110


def test_row_46_a_tls_record_that_comes_byte_by_byte_is_not_stalled(strict: ServedFtps) -> None:
    with strict.login() as client:
        client.voidcmd("TYPE I")
        with thin_line(client, "STOR record.bin") as (data, slowly):
            slowly.set()
            data.sendall(b"r" * 16_000)  # one record; the line holds it back
            for _ in until_later(2 * WINDOW, 0.2):
                pass
            slowly.clear()
            with suppress(OSError):  # the reply tells
                data.unwrap()
        assert client.final_reply().startswith("226")
    assert strict.stored("acme/record.bin") == b"r" * 16_000


@contextmanager
def thin_line(client: FtpsClient, command: str) -> Iterator[tuple[ssl.SSLSocket, threading.Event]]:
    """A transfer's data channel over a line that passes ten bytes a second while the event is
    set."""
    host, port = client.makepasv()
    slowly = threading.Event()
    near, far = socket.socketpair()
    near.settimeout(60)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with socket.create_connection((host, port), timeout=60) as line, near, far:

        def forward() -> None:
            with suppress(OSError):
                while data := far.recv(65536):
                    while data:
                        step = 1 if slowly.is_set() else len(data)
                        line.sendall(data[:step])
                        data = data[step:]
                        time.sleep(0.1 if slowly.is_set() else 0)
                line.shutdown(socket.SHUT_WR)

        def back() -> None:
            with suppress(OSError):
                while data := line.recv(65536):
                    far.sendall(data)
            with suppress(OSError):
                far.shutdown(socket.SHUT_WR)  # or who waits for it would wait for ever

        threads = [threading.Thread(target=run, daemon=True) for run in (forward, back)]
        for thread in threads:
            thread.start()
        client.putcmd(command)
        assert client.final_reply().startswith("150")
        wrapped = client.context.wrap_socket(
            near,
            server_hostname="localhost",
            session=client.sock.session,  # type: ignore[union-attr]
        )
        yield wrapped, slowly


def test_row_46_a_slow_reader_is_not_stalled_while_our_kernel_gets_rid_of_bytes(
    strict: ServedFtps,
) -> None:
    strict.store.put("acme/large.bin", os.urandom(8 * MIB))
    with strict.login() as client:
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect((host, port))
            client.putcmd("RETR large.bin")
            assert client.final_reply().startswith("150")
            with client.context.wrap_socket(
                plain,
                server_hostname="localhost",
                session=client.sock.session,  # type: ignore[union-attr]
            ) as data:
                received = b""
                for _ in until_later(3 * WINDOW, 0.1):
                    received += data.recv(1024)
                assert len(received) < MIB  # else it was not slow
                plain_left = [received]
                while chunk := data.recv(65536):
                    plain_left.append(chunk)
        assert client.final_reply().startswith("226")
        assert b"".join(plain_left) == strict.stored("acme/large.bin")


def test_row_46_a_partner_has_a_window_and_a_rate_of_its_own(served: Serve) -> None:
    ftps = served(options={"stall_window": 600, "control_check_interval": 0.2})
    change = "UPDATE securedrop_ftp_partner SET {} WHERE name = 'acme'"
    ftps.query(change.format("stall_window = 1"))
    with ftps.login() as client, ftps.login("bob") as other:
        client.voidcmd("TYPE I")
        other.voidcmd("TYPE I")
        with other.transfercmd("STOR patient.bin") as patient:
            with client.transfercmd("STOR silent.bin") as data:
                data.sendall(b"only this")
                assert client.final_reply() == "426 Stalled: nothing moved for 1 seconds."
            ftps.query(change.format("min_transfer_rate = 1000"))
            with ftps.login() as third, third.transfercmd("STOR slow.bin") as data:
                replies: list[str] = []
                reader = threading.Thread(target=lambda: replies.append(third.final_reply()))
                reader.start()
                with suppress(OSError):
                    while reader.is_alive():
                        data.sendall(b"x")
                        reader.join(0.2)
                reader.join()
                assert replies == ["426 Stalled: less than 1000 bytes a second moved."]
            patient.sendall(b"whole")
            patient.unwrap()  # type: ignore[attr-defined]
        assert other.final_reply().startswith("226")


def test_row_46_a_trickle_ends_with_the_age_of_its_session(served: Serve) -> None:
    ftps = served(options={"stall_window": 1, "max_session_age": 3})
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR for-ever.bin") as data:
            client.sock.setblocking(False)  # type: ignore[union-attr]
            with suppress(OSError):
                for _ in until_later(60, 0.2):
                    data.sendall(b"x")
        client.sock.setblocking(True)  # type: ignore[union-attr]
        assert client.final_reply() == "426 Stalled: less than 1024 bytes a second moved."


def test_row_46_slow_readers_of_a_partner_leave_room_for_the_others() -> None:
    budget = ReadBudget(64)
    held = sum(budget.take("acme", 8) for _ in range(20))
    assert held == 4  # half of it
    assert budget.take("globex", 8)
    budget.give("acme", 8)
    assert budget.take("globex", 8)


def test_row_46_the_clock_judges_silence_and_rate_apart() -> None:
    clock = StallClock()
    start = time.monotonic()
    patient = Patience(10)
    assert not clock.stalled(start + 9, 0, patient)
    assert not clock.stalled(start + 15, 1, patient)
    assert clock.stalled(start + 25, 1, patient) == "nothing moved for 10 seconds"
    clock.excuse(start + 30, 1)
    assert not clock.stalled(start + 39, 2, Patience(10, 5))
    assert clock.stalled(start + 41, 3, Patience(10, 5)) == "less than 5 bytes a second moved"
