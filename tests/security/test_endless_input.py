"""Who sends without end what is not a command holds nobody else up (row 6)."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from securedrop_ftp.conf import Conf
from securedrop_ftp.ftps.control import RECORDS_PER_TURN, SECONDS_PER_TURN, ControlChannel
from securedrop_ftp.ftps.wire import Command, Violation
from securedrop_ftp.server.loop import Loop
from securedrop_ftp.tls.handshake_limit import MAX_STEPS
from tests.fixtures.cast import password_of
from tests.fixtures.pki import authority
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.security import sealing
from tests.security.test_control_channel import raw, read_reply

#: So many that they could hold the loop for a good while.
MANY = 20_000
ENDLESS = "connection lost: endless handshakes"


def cut_off(sock: socket.socket, records: bytes) -> bool:
    """Whether the service closes the connection for them."""
    sock.settimeout(20)
    try:
        sock.sendall(records)
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def secured(ftps: ServedFtps, version: int) -> sealing.Sealer:
    sock = raw(ftps)
    sock.sendall(b"AUTH TLS\r\n")
    assert read_reply(sock).startswith(b"234")
    return sealing.client(sock, version)


def reasons(ftps: ServedFtps) -> list[str]:
    return [str(row["reason"]) for row in ftps.audit("session.closed")]


def test_row_6_requests_for_renegotiation_without_end_are_cut_off(served: Serve) -> None:
    ftps = served()
    sealer = secured(ftps, SSL.TLS1_2_VERSION)
    with sealer.sock as sock:
        assert cut_off(sock, sealer.hellos(MANY))
    wait_until(lambda: reasons(ftps) == [ENDLESS], "the end of the session")


def test_row_6_key_updates_without_end_are_cut_off(served: Serve) -> None:
    ftps = served(options={"tls_profile": "modern"})
    sealer = secured(ftps, SSL.TLS1_3_VERSION)
    with sealer.sock as sock:
        assert cut_off(sock, sealer.key_updates(MANY))
    wait_until(lambda: reasons(ftps) == [ENDLESS], "the end of the session")


def test_a_few_key_updates_are_a_clients_right(served: Serve) -> None:
    ftps = served(options={"tls_profile": "modern"})
    sealer = secured(ftps, SSL.TLS1_3_VERSION)
    with sealer.sock as sock:
        sock.sendall(sealer.key_updates(MAX_STEPS // 8))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    wait_until(lambda: len(reasons(ftps)) == 1, "the end of the session")
    assert reasons(ftps) != [ENDLESS]


def test_row_6_an_upload_that_is_cut_off_for_them_is_not_taken_for_whole(served: Serve) -> None:
    """Invariant 3: reading ends without the peer's close_notify."""
    ftps = served()
    sealer = secured(ftps, SSL.TLS1_2_VERSION)
    tls = sealer.tls
    with sealer.sock:
        _told(tls, "USER alice")
        _told(tls, f"PASS {password_of('alice')}")
        _told(tls, "PBSZ 0")
        _told(tls, "PROT P")
        port = int(_told(tls, "EPSV").split("|||")[1].split("|")[0])
        with socket.create_connection(("127.0.0.1", port), 60) as data:
            tls.sendall(b"STOR half.bin\r\n")
            channel = sealer.data_channel(data)
            assert cut_off(data, channel.hellos(MANY, before=b"half"))
        assert _reply(tls).startswith("150")
        assert _reply(tls).startswith("426")
    assert ftps.keys() == []


def _told(tls: SSL.Connection, line: str) -> str:
    tls.sendall(f"{line}\r\n".encode())
    return _reply(tls)


def _reply(tls: SSL.Connection) -> str:
    data = b""
    while not data.endswith(b"\r\n"):
        data += tls.recv(1)
    return data.decode()


# --- after the end -----------------------------------------------------------------------


class Flooded(ControlChannel):
    """More input than anyone can read."""

    reads = 0

    def receive(self, size: int) -> bytes | None:
        self.reads += 1
        assert self.reads < 100 * RECORDS_PER_TURN
        return bytes(size)


