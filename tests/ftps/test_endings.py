"""However a session ends, what it was made of is freed at once: nothing is left for the garbage
collector, of whose next full run nobody knows when it comes."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients import FtpsClient, connected, reset_on_close
from tests.fixtures.balancer import BalancedClient, balanced, connection, header
from tests.fixtures.counted_settings import COLLECT, TELL
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps

CLIENT = "192.0.2.7"
#: Sessions that are counted.
AGAIN = 3
#: Timers of a session that has ended may hold it for so long: the rest of a refused data channel
#: is thrown away for 10 s.
TIMERS = 15.0


class Counted:
    """A server with one worker that tells what it holds."""

    def __init__(self, ftps: ServedFtps, told: Path) -> None:
        self.ftps, self._told = ftps, told
        (self._worker,) = ftps.workers

    def counts(self, how: int = TELL) -> dict[str, int]:
        """Objects of a session's classes, by class."""
        self._told.unlink(missing_ok=True)
        os.kill(self._worker, how)
        wait_until(self._told.exists, "the counts")
        told: dict[str, int] = json.loads(self._told.read_text())
        return told

    def left(self, before: dict[str, int]) -> dict[str, int]:
        """How many more there are than there were."""
        more = {name: n - before.get(name, 0) for name, n in self.counts().items()}
        return {name: n for name, n in more.items() if n > 0}


def counted(
    standing: Serve, tmp_path_factory: pytest.TempPathFactory, **options: object
) -> Counted:
    told = tmp_path_factory.getbasetemp() / f"counts-{len(options)}.json"
    ftps = standing(
        options=options,
        env={
            "DJANGO_SETTINGS_MODULE": "tests.fixtures.counted_settings",
            "COUNTS_FILE": str(told),
        },
    )
    return Counted(ftps, told)


