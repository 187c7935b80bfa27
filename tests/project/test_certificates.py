"""Development certificates, and the checks that judge certificate files."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from django.core.management import CommandError, call_command

from securedrop_ftp.checks import certificate_problems
from securedrop_ftp.conf import Conf
from securedrop_ftp.project.demo.preparation import development_pair
from securedrop_ftp.tls.development import NAMES, make_certificates

NOW = datetime.now(UTC)


def conf_for(directory: Path) -> Conf:
    return Conf(
        tls_cert_file=str(directory / "server.pem"), tls_key_file=str(directory / "server.key")
    )


def ids(conf: Conf, now: datetime | None = None) -> list[str | None]:
    return [problem.id for problem in certificate_problems(conf, now)]


def snapshot(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in NAMES}


# --- dev_certs ---------------------------------------------------------------------------


def test_dev_certs_makes_a_whole_set_with_closed_keys(tmp_path: Path) -> None:
    call_command("dev_certs", dir=tmp_path, stdout=None)
    assert {p.name for p in tmp_path.iterdir()} == set(NAMES)
    for key in ("server.key", "client.key"):
        assert (tmp_path / key).stat().st_mode & 0o777 == 0o600
    assert ids(conf_for(tmp_path)) == []


@pytest.mark.integration
@pytest.mark.parametrize("flags", [("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1")])
def test_openssl_accepts_the_server_for_loopback_names(
    tmp_path: Path, flags: tuple[str, str]
) -> None:
    make_certificates(tmp_path)
    subprocess.run(
        ["openssl", "verify", "-CAfile", "ca.pem", "-purpose", "sslserver", *flags, "server.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


def test_dev_certs_never_overwrites_without_force(tmp_path: Path) -> None:
    call_command("dev_certs", dir=tmp_path, stdout=None)
    before = snapshot(tmp_path)
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("dev_certs", dir=tmp_path)
    assert snapshot(tmp_path) == before
    call_command("dev_certs", dir=tmp_path, force=True, stdout=None)
    assert snapshot(tmp_path) != before


def test_dev_certs_says_where_it_cannot_write() -> None:
    with pytest.raises(CommandError, match="Cannot write to /proc/nowhere"):
        call_command("dev_certs", dir=Path("/proc/nowhere"))


def test_the_demo_keeps_good_certificates_and_renews_expired_ones(tmp_path: Path) -> None:
    make_certificates(tmp_path, start=NOW - timedelta(days=9), lifetime=timedelta(days=1))
    expired = snapshot(tmp_path)
    development_pair(tmp_path)
    renewed = snapshot(tmp_path)
    assert renewed != expired
    development_pair(tmp_path)
    assert snapshot(tmp_path) == renewed


# --- checks ------------------------------------------------------------------------------


def test_no_certificate_is_an_error_that_names_the_variables() -> None:
    (problem,) = certificate_problems(Conf())
    assert problem.id == "securedrop.E020"
    assert "SECUREDROP_TLS_CERT_FILE and SECUREDROP_TLS_KEY_FILE are not set" in problem.msg


def test_expiry_is_told_30_days_ahead_and_again_when_it_is_there(tmp_path: Path) -> None:
    make_certificates(tmp_path, start=NOW, lifetime=timedelta(days=100))
    conf = conf_for(tmp_path)
    assert ids(conf, NOW + timedelta(days=69)) == []
    assert ids(conf, NOW + timedelta(days=71)) == ["securedrop.W024"]
    assert ids(conf, NOW + timedelta(days=101)) == ["securedrop.E024"]
    assert ids(conf, NOW - timedelta(days=1)) == ["securedrop.E027"]


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "server.key").write_bytes((tmp_path / "client.key").read_bytes())
    assert ids(conf_for(tmp_path)) == ["securedrop.E025"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("server.pem", None, "securedrop.E021"),
        ("server.key", None, "securedrop.E021"),
        ("server.pem", b"not a certificate", "securedrop.E022"),
        ("server.key", b"not a key", "securedrop.E023"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    make_certificates(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    assert ids(conf_for(tmp_path)) == [expected]


def test_a_key_with_a_password_is_an_error(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    path = tmp_path / "server.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    assert ids(conf_for(tmp_path)) == ["securedrop.E023"]


def test_a_key_that_everyone_can_read_is_a_warning(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    (tmp_path / "server.key").chmod(0o644)
    assert ids(conf_for(tmp_path)) == ["securedrop.W026"]


@pytest.mark.integration
def test_a_weak_rsa_key_is_an_error(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "90", "-subj",
         "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )  # fmt: skip
    (tmp_path / "server.key").chmod(0o600)
    assert ids(conf_for(tmp_path)) == ["securedrop.E028"]


def test_a_client_ca_is_judged_too(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    base = conf_for(tmp_path)
    missing = Conf(base.data_dir, tls_cert_file=base.tls_cert_file,
                   tls_key_file=base.tls_key_file, tls_client_ca_file="/no/ca.pem")  # fmt: skip
    assert ids(missing) == ["securedrop.E021"]


def test_python_takes_the_development_set_as_it_is(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
