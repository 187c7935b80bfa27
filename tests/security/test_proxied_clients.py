"""Behind a balancer that speaks the PROXY protocol, everything means the client."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl

import pytest

from tests.clients import reset_on_close, tls_context
from tests.fixtures.balancer import LOCAL, UNKNOWN, balanced, connection, header
from tests.fixtures.cast import password_of
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security.test_control_channel import read_all, read_reply

CLIENT, OTHER = "192.0.2.7", "203.0.113.9"
#: What may connect and is no balancer.
STRANGER = "127.0.0.2"
MONITOR = "127.0.0.3"


@pytest.fixture
def behind(standing: Serve) -> ServedFtps:
    return standing(
        workers=2,
        options={
            "proxy_protocol_from": "127.0.0.1, 10.9.0.0/16",
            "health_check_from": MONITOR,
            "presence_interval": 0.2,
        },
    )


def rows_of(ftps: ServedFtps, address: str) -> list[str]:
    return [row["event"] for row in ftps.audit() if row["remote_ip"] == address]


@pytest.mark.parametrize("version", [1, 2])
def test_trail_ledger_and_live_sessions_know_the_client(behind: ServedFtps, version: int) -> None:
    client = f"192.0.2.{20 + version}"
    live = "SELECT * FROM securedrop_ftp_livesession WHERE remote_ip = %s"
    with balanced(behind, header(client, version=version)) as ftp:
        assert ftp.upload(f"v{version}.bin", b"four").startswith("226")
        assert ftp.download(f"v{version}.bin") == b"four"
        assert f"v{version}.bin" in ftp.names()
        wait_until(lambda: bool(behind.query(live, client)), "the live session")
    (upload,) = [u for u in behind.uploads() if u["path"].endswith(f"v{version}.bin")]
    assert upload["remote_ip"] == client
    wait_until(lambda: "session.closed" in rows_of(behind, client), "the rows")
    assert rows_of(behind, client) == [
        "session.opened", "login.succeeded", "upload.committed", "download.completed",
        "session.closed",
    ]  # fmt: skip


def test_what_comes_in_one_segment_with_the_header_is_the_clients(behind: ServedFtps) -> None:
    with connection(behind, header(CLIENT) + b"AUTH TLS\r\n") as sock:
        assert read_reply(sock).startswith(b"220")
        assert read_reply(sock).startswith(b"234")
        with tls_context(behind.ca).wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"NOOP\r\n")
            assert read_reply(tls).startswith(b"200")


def test_pasv_tells_the_address_that_the_client_has_reached(behind: ServedFtps) -> None:
    with balanced(behind, header(CLIENT, "198.51.100.77")) as ftp:
        assert "(198,51,100,77," in ftp.reply_to("PASV")
        assert ftp.reply_to("EPSV 1").startswith("229")
    with balanced(behind, header("2001:db8::7", "2001:db8::1")) as ftp:
        assert ftp.reply_to("EPSV 2").startswith("229")
        assert ftp.reply_to("EPSV 1").startswith("522")


def test_the_partners_rules_judge_the_client(served: Serve) -> None:
    ftps = served(options={"proxy_protocol_from": "127.0.0.1"})
    ftps.query(
        "INSERT INTO securedrop_ftp_iprule (partner_id, action, network, note) "
        "SELECT id, 'allow', '192.0.2.0/24', '' FROM securedrop_ftp_partner WHERE name = 'acme'"
    )
    with balanced(ftps, header(CLIENT)) as ftp:
        assert ftp.names() == []
    with pytest.raises(ftplib.error_perm, match="530"), balanced(ftps, header(OTHER)):
        pass
    with pytest.raises(ftplib.error_perm, match="530"), balanced(ftps, LOCAL):
        pass


def test_twenty_guesses_of_one_client_lock_out_that_client_alone(served: Serve) -> None:
    ftps = served(workers=2, options={"proxy_protocol_from": "127.0.0.1"})
    for guess in range(20):
        with pytest.raises(ftplib.error_perm):
            _log_in(ftps, header(CLIENT), f"nobody-{guess}", "wrong")
    with pytest.raises(ftplib.error_perm, match="530"):
        _log_in(ftps, header(CLIENT), "alice", password_of("alice"))
    with balanced(ftps, header(OTHER)) as ftp:
        assert ftp.upload("a.bin", b"four").startswith("226")
    locked = ftps.query("SELECT source FROM securedrop_ftp_lockout")
    assert "127.0.0.1" not in {row["source"] for row in locked}


def _log_in(ftps: ServedFtps, first: bytes, username: str, password: str) -> None:
    with connection(ftps, first + b"AUTH TLS\r\n") as sock:
        assert read_reply(sock).startswith(b"220")
        assert read_reply(sock).startswith(b"234")
        with tls_context(ftps.ca).wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(f"USER {username}\r\nPASS {password}\r\n".encode())
            read_reply(tls)
            answer = read_reply(tls)
    if not answer.startswith(b"230"):
        raise ftplib.error_perm(answer.decode())


@pytest.mark.parametrize("cap", ["max_connections_per_ip", "connection_rate_per_ip"])
def test_caps_count_the_client_and_never_the_balancer(served: Serve, cap: str) -> None:
    ftps = served(workers=2, options={"proxy_protocol_from": "127.0.0.1", cap: 3})
    with contextlib.ExitStack() as stack:

        def greeting(first: bytes) -> bytes:
            return read_reply(stack.enter_context(connection(ftps, first)))

        def all_greeted(first: bytes) -> bool:
            return all(greeting(first).startswith(b"220") for _ in range(3))

        assert all_greeted(header(CLIENT))
        # A minute of the rate may end in the midst of it.
        wait_until(lambda: greeting(header(CLIENT)).startswith(b"421"), "the cap")
        assert all_greeted(header(OTHER))
        for n in range(6):
            assert greeting(header(f"192.0.2.{100 + n}")).startswith(b"220")
            assert greeting(LOCAL).startswith(b"220")


# --- who may send a header, and must ----------------------------------------------------


@pytest.mark.parametrize(
    "first", [b"", b"PROXY TCP4 192", b"PROXY", LOCAL[:-1]], ids=["nothing", "v1", "word", "v2"]
)
def test_a_balancer_that_sends_no_whole_header_is_closed_in_time(
    served: Serve, first: bytes
) -> None:
    ftps = served(options={"proxy_protocol_from": "127.0.0.1", "handshake_timeout": 0.5})
    before = len(ftps.audit())
    with connection(ftps, first) as sock:
        assert read_all(sock) == b""
    assert len(ftps.audit()) == before
    wait_until(lambda: bool(ftps.log_lines("proxy_header.refused")), "the line")


@pytest.mark.parametrize(
    "first", [b"USER alice\r\n", b"AUTH TLS\r\n", b"PROXY TCP4 x y 1 2\r\n", b"\x16\x03\x01\x02"]
)
def test_a_balancer_that_says_something_else_is_closed_without_an_answer(
    behind: ServedFtps, first: bytes
) -> None:
    with connection(behind, first) as sock:
        assert read_all(sock) == b""


def test_a_header_from_anywhere_else_makes_nobody_another(behind: ServedFtps) -> None:
    forged = "192.0.2.66"
    with connection(behind, header(forged, version=1) + b"NOOP\r\n", STRANGER) as sock:
        answer = read_all(sock)
        assert answer.startswith(b"220")
        assert b"500 No PROXY header from this address." in answer
        assert b"200" not in answer
    with connection(behind, header(forged) + b"\r\nQUIT\r\n", STRANGER) as sock:
        assert b"500" in read_all(sock)
    wait_until(lambda: len(rows_of(behind, STRANGER)) == 4, "the rows")
    assert rows_of(behind, forged) == []


def test_silent_connections_of_a_balancer_take_no_clients_place(served: Serve) -> None:
    ftps = served(
        options={"proxy_protocol_from": "127.0.0.1", "max_connections": 4, "handshake_timeout": 600}
    )
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connection(ftps)) for _ in range(300)]
        for n in range(4):
            sock = stack.enter_context(connection(ftps, header(f"192.0.2.{n}")))
            assert read_reply(sock).startswith(b"220")
        assert silent[0].recv(1) == b""  # the oldest made room


# --- health checks ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["close", "reset", "QUIT"])
@pytest.mark.parametrize(
    ("first", "source"),
    [
        (b"", "127.0.0.1"),
        (LOCAL, "127.0.0.1"),
        (UNKNOWN, "127.0.0.1"),
        (header("127.0.0.1", "127.0.0.11", 1), "127.0.0.1"),
        (b"", MONITOR),
    ],
    ids=["silent", "LOCAL", "UNKNOWN", "itself", "monitor"],
)
def test_a_health_check_leaves_no_row(
    behind: ServedFtps, first: bytes, source: str, ending: str
) -> None:
    greeted = bool(first) or source == MONITOR
    with connection(behind, first, source) as sock:
        if greeted and ending == "QUIT":
            assert read_reply(sock).startswith(b"220")
            sock.sendall(b"NOOP\r\nQUIT\r\n")
            assert read_all(sock).startswith(b"200")
        elif ending == "reset":
            reset_on_close(sock)
    # The row of a session that came later is there, and none of the check's.
    with balanced(behind, header(CLIENT)) as ftp:
        ftp.names()
        sessions = [row for row in behind.audit() if row["session"]]
        assert sessions
        assert not [row for row in sessions if row["remote_ip"] in ("127.0.0.1", MONITOR)]


@pytest.mark.parametrize(("first", "source"), [(LOCAL, "127.0.0.1"), (b"", MONITOR)])
def test_who_says_more_than_a_health_check_leaves_rows(
    served: Serve, first: bytes, source: str
) -> None:
    ftps = served(options={"proxy_protocol_from": "127.0.0.1", "health_check_from": MONITOR})
    with connection(ftps, first, source) as sock:
        assert read_reply(sock).startswith(b"220")
        sock.sendall(b"USER alice\r\nQUIT\r\n")
        assert read_all(sock).startswith(b"530")
    wait_until(lambda: "session.closed" in rows_of(ftps, source), "the rows")
    assert rows_of(ftps, source)[0] == "session.opened"


# --- data channels ----------------------------------------------------------------------


def test_where_addresses_differ_the_tls_session_proves_the_data_channel(
    behind: ServedFtps,
) -> None:
    with balanced(behind, header(CLIENT), header(OTHER)) as ftp:
        assert ftp.upload("differs.bin", b"four").startswith("226")
        assert ftp.download("differs.bin") == b"four"


def test_without_the_balancer_a_data_channel_comes_from_the_clients_address(
    behind: ServedFtps,
) -> None:
    with connection(behind, b"AUTH TLS\r\n", STRANGER) as plain:
        read_reply(plain), read_reply(plain)
        context = tls_context(behind.ca)
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            for line in (
                "USER alice", f"PASS {password_of('alice')}", "PBSZ 0", "PROT P", "EPSV"
            ):  # fmt: skip
                sock.sendall(f"{line}\r\n".encode())
                answer = read_reply(sock)
            port = int(answer.split(b"|")[3])
            with socket.create_connection(("127.0.0.1", port), 30) as data:
                data.sendall(header(CLIENT) + b"no TLS")  # right network, and not the client
                with contextlib.suppress(ConnectionResetError):
                    assert read_all(data) == b""


def test_another_address_must_resume_also_where_the_partner_is_let_off(served: Serve) -> None:
    ftps = served(options={"proxy_protocol_from": "127.0.0.1", "passive_timeout": 2})
    ftps.query("UPDATE securedrop_ftp_partner SET require_tls_session_reuse = %s", False)
    with balanced(ftps, header(CLIENT)) as ftp:
        ftp.reuse_session = False
        assert ftp.upload("own.bin", b"four").startswith("226")
    with balanced(ftps, header(CLIENT), header(OTHER)) as ftp:
        ftp.reuse_session = False
        with pytest.raises((ftplib.error_temp, OSError)):
            ftp.upload("strange.bin", b"four")
    assert ftps.keys() == ["acme/own.bin"]


def test_a_data_connection_without_its_header_is_closed(behind: ServedFtps) -> None:
    with balanced(behind, header(CLIENT), b"") as ftp, pytest.raises((ssl.SSLError, OSError)):
        ftp.upload("headless.bin", b"four")


def test_a_check_of_a_passive_port_does_not_end_the_wait_for_its_client(
    served: Serve,
) -> None:
    ftps = served(options={"proxy_protocol_from": "127.0.0.1"})
    with balanced(ftps, header(CLIENT)) as ftp:
        ftp.voidcmd("TYPE I")
        host_and_port = ftp.makepasv()
        ftp.putcmd("STOR late.bin")
        for first in (b"", LOCAL, UNKNOWN, header(OTHER)):
            with socket.create_connection(("127.0.0.1", host_and_port[1]), 30) as check:
                check.sendall(first)
        assert ftp.getresp().startswith("150")
        with socket.create_connection(("127.0.0.1", host_and_port[1]), 30) as plain:
            plain.sendall(header(CLIENT))
            assert isinstance(ftp.sock, ssl.SSLSocket)
            session = ftp.sock.session
            with ftp.context.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as data:
                data.sendall(b"four")
                data.unwrap()
        assert ftp.getresp().startswith("226")