@pytest.fixture
def plain(standing: Serve, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted(standing, tmp_path_factory, idle_timeout=2, passive_timeout=2)


@pytest.fixture
def behind(standing: Serve, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted(standing, tmp_path_factory, proxy_protocol_from="127.0.0.1")


Ending = Callable[[ServedFtps], None]


def nothing_is_left(server: Counted, ending: Ending) -> None:
    ending(server.ftps)  # what is made once and kept
    time.sleep(1)
    before = server.counts(COLLECT)
    for _ in range(AGAIN):
        ending(server.ftps)
    deadline = time.monotonic() + TIMERS
    while (left := server.left(before)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == {}


# --- endings ---------------------------------------------------------------------------


def quits(ftps: ServedFtps) -> None:
    with ftps.login():
        pass


def hangs_up_before_tls(ftps: ServedFtps) -> None:
    with connected(ftps.port, ftps.ca, tls=False):
        pass


def hangs_up_between_auth_and_its_handshake(ftps: ServedFtps) -> None:
    with connected(ftps.port, ftps.ca, tls=False) as client:
        assert client.sendcmd("AUTH TLS").startswith("234")


def resets_in_the_midst_of_its_handshake(ftps: ServedFtps) -> None:
    with connected(ftps.port, ftps.ca, tls=False) as client:
        assert client.sendcmd("AUTH TLS").startswith("234")
        assert client.sock is not None
        client.sock.sendall(b"\x16\x03\x01\x00\xc8\x01")
        reset_on_close(client.sock)


def speaks_no_tls_after_auth(ftps: ServedFtps) -> None:
    with connected(ftps.port, ftps.ca, tls=False) as client:
        assert client.sendcmd("AUTH TLS").startswith("234")
        assert client.sock is not None
        client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            client.sock.recv(100)


def hangs_up_after_tls(ftps: ServedFtps) -> None:
    with ftps.connect():
        pass


def hangs_up_without_quit(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.close()


def fails_to_log_in(ftps: ServedFtps) -> None:
    with ftps.connect() as client:
        assert client.reply_to("USER nobody").startswith("331")
        assert client.reply_to("PASS wrong").startswith("530")


def hangs_up_while_its_password_is_checked(ftps: ServedFtps) -> None:
    with ftps.connect() as client:
        client.reply_to("USER nobody")
        client.putcmd("PASS wrong")


def is_idle(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.final_reply().startswith("421")


def is_refused_a_command(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.reply_to("SIZE nothing.bin").startswith("550")
        assert client.reply_to("RMD ../nothing").startswith("550")


def uploads(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.upload("ending.bin", b"whole" * 1000).startswith("226")


def uploads_what_is_cut(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.truncated_upload("cut.bin", b"cut" * 1000).startswith("426")


def uploads_what_is_reset(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.truncated_upload("cut.bin", b"cut" * 1000, "rst").startswith("426")


def aborts_an_upload(ftps: ServedFtps) -> None:
    with ftps.login() as client, client.transfercmd("STOR aborted.bin") as data:
        data.sendall(b"a" * 50_000)
        client.putcmd("ABOR")
        assert client.final_reply().startswith("426")
        assert client.final_reply().startswith("226")


def hangs_up_in_the_midst_of_an_upload(ftps: ServedFtps) -> None:
    with ftps.login() as client, client.transfercmd("STOR left.bin") as data:
        data.sendall(b"a" * 50_000)
        client.close()


def downloads(ftps: ServedFtps) -> None:
    ftps.store.put("acme/there.bin", b"there" * 1000)
    with ftps.login() as client:
        assert len(client.download("there.bin")) == 5000


def cuts_a_download(ftps: ServedFtps) -> None:
    ftps.store.put("acme/large.bin", bytes(32 << 20))
    with ftps.login() as client:
        with client.transfercmd("RETR large.bin") as data:
            data.recv(1000)
            reset_on_close(data)
        assert client.final_reply().startswith("426")


def aborts_a_download(ftps: ServedFtps) -> None:
    ftps.store.put("acme/large.bin", bytes(32 << 20))
    with ftps.login() as client, client.transfercmd("RETR large.bin") as data:
        data.recv(1000)
        client.putcmd("ABOR")
        assert client.final_reply().startswith("426")
        assert client.final_reply().startswith("226")


def lists(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.names()


def leaves_a_port_unused(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.makepasv()


def lets_a_port_time_out(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.makepasv()
        assert client.reply_to("STOR never.bin").startswith("150")
        assert client.final_reply().startswith("425")


def asks_for_a_second_port(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        for _ in range(3):
            host, port = client.makepasv()
            with socket.create_connection((host, port)):
                client.voidcmd("NOOP")


def resumes_no_session(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.reuse_session = False
        with suppress(ssl.SSLError, ConnectionError), client.transfercmd("STOR other.bin") as data:
            data.sendall(b"a")
            data.unwrap()  # type: ignore[attr-defined]  # the data channel is a TLS socket
        assert client.final_reply().startswith(("425", "522"))


def names_a_file_that_is_not_there(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.makepasv()
        assert client.reply_to("RETR nothing.bin").startswith("550")


ENDINGS = [
    quits,
    hangs_up_before_tls,
    hangs_up_between_auth_and_its_handshake,
    resets_in_the_midst_of_its_handshake,
    speaks_no_tls_after_auth,
    hangs_up_after_tls,
    hangs_up_without_quit,
    fails_to_log_in,
    hangs_up_while_its_password_is_checked,
    is_idle,
    is_refused_a_command,
    uploads,
    uploads_what_is_cut,
    uploads_what_is_reset,
    aborts_an_upload,
    hangs_up_in_the_midst_of_an_upload,
    downloads,
    cuts_a_download,
    aborts_a_download,
    lists,
    leaves_a_port_unused,
    lets_a_port_time_out,
    asks_for_a_second_port,
    resumes_no_session,
    names_a_file_that_is_not_there,
]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_nothing_is_left_of_a_session_that(plain: Counted, ending: Ending) -> None:
    nothing_is_left(plain, ending)


# --- behind a balancer -----------------------------------------------------------------


def sends_no_header(ftps: ServedFtps) -> None:
    with connection(ftps, b"USER alice\r\n") as sock, suppress(ConnectionError):
        assert sock.recv(100) == b""


def uploads_through_it(ftps: ServedFtps) -> None:
    with balanced(ftps, header(CLIENT)) as client:
        assert client.upload("balanced.bin", b"four").startswith("226")


def sends_no_header_to_a_port(ftps: ServedFtps) -> None:
    with balanced(ftps, header(CLIENT)) as client, _port(client) as sock:
        sock.sendall(b"USER alice\r\n")
        with suppress(ConnectionError):
            assert sock.recv(100) == b""


def says_nothing_to_a_port(ftps: ServedFtps) -> None:
    with balanced(ftps, header(CLIENT)) as client, _port(client):
        client.voidcmd("NOOP")


def _port(client: BalancedClient | FtpsClient) -> socket.socket:
    return socket.create_connection(client.makepasv())


@pytest.mark.parametrize(
    "ending",
    [sends_no_header, uploads_through_it, sends_no_header_to_a_port, says_nothing_to_a_port],
    ids=lambda ending: ending.__name__,
)
def test_nothing_is_left_behind_a_balancer_of_a_session_that(
    behind: Counted, ending: Ending
) -> None:
    nothing_is_left(behind, ending)
