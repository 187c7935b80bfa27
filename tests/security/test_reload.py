"""A reload takes a good certificate without dropping anyone, and refuses a bad one (row 25)."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from securedrop_ftp.server.status import ServiceStatus, read_status
from securedrop_ftp.tls.development import make_certificates
from tests.clients import FtpsClient, tls_context
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps


@pytest.fixture
def rotating(served: Serve, tmp_path: Path) -> ServedFtps:
    """A server whose certificate files are the test's own, with two workers."""
    tls = tmp_path / "tls"
    make_certificates(tls)
    (tmp_path / "lines").write_text("10")
    return served(
        workers=2,
        options={
            "tls_cert_file": tls / "server.pem",
            "tls_key_file": tls / "server.key",
            "max_bad_commands_file": tmp_path / "lines",
        },
    )


def directory(ftps: ServedFtps) -> Path:
    return Path(str(ftps.settings["TLS_CERT_FILE"])).parent


def presented(ftps: ServedFtps) -> str:
    """SHA-256 of the certificate that a new connection sees."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = FtpsClient(context=context, timeout=20)
    try:
        client.connect("127.0.0.1", ftps.port)
        client.auth()
        assert isinstance(client.sock, ssl.SSLSocket)
        return hashlib.sha256(client.sock.getpeercert(binary_form=True) or b"").hexdigest()
    finally:
        client.close()


def presented_by_all(ftps: ServedFtps) -> set[str]:
    """As :func:`presented`, by so many connections that each worker answers one."""
    return {presented(ftps) for _ in range(8)}


def status(ftps: ServedFtps) -> ServiceStatus:
    found = read_status(Path(str(ftps.settings["DATA_DIR"])))
    assert found is not None
    return found


def test_new_connections_see_the_new_certificate_while_a_transfer_runs_on(
    rotating: ServedFtps,
) -> None:
    data = os.urandom(3_000_000)
    context = tls_context(directory(rotating) / "ca.pem")  # of the old certificate
    client = FtpsClient(context=context, timeout=30)
    client.connect("127.0.0.1", rotating.port)
    client.login("alice", "alice-and-a-long-test-password")
    client.prot_p()
    client.voidcmd("TYPE I")
    channel = client.transfercmd("STOR running.bin")
    channel.sendall(data[:1_000_000])
    old = presented(rotating)

    make_certificates(directory(rotating))
    rotating.reload()
    wait_until(lambda: old not in presented_by_all(rotating), "the new certificate")

    channel.sendall(data[1_000_000:])
    assert isinstance(channel, ssl.SSLSocket)
    channel.unwrap()
    channel.close()
    assert client.voidresp().startswith("226")
    assert rotating.stored("acme/running.bin") == data
    # The session goes on with what it has: its data channels resume it.
    assert client.upload("after.bin", data).startswith("226")
    client.quit()
    assert status(rotating).reload_refused == ""
    assert {status(rotating).certificate} == presented_by_all(rotating)


def _expired(path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=40)
    make_certificates(path, start=long_ago, lifetime=timedelta(days=30))


def _another_key(path: Path) -> None:
    make_certificates(path / "other")
    shutil.copy(path / "other" / "server.key", path / "server.key")


def _half_written(path: Path) -> None:
    whole = (path / "server.pem").read_text()
    (path / "server.pem").write_text(whole[: len(whole) // 2])


def _half_chain(path: Path) -> None:
    leaf, issuer = (path / "server.pem").read_text(), (path / "ca.pem").read_text()
    (path / "server.pem").write_text(leaf + issuer[: len(issuer) // 2])


def _missing(path: Path) -> None:
    (path / "server.key").unlink()


BAD: dict[str, Callable[[Path], None]] = {
    "expired on": _expired,
    "does not belong to the certificate": _another_key,
    "holds no certificate in PEM": _half_written,
    "ends in the midst of a certificate": _half_chain,
    "cannot read": _missing,
}


def test_a_bad_certificate_is_refused_loudly_and_the_old_one_serves_on(
    rotating: ServedFtps, tmp_path: Path
) -> None:
    path, kept = directory(rotating), tmp_path / "kept"
    shutil.copytree(path, kept)
    (good,) = presented_by_all(rotating)
    for number, (words, spoil) in enumerate(BAD.items(), 1):
        spoil(path)
        rotating.reload()

        def refused(number: int = number, words: str = words) -> bool:
            told = words in status(rotating).reload_refused  # written after the line
            return told and len(rotating.log_lines(REFUSED)) == number

        wait_until(refused, "the refusal")
        line = rotating.log_lines(REFUSED)[-1]
        assert line["level"] == "error"
        assert words in line["reason"]
        assert presented_by_all(rotating) == {good}
        shutil.copytree(kept, path, dirs_exist_ok=True)

    shown = rotating.manage("doctor", check=False)
    assert "problem  service: The last reload (" in shown
    assert "cannot read" in shown

    rotating.reload()
    wait_until(lambda: status(rotating).reload_refused == "", "a reload that is taken")
    assert "problem  service" not in rotating.manage("doctor", check=False)


def test_a_certificate_that_runs_out_soon_is_said_so_when_it_is_taken(rotating: ServedFtps) -> None:
    assert not rotating.log_lines("certificate.expires_soon")
    make_certificates(directory(rotating), lifetime=timedelta(days=12))
    rotating.reload()
    wait_until(lambda: bool(rotating.log_lines("certificate.expires_soon")), "the warning")
    assert rotating.log_lines("certificate.expires_soon")[0]["id"] == "securedrop.W024"


REFUSED = "service.reload_refused"


@pytest.mark.parametrize("value", ["0", "many", None])
def test_bad_settings_are_refused_and_the_old_ones_stay(
    rotating: ServedFtps, value: str | None
) -> None:
    file = Path(str(rotating.settings["MAX_BAD_COMMANDS_FILE"]))
    if value is None:
        file.unlink()
    else:
        file.write_text(value)
    before = presented(rotating)
    rotating.reload()
    wait_until(lambda: bool(rotating.log_lines(REFUSED)), "the refusal")
    assert "MAX_BAD_COMMANDS" in rotating.log_lines(REFUSED)[0]["reason"]
    assert presented_by_all(rotating) == {before}
    assert bad_commands_allowed(rotating) == 10


def test_good_settings_hold_for_new_connections(rotating: ServedFtps) -> None:
    Path(str(rotating.settings["MAX_BAD_COMMANDS_FILE"])).write_text("3")
    rotating.reload()
    wait_until(lambda: bad_commands_allowed(rotating) == 3, "the new setting")


def bad_commands_allowed(ftps: ServedFtps) -> int:
    """How many nonsense lines a new connection may send."""
    with socket.create_connection(("127.0.0.1", ftps.port), 20) as sock:
        sock.sendall(b"WHAT\r\n" * 20)
        sock.settimeout(20)
        received = b""
        while chunk := sock.recv(4096):
            received += chunk
    return received.count(b"500 ") + received.count(b"421 Too many errors")
