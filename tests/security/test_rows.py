"""Rows of the security bar (docs/reference/security-bar.md) that no other file attacks."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
from pathlib import Path

import pytest

from securedrop_ftp.tls.development import make_certificates
from tests.fixtures.processes import wait_until
from tests.fixtures.served import Serve, ServedFtps
from tests.fixtures.stores import BucketStore
from tests.security.test_control_channel import raw, read_all, read_reply


@pytest.mark.parametrize(("group", "taken"), [("prime256v1", True), ("secp521r1", False)])
def test_row_24_only_the_profiles_groups_agree_on_a_key(
    standing: Serve, group: str, taken: bool
) -> None:
    ftps = standing(options={"tls_profile": "modern"})
    context = ssl.create_default_context(cafile=str(ftps.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve(group)
    assert _handshake(ftps, context) is taken


def _handshake(ftps: ServedFtps, context: ssl.SSLContext) -> bool:
    with raw(ftps) as sock:
        sock.sendall(b"AUTH TLS\r\n")
        read_reply(sock)
        try:
            context.wrap_socket(sock, server_hostname="localhost").close()
        except (ssl.SSLError, ConnectionResetError):
            return False
    return True


def test_row_7_running_out_of_descriptors_is_survived(served: Serve) -> None:
    ftps = served()
    ftps.faults_expected = True
    (worker,) = ftps.workers
    used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    # More than a pool thread takes for its database connection just then.
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 12, hard))
    with contextlib.ExitStack() as stack:
        greetings = []
        for _ in range(40):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", ftps.port), 20))
            greetings.append(read_reply(sock)[:3])
    assert b"220" in greetings
    assert set(greetings) <= {b"220", b"421", b""}
    assert greetings[-1] != b"220"
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
    with ftps.login() as client:
        assert client.upload("after.txt", b"still here").startswith("226")


@pytest.fixture(params=["filesystem", "s3"])
def anywhere(request: pytest.FixtureRequest, standing: Serve) -> ServedFtps:
    return standing("sqlite", request.param)


def test_row_12_nothing_is_sent_to_a_data_channel_that_is_not_its_own(ftps: ServedFtps) -> None:
    with ftps.login() as client:
        client.upload("secret.txt", b"secret" * 5000)
        client.reuse_session = False
        host, port = client.makepasv()
        client.putcmd("RETR secret.txt")
        with socket.create_connection((host, port), timeout=20) as data:
            received = b""
            with contextlib.suppress(OSError):
                stranger = client.context.wrap_socket(data, server_hostname="localhost")
                received = stranger.recv(65536)
        assert received == b""
        assert [client.final_reply()[:3] for _ in "ab"] == ["150", "522"]


def test_row_14_an_empty_upload_replaces_the_old_bytes(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.upload("emptied.txt", b"old bytes")
        assert client.upload("emptied.txt", b"").startswith("226")
        assert client.size("emptied.txt") == 0
    assert anywhere.stored("acme/emptied.txt") == b""


def test_row_18_a_data_connection_without_a_transfer_is_answered_by_nothing(
    ftps: ServedFtps,
) -> None:
    with ftps.login() as client:
        for _ in range(3):
            with socket.create_connection(client.makepasv(), timeout=20) as data:
                data.sendall(b"not TLS at all\r\n")
                read_all(data)  # the server has seen it
        client.makepasv()
        assert client.reply_to("NOOP").startswith("200")
        assert client.upload("in-step.txt", b"x").startswith("226")


def test_row_22_an_empty_directory_lists_as_empty_every_time(anywhere: ServedFtps) -> None:
    with anywhere.login() as client:
        client.mkd("nothing")
        for _ in range(25):
            assert client.nlst("nothing") == []
        client.rmd("nothing")


def test_row_25_a_broken_rotation_is_refused_and_a_good_one_taken(
    served: Serve, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    names = {"tls_cert_file": tmp_path / "server.pem", "tls_key_file": tmp_path / "server.key"}
    ftps = served(options=names)
    before = _leaf(ftps)

    good = (tmp_path / "server.pem").read_bytes()
    (tmp_path / "server.pem").write_text("no certificate\n")
    ftps.reload()
    wait_until(lambda: "holds no" in ftps.log, "the refusal")
    assert _leaf(ftps) == before

    (tmp_path / "server.pem").write_bytes(good)
    make_certificates(tmp_path)
    ftps.reload()
    wait_until(lambda: _leaf(ftps) != before, "the new certificate")


def test_row_30_passwords_cost_19_mib_each(ftps: ServedFtps) -> None:
    stored = ftps.query("SELECT password FROM auth_user WHERE username = %s", "alice")
    assert stored[0]["password"].startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_row_34_what_could_continue_an_upload_is_nowhere_in_the_clear(standing: Serve) -> None:
    ftps = standing("sqlite", "s3")
    assert isinstance(ftps.store, BucketStore)
    with ftps.login() as client:
        assert client.truncated_upload("/suspended.bin", bytes(9 * 1024 * 1024))[0] in "45"
    wait_until(lambda: bool(ftps.audit("upload.suspended")), "the suspended upload")
    held = ftps.store.server.client().list_multipart_uploads(Bucket=ftps.store.bucket)
    upload_ids = [u["UploadId"] for u in held["Uploads"]]
    assert upload_ids
    rows = [r for r in ftps.uploads() if r["path"] == "/suspended.bin"]
    assert all(row["resume_token"] for row in rows)
    for file in ftps.directory.rglob("*"):  # the database, its WAL, the log, the data directory
        for upload_id in upload_ids:
            assert not file.is_file() or upload_id.encode() not in file.read_bytes(), file


def _leaf(ftps: ServedFtps) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with raw(ftps) as sock:
        sock.sendall(b"AUTH TLS\r\n")
        read_reply(sock)
        with context.wrap_socket(sock) as secured:
            return secured.getpeercert(binary_form=True)