@pytest.fixture
def flooded() -> Iterator[Flooded]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Flooded(Loop(), ours, Conf())


def test_row_6_what_comes_behind_quit_is_thrown_away_a_turn_at_a_time(flooded: Flooded) -> None:
    flooded.finish(None, "quit")
    flooded.handle_read_event()
    assert 0 < flooded.reads <= RECORDS_PER_TURN


# --- commands that take long ---------------------------------------------------------------


class Laborious(ControlChannel):
    """Sixteen commands have come in one record, and each takes its time."""

    started = 0

    def receive(self, size: int) -> bytes | None:
        return b"CWD /a/a/a\r\n" * 16

    def answer_out_of_turn(self, item: Command | Violation) -> bool:
        return False

    def transferring(self) -> bool:
        return False

    def idle(self) -> bool:
        return True

    def start(self, item: Command | Violation) -> None:
        self.started += 1
        time.sleep(2 * SECONDS_PER_TURN)


def test_row_6_costly_commands_take_turns_with_other_clients() -> None:
    loop = Loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Laborious(loop, ours, Conf())
        channel.handle_read_event()
        assert channel.started == 1
        loop.call_soon(loop.stop)
        loop.run()
        assert channel.started == 2


# --- certificates that take long to verify ------------------------------------------------

HANDSHAKES = 20


def test_row_6_a_handshake_verifies_no_chain_of_a_strangers(served: Serve, tmp_path: Path) -> None:
    """A signature of 16384 bits with a long exponent takes 5 ms to find wrong."""
    ca = tmp_path / "ca.pem"
    ca.write_text(authority("Partners' CA").pem)
    ftps = served(options={"tls_client_ca_file": ca})
    work_of_handshakes(ftps, 0)  # what is done once
    plain = work_of_handshakes(ftps, 0)
    assert work_of_handshakes(ftps, 9) < 3 * plain


def work_of_handshakes(ftps: ServedFtps, issuers: int) -> float:
    """CPU seconds of the worker for some handshakes with a client certificate, and USER."""
    (worker,) = ftps.workers
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf, *others = costly_chain(key.public_key(), issuers)
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    context.use_privatekey(key)
    before = cpu_seconds(worker)
    for _ in range(HANDSHAKES):
        with raw(ftps) as sock:
            sock.sendall(b"AUTH TLS\r\n")
            assert read_reply(sock).startswith(b"234")
            sock.settimeout(None)
            tls = SSL.Connection(context, sock)
            tls.set_connect_state()
            tls.do_handshake()
            assert _told(tls, "USER nobody").startswith("331")
    return cpu_seconds(worker) - before


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def costly_chain(leaf: ec.EllipticCurvePublicKey, length: int) -> list[x509.Certificate]:
    """The leaf and ``length`` issuers, each with a key of nobody's and a signature of nothing."""
    bits = 16384
    keys: list[ec.EllipticCurvePublicKey | rsa.RSAPublicKey] = [leaf]
    for _ in range(length):
        modulus = secrets.randbits(bits) | 1 << bits - 1 | 1
        keys.append(rsa.RSAPublicNumbers((1 << 64) - 1, modulus).public_key())
    signer = rsa.generate_private_key(65537, 2048)
    now = datetime.now(UTC)
    chain = []
    for number, key in enumerate(keys):
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(number))
            .issuer_name(_name(number + 1))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=bool(number), path_length=None), critical=True)
            .sign(signer, SHA256())
        )
        signature = b"\0\1" + secrets.token_bytes(bits // 8 - 1)
        algorithm = bytes.fromhex("300d06092a864886f70d01010b0500")  # sha256WithRSAEncryption
        der = _der(0x30, made.tbs_certificate_bytes + algorithm + _der(0x03, signature))
        chain.append(x509.load_der_x509_certificate(der))
    return chain


def _name(number: int) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"nobody {number}")])


def _der(tag: int, body: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body  # all are that long
