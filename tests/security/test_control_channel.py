"""Attacks on the control channel. The rows are those of the security bar."""

from __future__ import annotations

import contextlib
import ftplib
import os
import re
import select
import socket
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from tests.clients import tls_context
from tests.fixtures.cast import password_of
from tests.fixtures.pki import SERVER, authority
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps


def raw(ftps: ServedFtps) -> socket.socket:
    """A connection in the clear, greeting read."""
    sock = socket.create_connection(("127.0.0.1", ftps.port), timeout=60)
    assert read_reply(sock).startswith(b"220")
    return sock


def read_reply(sock: socket.socket) -> bytes:
    """One line; ``b""`` at the end."""
    data = b""
    while not data.endswith(b"\r\n"):
        try:
            byte = sock.recv(1)
        except ConnectionResetError:
            return b""
        if not byte:
            return data
        data += byte
    return data


def read_all(sock: socket.socket) -> bytes:
    """Everything until the peer closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def secured(ftps: ServedFtps) -> ssl.SSLSocket:
    """A connection after AUTH TLS, below any FTP library."""
    sock = raw(ftps)
    sock.sendall(b"AUTH TLS\r\n")
    assert read_reply(sock).startswith(b"234")
    return tls_context(ftps.ca).wrap_socket(sock, server_hostname="localhost")


def logged_in_raw(ftps: ServedFtps, username: str = "alice") -> ssl.SSLSocket:
    sock = secured(ftps)
    sock.sendall(f"USER {username}\r\nPASS {password_of(username)}\r\n".encode())
    assert read_reply(sock).startswith(b"331")
    assert read_reply(sock).startswith(b"230")
    return sock


CLEAR = ["AUTH", "FEAT", "HELP", "NOOP", "QUIT", "SYST", "OPTS", "HOST"]


@pytest.mark.parametrize(
    "line",
    [
        "USER alice",
        "PASS secret",
        "PBSZ 0",
        "PROT P",
        "PWD",
        "LIST",
        "STOR a",
        "EPSV",
        "STAT",
        "TYPE I",
    ],
)
def test_before_tls_nothing_but_the_harmless_verbs_is_answered(ftps: ServedFtps, line: str) -> None:
    with raw(ftps) as sock:
        sock.sendall(line.encode() + b"\r\n")
        assert read_reply(sock).startswith(b"530 TLS is required")


def test_row_8_plaintext_behind_auth_closes_the_session(ftps: ServedFtps) -> None:
    for behind in (b"USER alice\r\n", b"NO", b"\r\n"):
        with raw(ftps) as sock:
            sock.sendall(b"AUTH TLS\r\n" + behind)
            assert read_all(sock).startswith(b"421")


def test_row_8_commands_queued_before_auth_do_not_open_it(ftps: ServedFtps) -> None:
    with raw(ftps) as sock:
        sock.sendall(b"NOOP\r\nAUTH TLS\r\nNOOP\r\n")
        answer = read_all(sock)
        assert b"234" not in answer
        assert b"421" in answer


def test_row_5_a_hundred_guesses_in_one_write_are_one_check(ftps: ServedFtps) -> None:
    before = len(ftps.audit("login.failed"))
    with secured(ftps) as sock:
        sock.sendall(b"USER alice\r\nPASS wrong\r\n" * 100)
        replies = [read_reply(sock) for _ in range(2)]
        assert replies[0].startswith(b"331")
        assert replies[1].startswith(b"530")
        sock.sendall(b"NOOP\r\n")
        assert read_reply(sock).startswith(b"200")
    assert len(ftps.audit("login.failed")) == before + 1


def test_row_9_data_channels_in_the_clear_are_refused_for_good(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.reply_to("PROT C").startswith("534")
        assert client.reply_to("EPSV").startswith("229")
        assert client.reply_to("PROT C").startswith("534")
        client._prot_p = False  # type: ignore[attr-defined]
        with pytest.raises((ftplib.Error, OSError, EOFError)):
            client.download("whatever")


def test_row_9_without_prot_p_there_is_no_data_channel(ftps: ServedFtps) -> None:
    with ftps.connect() as client:
        client.login("alice", password_of("alice"), secure=False)
        assert client.reply_to("EPSV").startswith("522")
        assert client.reply_to("STOR a").startswith("522")


def test_row_11_a_data_channel_that_does_not_resume_the_session_is_refused(
    ftps: ServedFtps,
) -> None:
    with ftps.login() as client:
        client.reuse_session = False
        with pytest.raises((ftplib.Error, OSError)):
            client.upload("stolen.txt", b"x")
    assert "acme/stolen.txt" not in set(ftps.keys())


def test_row_11_the_session_of_another_login_opens_no_data_channel(ftps: ServedFtps) -> None:
    with ftps.login() as client, ftps.login("bob") as thief:
        client.upload("coveted.txt", b"secret")
        client.voidcmd("TYPE I")
        _host, port = client.makepasv()
        stranger = socket.create_connection(("127.0.0.1", port), timeout=60)
        assert isinstance(thief.sock, ssl.SSLSocket)
        client.putcmd("RETR coveted.txt")
        with contextlib.suppress(OSError), stranger:
            wrapped = thief.context.wrap_socket(
                stranger, server_hostname="127.0.0.1", session=thief.sock.session
            )
            assert wrapped.recv(100) == b""
        assert [client.final_reply()[:3] for _ in "ab"] == ["150", "522"]


def test_row_13_a_second_transfer_during_one_is_refused(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.voidcmd("TYPE I")
        with client.transfercmd("STOR first.bin") as data:
            data.sendall(b"a" * 100_000)
            for line in ("STOR second.bin", "RETR first.bin", "EPSV", "LIST"):
                assert client.reply_to(line).startswith("503")
            data.sendall(b"b" * 100_000)
            data.unwrap()  # type: ignore[attr-defined]  # the data channel is a TLS socket
        assert client.final_reply().startswith("226")
    assert ftps.stored("acme/first.bin") == b"a" * 100_000 + b"b" * 100_000
    assert "acme/second.bin" not in set(ftps.keys())


def test_row_16_a_peer_that_never_reads_is_cut_off(ftps: ServedFtps) -> None:
    with socket.socket() as sock:
        # Before the window is told: one that shrinks later drops what is on its way, and on a busy
        # machine the two kernels then wait for each other's timers longer than this test does.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", ftps.port))
        assert read_reply(sock).startswith(b"220")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(2000):  # the replies are 90 MB
                sock.sendall(b"HELP\r\n" * 100)
        poll = select.poll()
        poll.register(sock, select.POLLERR | select.POLLHUP)
        assert poll.poll(60_000), "still open"


def test_row_17_deadlines_end_what_does_not_move(served: Serve) -> None:
    ftps = served(options={"handshake_timeout": 1, "login_timeout": 2, "idle_timeout": 2})
    silent, half, unnamed = raw(ftps), raw(ftps), secured(ftps)
    half.sendall(b"AUTH TLS\r\n")
    read_reply(half)
    with silent, half, unnamed, logged_in_raw(ftps) as idle:
        assert read_all(half) == b""
        assert read_all(silent).startswith(b"421")
        assert read_all(unnamed).startswith(b"421")
        assert read_all(idle).startswith(b"421")


def test_row_17_noop_does_not_keep_a_login_waiting(served: Serve) -> None:
    ftps = served(options={"login_timeout": 2})
    with raw(ftps) as sock, contextlib.suppress(OSError):
        answer = b""
        sock.settimeout(1)
        for _ in range(60):
            sock.sendall(b"NOOP\r\n")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(4096)
            if b"421" in answer or not answer:
                return
            with contextlib.suppress(TimeoutError):
                sock.recv(4096)
        pytest.fail("still open")


def test_row_17_one_address_gets_no_more_than_its_cap(served: Serve) -> None:
    ftps = served(workers=2, env={"SECUREDROP_MAX_CONNECTIONS_PER_IP": "5"})
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(raw(ftps))
        with socket.create_connection(("127.0.0.1", ftps.port), timeout=60) as sixth:
            assert read_reply(sixth).startswith(b"421")


def test_row_19_names_that_are_not_utf8_are_refused_and_not_made_to_collide(
    ftps: ServedFtps,
) -> None:
    with logged_in_raw(ftps) as sock:
        for name in (b"a\xff", b"a\xfe"):
            sock.sendall(b"MKD " + name + b"\r\n")
            assert read_reply(sock).startswith(b"501")


def test_row_20_the_tail_of_an_overlong_line_does_not_run(ftps: ServedFtps) -> None:
    with logged_in_raw(ftps) as sock:
        sock.sendall(b"STAT " + b"a" * 10_000)
        assert read_reply(sock).startswith(b"500")
        sock.sendall(b"MKD tail\r\nNOOP\r\n")  # still the line that was too long
        assert read_reply(sock).startswith(b"200 I am here")
        sock.sendall(b"RMD tail\r\n")
        assert read_reply(sock).startswith(b"550")


def test_row_20_a_second_overlong_line_closes_the_session(ftps: ServedFtps) -> None:
    with logged_in_raw(ftps) as sock:
        sock.sendall(b"STAT " + b"a" * 10_000 + b"\r\nMKD x" + b"y" * 10_000 + b"\r\nNOOP\r\n")
        answers = read_all(sock)
    assert answers.count(b"500 ") == 2
    assert b"200 " not in answers


def test_row_20_a_megabyte_line_is_refused_once_and_costs_no_time(ftps: ServedFtps) -> None:
    """CVE-2019-18217 (ProFTPD): one over-long command kept a process busy for ever."""
    (worker,) = ftps.workers
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(logged_in_raw(ftps)) for _ in range(4)]
        before = cpu_seconds(worker)
        for sock in socks:
            sock.sendall(b"A" * 1_000_000 + b"\r\nNOOP\r\n")
            assert read_reply(sock).startswith(b"500")
            assert read_reply(sock).startswith(b"200")
        assert cpu_seconds(worker) - before < 2


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and in kernel mode (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


#: Control characters, line and paragraph separators, overrides of the writing direction.
HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def test_row_21_line_breaks_and_escapes_do_not_reach_log_or_audit(ftps: ServedFtps) -> None:
    with secured(ftps) as sock:
        sock.sendall(b"USER eve\n2026 login ok\r\n")
        assert read_reply(sock).startswith(b"501")
        sock.sendall("USER eve\u202e\u2028x\r\n".encode())
        read_reply(sock)
        sock.sendall(b"PASS x\x1b[2J\r\n")
        read_reply(sock)
        sock.sendall("USER eve\u2028x\r\nPASS y\r\n".encode())
        read_reply(sock)
        assert read_reply(sock).startswith(b"530")
    for row in ftps.audit():
        for value in row.values():
            assert not isinstance(value, str) or not HARMFUL.search(value), value
    assert "\x1b" not in ftps.log


def test_row_23_an_http_request_is_not_answered(ftps: ServedFtps) -> None:
    with raw(ftps) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nUSER alice\r\n")
        answer = read_all(sock)
        assert answer.startswith(b"500")
        assert b"331" not in answer


def test_row_23_ten_bad_commands_close_the_session(ftps: ServedFtps) -> None:
    with raw(ftps) as sock:
        sock.sendall(b"WHAT\r\n" * 12)
        answers = read_all(sock).splitlines()
    assert [a[:3] for a in answers] == [b"500"] * 9 + [b"421"] or answers[-1].startswith(b"421")
    assert len(answers) <= 11


def test_row_23_alpn_must_be_ftp_or_absent(ftps: ServedFtps) -> None:
    for protocols, accepted in ((["ftp"], True), (["http/1.1"], False), (["h2", "ftp"], True)):
        sock = raw(ftps)
        sock.sendall(b"AUTH TLS\r\n")
        read_reply(sock)
        context = tls_context(ftps.ca)
        context.set_alpn_protocols(protocols)
        with sock:
            if accepted:
                with context.wrap_socket(sock, server_hostname="localhost") as tls:
                    assert tls.selected_alpn_protocol() == "ftp"
            else:
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    context.wrap_socket(sock, server_hostname="localhost")


@pytest.fixture(scope="module")
def with_rsa_key(standing: Serve, tmp_path_factory: pytest.TempPathFactory) -> ServedFtps:
    """Suites without forward secrecy need a server whose certificate is an RSA one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pair = authority("RSA").issue("localhost", key=key, purposes=SERVER)
    directory = tmp_path_factory.mktemp("rsa")
    (directory / "server.pem").write_text(pair.pem)
    (directory / "server.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (directory / "server.key").chmod(0o600)
    names = {"tls_cert_file": "server.pem", "tls_key_file": "server.key"}
    return standing(options={option: directory / name for option, name in names.items()})


@pytest.mark.parametrize(
    ("suite", "taken"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", True),
        ("AES128-GCM-SHA256", False),  # RSA key transport
        ("AES256-SHA256", False),
        ("ECDHE-RSA-AES128-SHA256", False),  # CBC
        ("ECDHE-RSA-AES256-SHA", False),
        ("ECDHE-ECDSA-AES128-SHA", False),
        ("DHE-RSA-AES128-GCM-SHA256", False),
    ],
)
def test_row_24_weak_suites_are_not_offered(
    ftps: ServedFtps, with_rsa_key: ServedFtps, suite: str, taken: bool
) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(f"{suite}:@SECLEVEL=0".encode())
    with raw(ftps if "ECDSA" in suite else with_rsa_key) as sock:
        if taken:
            assert openssl_client(sock, context).get_cipher_name() == suite
        else:
            with pytest.raises(SSL.Error):
                openssl_client(sock, context)


def test_row_24_the_default_profile_speaks_tls_1_2_and_modern_speaks_1_3(
    ftps: ServedFtps, standing: Serve
) -> None:
    with ftps.connect(tls13=True) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.2"
    modern = standing(options={"tls_profile": "modern"})
    with modern.connect(tls13=True) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.3"


def test_row_24_tls_1_1_is_not_spoken(ftps: ServedFtps) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    with raw(ftps) as sock, pytest.raises(SSL.Error):
        openssl_client(sock, context)


def test_row_24_a_renegotiation_is_refused(ftps: ServedFtps) -> None:
    """Each costs the server a handshake (CVE-2011-1473)."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with raw(ftps) as sock:
        client = openssl_client(sock, context)
        client.renegotiate()
        with pytest.raises(SSL.Error):
            client.do_handshake()


def openssl_client(sock: socket.socket, context: SSL.Context) -> SSL.Connection:
    """A handshake behind AUTH TLS, with more choice than Python's ``ssl`` gives."""
    sock.sendall(b"AUTH TLS\r\n")
    assert read_reply(sock).startswith(b"234")
    sock.settimeout(None)  # pyOpenSSL wants a socket that blocks
    client = SSL.Connection(context, sock)
    client.set_connect_state()
    client.do_handshake()
    return client


def test_row_26_a_full_passive_range_is_425_and_never_another_port(served: Serve) -> None:
    ftps = served(options={"ftps_passive_ports": "19990-19991"})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(ftps.login()) for _ in range(3)]
        answers = [client.reply_to("EPSV") for client in clients]
    assert [a[:3] for a in answers] == ["229", "229", "425"]
    assert {a.split("|||")[1][:5] for a in answers[:2]} == {"19990", "19991"}


