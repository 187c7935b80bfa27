"""Data channels that do not resume the control channel's TLS session: never taken, and refused so
that a person reads why (RFC 4217: 522), while no listing or download ever looks whole."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from securedrop_ftp.ftps.passive import MAX_CANDIDATES
from tests.clients import FtpsClient, tls_context
from tests.fixtures.cast import password_of
from tests.fixtures.served import Serve, ServedFtps

#: What a partner's admin must find in the reply: what is wrong, and what to switch on.
WORDS = ("TLS session", "resume", "control connection", "operator")
UPLOADS = ("STOR refused.bin", "STOU", "APPE refused.bin")
LISTINGS = ("LIST", "NLST", "MLSD")


@pytest.fixture(params=["tls12", "modern"])
def profile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def strict(standing: Serve, profile: str) -> ServedFtps:
    ftps = standing(options={"tls_profile": profile})
    ftps.store.put("acme/there.bin", b"x" * 10_000)
    return ftps


@contextlib.contextmanager
def stock_ftplib(ftps: ServedFtps) -> Iterator[ftplib.FTP_TLS]:
    """Python's client as it comes: it cannot resume."""
    client = ftplib.FTP_TLS(context=tls_context(ftps.ca, tls13=True), timeout=60)
    client.connect("127.0.0.1", ftps.port)
    client.login("alice", password_of("alice"))
    client.prot_p()
    with contextlib.closing(client):
        yield client


def assert_told(text: str) -> None:
    assert "522 " in text, text
    assert not [word for word in WORDS if word not in text], text


# --- row 96: what a stranger's handshake leaves behind ---------------------------------------


def handshake(ftps: ServedFtps, address: tuple[str, int], **options: Any) -> ssl.SSLSocket:
    context = options.pop("context", None) or tls_context(ftps.ca, tls13=True)
    sock = socket.create_connection(address, 20)
    return context.wrap_socket(sock, server_hostname="127.0.0.1", **options)


@pytest.mark.parametrize("again", ["on the same port", "on the next one"])
def test_row_96_a_strangers_own_session_of_a_data_port_opens_no_data_channel(
    strict: ServedFtps, again: str
) -> None:
    context = tls_context(strict.ca, tls13=True)
    with strict.login(tls13=True) as client:
        address = client.makepasv()
        client.putcmd("STOR planted.txt")
        assert client.getresp().startswith("150")
        with handshake(strict, address, context=context) as stranger:
            with contextlib.suppress(OSError):  # TLS 1.3's tickets come after it
                stranger.recv(1)
            session = stranger.session
        if again == "on the next one":
            assert client.final_reply().startswith("522")
            address = client.makepasv()
            client.putcmd("STOR planted.txt")
            assert client.getresp().startswith("150")
        with (
            contextlib.suppress(OSError),
            handshake(strict, address, context=context, session=session) as stranger,
        ):
            stranger.sendall(b"not the owner's")
            stranger.unwrap()
        assert client.final_reply().startswith("522")
    assert "acme/planted.txt" not in set(strict.keys())


# --- row 97: the person reads why ------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 20_000_000])
@pytest.mark.parametrize("command", UPLOADS)
def test_row_97_an_upload_that_is_refused_says_so_to_stock_ftplib(
    strict: ServedFtps, command: str, size: int
) -> None:
    with stock_ftplib(strict) as client:
        with pytest.raises(ftplib.error_perm) as refused:
            client.storbinary(command, io.BytesIO(bytes(size)))
        assert_told(str(refused.value))
        assert client.voidcmd("NOOP").startswith("200")
    assert "acme/refused.bin" not in set(strict.keys())


@pytest.mark.parametrize("verb", LISTINGS)
def test_row_97_no_listing_that_is_refused_looks_empty_to_stock_ftplib(
    strict: ServedFtps, verb: str
) -> None:
    with stock_ftplib(strict) as client:
        with pytest.raises((ftplib.Error, OSError)):
            client.retrlines(verb)
        with pytest.raises(ftplib.error_perm) as refused:
            client.getresp()
        assert_told(str(refused.value))


