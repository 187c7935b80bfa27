"""What doctor says of the admin site's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from securedrop_ftp.conf import Conf
from securedrop_ftp.server.doctor.finding import Level
from securedrop_ftp.server.doctor.site import site_certificate
from securedrop_ftp.tls.development import make_certificates


def found(tmp_path: Path, settings: Any, hosts: list[str], **own: Any) -> list[tuple[Level, str]]:
    make_certificates(tmp_path / "certs")
    certificates = tmp_path / "certs"
    settings.ALLOWED_HOSTS = hosts
    conf = Conf(
        tls_cert_file=str(certificates / "server.pem"),
        tls_key_file=str(certificates / "server.key"),
        **own,
    )
    return [(finding.level, str(finding)) for finding in site_certificate(conf)]


def test_a_site_for_this_machine_only_needs_nothing(tmp_path: Path, settings: Any) -> None:
    assert found(tmp_path, settings, ["localhost", "127.0.0.1", "[::1]"]) == []


def test_a_certificate_that_is_not_for_the_sites_name_is_named(
    tmp_path: Path, settings: Any
) -> None:
    ((level, text),) = found(tmp_path, settings, ["drop.example.com"])
    assert level is Level.WARNING
    assert "drop.example.com" in text
    assert "SECUREDROP_WEB_TLS_CERT_FILE" in text


def test_a_pair_of_its_own_that_cannot_be_read_is_a_problem(tmp_path: Path, settings: Any) -> None:
    findings = found(tmp_path, settings, ["drop.example.com"], web_tls_cert_file="/no/such.pem")
    assert any(level is Level.PROBLEM for level, _ in findings)