@pytest.mark.parametrize("line", ["xxQUIT", "ſYST", "\xffNOOP", "NO-OP"])
def test_row_27_only_plain_verbs_are_understood(ftps: ServedFtps, line: str) -> None:
    with raw(ftps) as sock:
        sock.sendall(line.encode() + b"\r\n")
        assert read_reply(sock).startswith(b"500")


@pytest.mark.parametrize("offset", ["1_000", "-1", "+1", " 1", "1.0", "٣", "1e3", "9" * 30])
def test_row_27_rest_takes_ascii_digits_only(ftps: ServedFtps, offset: str) -> None:
    with ftps.login() as client:
        assert client.reply_to(f"REST {offset}").startswith("501")


def test_row_27_nul_does_not_drop_the_session(ftps: ServedFtps) -> None:
    with logged_in_raw(ftps) as sock:
        sock.sendall(b"MKD a\x00b\r\nNOOP\r\n")
        assert read_reply(sock).startswith(b"501")
        assert read_reply(sock).startswith(b"200")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("PORT 127,0,0,1,10,10", "502"),
        ("EPRT |1|127.0.0.1|2570|", "502"),
        ("SITE CHMOD 777 a", "502"),
        ("MFMT 20200101000000 a", "502"),
        ("REIN", "502"),
        ("CCC", "502"),
        ("TYPE A", "200"),
        ("TYPE E", "504"),
        ("MODE B", "504"),
        ("STRU R", "504"),
    ],
)
def test_what_is_off_is_answered_with_the_rfcs_code(ftps: ServedFtps, line: str, code: str) -> None:
    with ftps.login() as client:
        assert client.reply_to(line).startswith(code)


