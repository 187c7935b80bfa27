"""A partner is not moved away from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.forms.models import model_to_dict
from django.test import Client
from django.urls import reverse

from securedrop_ftp.models import Partner


def _move(client: Client, partner: Partner, prefix: str) -> Any:
    values = {k: v for k, v in model_to_dict(partner).items() if v not in (None, "", False)}
    for inline in ("ip_rules", "accounts"):
        values |= {f"{inline}-TOTAL_FORMS": 0, f"{inline}-INITIAL_FORMS": 0}
    url = reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    return client.post(url, values | {"prefix": prefix})


def test_a_prefix_that_holds_files_is_not_changed(
    operator: Client, partner: Partner, settings: Any, tmp_path: Path
) -> None:
    disk = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path)},
    }
    settings.STORAGES = {**settings.STORAGES, "disk": disk}
    partner.storage = "disk"
    partner.save()
    file = tmp_path / "acme" / "in" / "file.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    answer = _move(operator, partner, "elsewhere/")
    assert "holds files, which would not go along" in answer.content.decode()
    partner.refresh_from_db()
    assert partner.prefix == "acme/"
    file.unlink()
    assert _move(operator, partner, "elsewhere/").status_code == 302
    partner.refresh_from_db()
    assert partner.prefix == "elsewhere/"