def test_row_97_no_download_that_is_refused_looks_whole_to_stock_ftplib(
    strict: ServedFtps,
) -> None:
    with stock_ftplib(strict) as client:
        with pytest.raises((ftplib.Error, OSError)):
            client.retrbinary("RETR there.bin", lambda data: None)
        with pytest.raises(ftplib.error_perm) as refused:
            client.getresp()
        assert_told(str(refused.value))


@pytest.mark.parametrize("append", [[], ["--append"]])
def test_row_97_curl_without_session_ids_reads_why_its_upload_is_refused(
    strict: ServedFtps, tmp_path: Path, append: list[str]
) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(10_000_000))
    done = strict.curl("--no-sessionid", "-v", *append, "-T", str(file), path="/refused.bin")
    assert done.returncode != 0
    assert "got 522" in done.stderr.splitlines()[-1]
    assert_told(done.stderr)


@pytest.mark.parametrize("path", ["/", "/there.bin"])
def test_row_97_curl_without_session_ids_fails_where_it_would_read(
    strict: ServedFtps, path: str
) -> None:
    done = strict.curl("--no-sessionid", path=path)
    assert done.returncode != 0
    assert not done.stdout


@pytest.mark.parametrize(
    "command", ["put {file}", "put -c {file}", "cls -l", "nlist", "get there.bin -o {file}.got"]
)
def test_row_97_lftp_without_session_reuse_says_why(
    strict: ServedFtps, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(300_000))
    done = strict.lftp("set ftp:ssl-copy-sid no", command.format(file=file))
    assert done.returncode != 0
    assert_told(done.stderr)
    assert not done.stdout


#: Clients that shake hands as soon as they are connected (curl's order), or after 150 (ftplib's).
ORDERS = ("before the command", "after 150")


def ended_with(data: ssl.SSLSocket) -> str:
    """How a data channel ends for a client that only reads."""
    data.settimeout(20)
    try:
        return "close_notify" if data.recv(1) == b"" else "bytes"
    except ssl.SSLError as exc:
        return "alert" if "ALERT" in str(exc) else f"{exc}"
    except ConnectionResetError:
        return "reset"


def refused_transfer(ftps: ServedFtps, command: str, order: str) -> tuple[str, str]:
    """How the data channel ends, and the reply."""
    with ftps.login(tls13=True) as client:
        client.voidcmd("TYPE I")
        with socket.create_connection(client.makepasv(), 20) as sock:
            context = tls_context(ftps.ca, tls13=True)

            def shake_hands() -> ssl.SSLSocket:
                return context.wrap_socket(
                    sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False
                )

            try:
                early = shake_hands() if order == ORDERS[0] else None
                client.putcmd(command)
                assert client.getresp().startswith("150")
                end = ended_with(early or shake_hands())
            except ssl.SSLError as exc:
                end = "alert" if "ALERT" in str(exc) else str(exc)
        return end, client.final_reply()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("command", ["LIST", "NLST", "MLSD", "RETR there.bin"])
def test_row_97_what_would_be_read_ends_with_a_fatal_alert(
    strict: ServedFtps, command: str, order: str
) -> None:
    end, reply = refused_transfer(strict, command, order)
    assert end == "alert"
    assert_told(reply)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("command", UPLOADS)
def test_row_97_an_upload_is_ended_by_close_notify(
    strict: ServedFtps, command: str, order: str
) -> None:
    end, reply = refused_transfer(strict, command, order)
    assert end == "close_notify"
    assert_told(reply)