def test_no_data_verb_works_before_the_login(ftps: ServedFtps) -> None:
    """CVE-2025-31161: a session half way through its login is nobody's."""
    with ftps.connect() as client:
        for line in ("PBSZ 0", "PROT P", "USER alice"):
            client.sendcmd(line)
        for line in ("EPSV", "PASV", "LIST", "RETR a", "STOR a", "MLSD", "SIZE a", "DELE a", "PWD"):
            assert client.reply_to(line).startswith("530")


def test_a_flood_of_connects_and_resets_leaves_the_service_normal(served: Serve) -> None:
    ftps = served(options={"max_connections_per_ip": 20})
    for _ in range(200):
        sock = socket.create_connection(("127.0.0.1", ftps.port), timeout=60)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
        sock.close()
    # The last of them may still be counted; none stays so.
    wait_until(lambda: greeted(ftps), "a free place")
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            wait_until(lambda: greeted(ftps), "a free place")
            stack.enter_context(raw(ftps))
        with ftps.login() as client:
            assert client.upload("after-the-flood.txt", b"fine").startswith("226")


def greeted(ftps: ServedFtps) -> bool:
    """Whether a new connection is served."""
    with socket.create_connection(("127.0.0.1", ftps.port), timeout=60) as sock:
        return read_reply(sock).startswith(b"220")


