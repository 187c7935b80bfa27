"""TLS 1.3 on the profile ``modern``: session tickets that reset nobody and do not run out, and TLS
1.2 for clients to whom no new ones can be given."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from securedrop_ftp.tls.hello import bytes_wanted, suits_tls13
from tests.clients import FtpsClient, tls_context
from tests.fixtures.served import Serve, ServedFtps


@pytest.fixture
def modern(standing: Serve) -> ServedFtps:
    return standing(options={"tls_profile": "modern"})


@pytest.fixture
def let_off(standing: Serve) -> ServedFtps:
    """A server whose partners need not resume."""
    ftps = standing(options={"tls_profile": "modern", "max_connections": 98})
    ftps.query("UPDATE securedrop_ftp_partner SET require_tls_session_reuse = %s", False)
    return ftps


@contextmanager
def write_only(client: FtpsClient, command: str, *, resume: bool) -> Iterator[ssl.SSLSocket]:
    """A data channel under TLS 1.3 of a client that has not read a byte since the handshake."""
    control = client.sock
    assert isinstance(control, ssl.SSLSocket)
    address = client.makepasv()
    client.putcmd(command)
    assert client.getresp().startswith("150")
    with client.context.wrap_socket(
        socket.create_connection(address, 20),
        server_hostname="127.0.0.1",
        session=control.session if resume else None,
    ) as data:
        assert data.version() == "TLSv1.3"
        assert data.session_reused is resume
        yield data


def readable(sock: socket.socket, seconds: float) -> bool:
    return bool(select.select([sock], [], [], seconds)[0])


@pytest.mark.parametrize("resume", [True, False])
def test_row_110_a_client_that_uploads_has_nothing_to_read_before_its_end(
    modern: ServedFtps, let_off: ServedFtps, resume: bool
) -> None:
    ftps = modern if resume else let_off
    with ftps.login(tls13=True) as client:
        client.voidcmd("TYPE I")
        for number in range(4):
            with write_only(client, f"STOR whole-{number}.bin", resume=resume) as data:
                data.sendall(b"x" * 300_000)
                assert not readable(data, 0.3)
                data.unwrap()  # close_notify, and with ours the tickets have come
            assert client.final_reply().startswith("226")


def test_row_110_curl_has_a_ticket_for_each_of_many_uploads(
    modern: ServedFtps, tmp_path: Path
) -> None:
    for number in range(30):
        (tmp_path / f"curl-{number:02}.bin").write_bytes(bytes(number * 20_000))
    done = modern.curl("-v", "--fail-early", "-T", f"{tmp_path}/curl-[00-29].bin")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SSL connection using TLSv1.3" in done.stderr
    stored = [key for key in set(modern.keys()) if key.startswith("acme/curl-")]
    assert len(stored) == 30


def test_row_110_each_transfer_brings_new_tickets_on_the_control_channel(
    modern: ServedFtps,
) -> None:
    with modern.login(tls13=True) as client:
        control = client.sock
        assert isinstance(control, ssl.SSLSocket)
        seen = set()
        for number in range(4):
            assert client.upload(f"renewed-{number}.bin", b"x").startswith("226")
            client.voidcmd("NOOP")  # they come with the next reply
            assert control.session is not None
            seen.add(control.session.id)
        assert len(seen) == 4


def test_listings_and_downloads_have_their_tickets_before_the_first_byte(
    let_off: ServedFtps, modern: ServedFtps
) -> None:
    for ftps in (let_off, modern):
        ftps.store.put("acme/there/file.bin", bytes(2_000_000))
        (ftps.directory / "storage" / "acme" / "empty").mkdir(parents=True, exist_ok=True)
        with ftps.login(tls13=True) as client:
            for _ in range(4):
                assert client.names("there") == ["file.bin"]
                assert client.nlst("empty") == []
                assert client.download("there/file.bin") == bytes(2_000_000)


def test_a_key_update_in_an_upload_comes_after_the_tickets(let_off: ServedFtps) -> None:
    """OpenSSL answers it by itself, in the order of its records."""
    with let_off.login(tls13=True) as client:
        client.voidcmd("TYPE I")
        host, port = client.makepasv()
        client.putcmd("STOR rekeyed.txt")
        assert client.getresp().startswith("150")
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_3"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as peer:
            assert peer.stdin is not None
            for line in (b"K\n", b"what follows\n", b"Q\n"):
                time.sleep(1)  # s_client takes a command at the start of what it reads at once
                peer.stdin.write(line)
                peer.stdin.flush()
            said, _ = peer.communicate(timeout=60)
        assert b"KEYUPDATE" in said
        assert b"bad record mac" not in said.lower()
        assert client.final_reply().startswith("226"), said[-1000:]
    assert let_off.stored("acme/rekeyed.txt") == b"what follows\n"


@pytest.mark.parametrize(
    ("authenticates_later", "older", "version"),
    [(True, True, "TLSv1.3"), (False, True, "TLSv1.2"), (False, False, "TLSv1.3")],
)
def test_row_111_a_client_that_gets_no_new_tickets_speaks_tls_1_2(
    modern: ServedFtps, authenticates_later: bool, older: bool, version: str
) -> None:
    context = tls_context(modern.ca, tls13=True)
    context.post_handshake_auth = authenticates_later
    if not older:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    with modern.connect() as client:
        client.close()
        client.context = context
        client.connect("127.0.0.1", modern.port)
        client.auth()
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == version


def first_words(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_a_hello_that_comes_in_pieces_is_waited_for(modern: ServedFtps) -> None:
    context = tls_context(modern.ca, tls13=True)
    hello = first_words(context)
    assert suits_tls13(hello)
    assert bytes_wanted(hello) == len(hello)
    with modern.connect(tls=False) as client:
        client.putcmd("AUTH TLS")
        assert client.getresp().startswith("234")
        assert client.sock is not None
        for at in range(0, len(hello), 60):
            client.sock.sendall(hello[at : at + 60])
            time.sleep(0.02)
        answer = client.sock.recv(5)
    assert answer[0] == 22  # a handshake record


@pytest.mark.parametrize("pieces", [1, 4, 40])
def test_a_hello_that_breaks_off_ends_the_connection_at_once(
    modern: ServedFtps, pieces: int
) -> None:
    hello = first_words(tls_context(modern.ca, tls13=True))
    with modern.connect(tls=False) as client:
        client.putcmd("AUTH TLS")
        assert client.getresp().startswith("234")
        assert client.sock is not None
        client.sock.sendall(hello[:pieces])
        client.sock.shutdown(socket.SHUT_WR)
        client.sock.settimeout(10)
        while client.sock.recv(100):  # an alert, perhaps; then the end
            pass


def test_what_is_no_handshake_ends_the_connection_at_once(modern: ServedFtps) -> None:
    with modern.connect(tls=False) as client:
        client.putcmd("AUTH TLS")
        assert client.getresp().startswith("234")
        assert client.sock is not None
        client.sock.settimeout(10)
        client.sock.sendall(b"USER alice\r\n")
        with contextlib.suppress(ConnectionResetError):
            while client.sock.recv(100):
                pass


def test_what_is_no_whole_hello_suits_nobody(modern: ServedFtps) -> None:
    hello = first_words(tls_context(modern.ca, tls13=True))
    assert not any(suits_tls13(hello[:length]) for length in range(len(hello)))
    assert not suits_tls13(b"GET / HTTP/1.1\r\n" * 20)