def test_row_97_a_client_that_was_stopped_reads_it_when_it_goes_on(
    strict: ServedFtps, tmp_path: Path
) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(5_000_000))
    client = subprocess.Popen(
        [
            "curl", "-sv", "--ssl-reqd", "--cacert", str(strict.ca), "--no-sessionid",
            "--limit-rate", "2M", "--user", f"alice:{password_of('alice')}",
            "-T", str(file), f"ftp://127.0.0.1:{strict.port}/refused.bin",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert client.stderr is not None
    said = ""
    for line in client.stderr:
        said += line
        if "< 150" in line:
            os.kill(client.pid, signal.SIGSTOP)
            time.sleep(2)  # past the grace
            os.kill(client.pid, signal.SIGCONT)
    assert client.wait(60) != 0
    assert_told(said)


# --- the owner's wait ------------------------------------------------------------------------


def own_upload(client: FtpsClient, address: tuple[str, int], between: Callable[[], None]) -> str:
    """An upload whose data connection comes after ``between``."""
    client.voidcmd("TYPE I")
    client.putcmd("STOR own.bin")
    assert client.getresp().startswith("150")
    between()
    assert isinstance(client.sock, ssl.SSLSocket)
    with client.context.wrap_socket(
        socket.create_connection(address, 20),
        server_hostname="127.0.0.1",
        session=client.sock.session,
    ) as data:
        data.sendall(b"the owner's")
        data.unwrap()
    return client.final_reply()


def test_row_97_strangers_that_are_refused_leave_the_owner_its_moment(strict: ServedFtps) -> None:
    with strict.login(tls13=True) as client:
        address = client.makepasv()

        def strangers() -> None:
            for _ in range(3):
                with contextlib.suppress(OSError), handshake(strict, address) as stranger:
                    stranger.unwrap()

        assert own_upload(client, address, strangers).startswith("226")


def test_row_97_strangers_that_came_before_the_command_take_none_of_it(
    strict: ServedFtps,
) -> None:
    with strict.login(tls13=True) as client, contextlib.ExitStack() as stack:
        address = client.makepasv()
        for _ in range(6):
            stack.enter_context(handshake(strict, address))
        time.sleep(1.5)  # longer than the grace
        assert own_upload(client, address, lambda: None).startswith("226")


def test_row_97_a_port_scan_does_not_end_the_owners_wait(strict: ServedFtps) -> None:
    with strict.login(tls13=True) as client:
        address = client.makepasv()

        def scan() -> None:
            for _ in range(3):
                socket.create_connection(address, 20).close()
            time.sleep(2.5)  # longer than the grace and a tick

        assert own_upload(client, address, scan).startswith("226")


def test_row_97_among_silent_candidates_the_refused_client_reads_why(
    served: Serve, profile: str
) -> None:
    ftps = served(options={"tls_profile": profile, "passive_timeout": 5})
    with stock_ftplib(ftps) as client, contextlib.ExitStack() as stack:
        address = client.makepasv()
        client.makepasv = lambda: address  # type: ignore[method-assign]
        for _ in range(MAX_CANDIDATES):
            stack.enter_context(socket.create_connection(address, 20))
        with pytest.raises(ftplib.error_perm) as refused:
            client.storbinary("STOR refused.bin", io.BytesIO(b"x"))
        assert_told(str(refused.value))


@pytest.fixture
def let_off(standing: Serve, profile: str) -> ServedFtps:
    """A server whose partners need not resume."""
    ftps = standing(options={"tls_profile": profile, "max_connections": 99})
    ftps.query("UPDATE securedrop_ftp_partner SET require_tls_session_reuse = %s", False)
    return ftps


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x04abcd", b""])
def test_a_handshake_that_fails_is_called_so(let_off: ServedFtps, words: bytes) -> None:
    with let_off.login(tls13=True) as client:
        address = client.makepasv()
        client.putcmd("STOR refused.bin")
        assert client.getresp().startswith("150")
        with socket.create_connection(address, 20) as sock:
            if words:
                sock.sendall(words)
            else:  # a client that does not trust the certificate
                with pytest.raises(ssl.SSLError):
                    ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")
            assert client.final_reply() == "425 The TLS handshake on the data channel failed."


def test_a_partner_who_is_let_off_needs_no_session(let_off: ServedFtps) -> None:
    with stock_ftplib(let_off) as client:
        for size in (0, 1, 3_000_000):
            assert client.storbinary("STOR a.bin", io.BytesIO(bytes(size))).startswith("226")
            assert client.nlst() == ["a.bin"]
            got = bytearray()
            client.retrbinary("RETR a.bin", got.extend)
            assert got == bytes(size)