@pytest.mark.parametrize(
    "pattern",
    ["a*" * 60 + "b", "*a" * 60 + "*b", "?*" * 60 + "b", "[a-z]*" * 40 + "[!a]", "[" * 200],
)
def test_a_pattern_that_could_be_tried_for_ever_is_answered(served: Serve, pattern: str) -> None:
    """glob(3) took exponential time for patterns like these (CVE-2010-2632)."""
    ftps = served()
    for letter in "abc":
        ftps.store.put(f"acme/{'a' * 200}{letter}a", b"x")
    with ftps.login() as client:
        assert client.reply_to(f"STAT {pattern}").startswith("550 No files found")
        assert client.sendcmd("NOOP").startswith("200")


def test_a_pattern_walks_through_no_directories(ftps: ServedFtps) -> None:
    ftps.store.put("acme/walk/one/deep.txt", b"x")
    with ftps.login() as client:
        for pattern in ("w*/one/deep.txt", "*/*", "walk/*/deep.txt", "{walk,one}" * 40, "walk/**"):
            answer = client.reply_to(f"STAT {pattern}")
            assert answer.startswith("550") or "deep.txt" not in answer
        for pattern in ("../*", "/../../*", "walk/../../*"):
            assert "globex" not in client.reply_to(f"STAT {pattern}")


