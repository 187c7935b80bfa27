"""The command ``partner_certificates``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from securedrop_ftp.models import AuditEvent, Partner
from tests.fixtures.pki import authority


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("partner_certificates", *arguments, stdout=out)
    return out.getvalue()


def test_it_sets_what_is_named_and_leaves_the_rest(partner: Partner, tmp_path: Path) -> None:
    ca = authority("Acme CA")
    (tmp_path / "ca.pem").write_text(ca.pem)
    (tmp_path / "list.pem").write_text(ca.revoke())
    shown = run("acme", "--policy", "required", "--ca", str(tmp_path / "ca.pem"))
    assert shown.startswith("Partner acme: required.\nCA CN=Acme CA,O=Test")
    assert "revocation list" in run("acme", "--crl", str(tmp_path / "list.pem"))
    partner.refresh_from_db()
    assert (partner.client_certificates, partner.client_ca) == ("required", ca.pem)
    reasons = AuditEvent.objects.filter(event="partner.changed").values_list("reason", flat=True)
    assert any("client_ca, client_certificates" in reason for reason in reasons)


def test_it_refuses_with_a_sentence(partner: Partner, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(CommandError, match="No CA certificate"):
        run("acme", "--ca", str(tmp_path / "junk"))
    with pytest.raises(CommandError, match="There is no partner"):
        run("nobody")
    with pytest.raises(CommandError, match="Cannot read"):
        run("acme", "--crl", str(tmp_path / "missing"))
    partner.refresh_from_db()
    assert partner.client_ca == ""