def test_a_second_user_command_does_not_change_who_is_logged_in(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        assert client.reply_to("USER bob").startswith("503")
        assert client.reply_to(f"PASS {password_of('bob')}").startswith("503")


def test_stock_clients_that_cannot_resume_are_served_where_the_partner_allows_it(
    served: Serve,
) -> None:
    ftps = served()
    ftps.query(
        "UPDATE securedrop_ftp_partner SET require_tls_session_reuse = %s WHERE name = %s",
        False,
        "acme",
    )
    with ftps.login() as client:
        client.reuse_session = False
        assert client.upload("relaxed.txt", b"x").startswith("226")


def test_row_17_logins_from_one_address_have_a_rate(served: Serve) -> None:
    ftps = served(workers=2, env={"SECUREDROP_LOGIN_RATE_PER_IP": "3"})
    answers: list[bytes] = []
    while b"421" not in answers and len(answers) < 20:  # some four of them in one minute
        with secured(ftps) as sock:
            sock.sendall(f"USER nobody{len(answers)}\r\nPASS wrong\r\n".encode())
            read_reply(sock)
            answers.append(read_reply(sock)[:3])
    assert answers[:3] == [b"530"] * 3
    assert answers[-1] == b"421"
    assert any(row["reason"].startswith("rate") for row in ftps.audit("login.failed"))
