"""Rows follow a partner, not its name; and rows from before they did hold as they are."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from securedrop_ftp.access.provisioning import (
    change_partner,
    create_account,
    create_partner,
    set_password,
)
from securedrop_ftp.audit import receivers
from securedrop_ftp.audit.chain import verify
from securedrop_ftp.events import Event, Operator
from securedrop_ftp.models import AuditEvent, Partner
from securedrop_ftp.signals import emit
from tests.fixtures.databases import SharedDatabase

BEFORE = "0008"


def _upload(partner: Partner, path: str) -> None:
    emit(Event("upload.committed", partner=partner.name, partner_id=partner.pk, path=path))


def _old_upload(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    """As the release before wrote it."""
    with monkeypatch.context() as patch:
        patch.setattr(receivers, "VERSION", None)
        emit(Event("upload.committed", partner=name, path=path))


def _exported(partner: str) -> list[str]:
    out = io.StringIO()
    call_command("audit_export", partner=partner, event="upload.committed", stdout=out)
    return [json.loads(line)["path"] for line in out.getvalue().splitlines()]


def test_a_renamed_partner_keeps_its_trail_and_takes_no_others(
    db: None, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    acme = create_partner("test", name="acme")
    _old_upload(monkeypatch, "acme", "/v1-as-acme")
    _upload(acme, "/as-acme")
    change_partner(acme, "test", name="initech")
    _old_upload(monkeypatch, "initech", "/v1-as-initech")
    _upload(acme, "/as-initech")
    change_partner(acme, "test", name="hooli")
    _upload(acme, "/as-hooli")
    heir = create_partner("test", name="acme", prefix="heir/")
    _old_upload(monkeypatch, "acme", "/v1-of-the-heir")
    _upload(heir, "/of-the-heir")
    theirs = ["/v1-as-acme", "/as-acme", "/v1-as-initech", "/as-initech", "/as-hooli"]
    assert _exported("hooli") == theirs
    assert _exported("acme") == ["/v1-of-the-heir", "/of-the-heir"]
    listed = admin_client.get(
        reverse("admin:securedrop_ftp_auditevent_changelist"), {"partner": "hooli"}
    ).content.decode()
    assert [path for path in theirs if path in listed] == theirs
    assert "of-the-heir" not in listed
    assert verify().broken == ""


def test_rows_say_which_partner_and_which_operator(db: None) -> None:
    partner = create_partner("test", name="acme")
    boss = Operator("boss", "admin", "192.0.2.1")
    account = create_account(partner, "alice", "a-long-enough-password", boss)
    set_password(account, "another-long-password", boss)
    rows = AuditEvent.objects.filter(event="account.changed").order_by("seq")
    assert {(r.partner_id, r.actor, r.remote_ip) for r in rows} == {
        (partner.pk, "boss", "192.0.2.1")
    }
    assert all("by boss (admin)" in r.reason for r in rows)


def test_what_an_operator_did_is_found_by_the_name(admin_client: Client) -> None:
    """Also where the operator's own logins are in the trail."""
    boss = Operator("boss", "admin")
    emit(Event("login.succeeded", account="boss", reason="own login"))
    create_account(create_partner(boss, name="acme"), "alice", "a-long-enough-password", boss)
    url = reverse("admin:securedrop_ftp_auditevent_changelist")
    page = admin_client.get(url, {"q": "boss"}).content.decode()
    for told in ("own login", "created by boss (admin)", "alice"):
        assert told in page


@pytest.mark.parametrize(
    ("seq", "sets"),
    [
        (2, "partner_id = 99"),
        (2, "actor = 'innocent'"),
        (2, "version = NULL"),
        (2, "version = NULL, partner_id = NULL, actor = NULL"),
        (2, "version = 2"),
        (2, "version = 4"),
        (2, "details = '{}'"),
        # A row of version 1 gets what its hash does not cover, or another version.
        (1, "partner_id = 99"),
        (1, "actor = 'innocent'"),
        (1, "details = '{}'"),
        (1, "version = 2"),
        (1, "version = 3"),
    ],
)
def test_a_version_is_part_of_what_the_chain_proves(
    db: None, monkeypatch: pytest.MonkeyPatch, seq: int, sets: str
) -> None:
    _old_upload(monkeypatch, "acme", "/old")
    emit(Event("partner.changed", partner="acme", partner_id=1, actor="boss"))
    assert verify().broken == ""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE securedrop_ftp_auditevent SET {sets} WHERE seq = {seq}")
    assert verify().broken.startswith(f"row {seq}: ")


_OLD_ROWS = """
import django; django.setup()
from securedrop_ftp.audit import receivers
from securedrop_ftp.events import Event
from securedrop_ftp.signals import emit
receivers.VERSION = None
for number in range(20):
    emit(Event("upload.committed", partner="acme", path=f"/{number}", size=number))
"""
_EMPTY = """
import django; django.setup()
from securedrop_ftp.models import AuditEvent, AuditHead
AuditEvent.objects.all()._raw_delete("default")
AuditHead.objects.all().delete()
"""


def test_old_rows_hold_after_the_migration(shared_database: SharedDatabase) -> None:
    run: Any = shared_database.run
    run("-c", _EMPTY)
    run("-c", _OLD_ROWS)
    run("manage.py", "migrate", "securedrop_ftp", BEFORE)
    run("manage.py", "migrate")
    assert "holds: 20 rows" in run("manage.py", "audit_verify")
    run("manage.py", "partner_create", "newcomer")
    assert "holds: 21 rows" in run("manage.py", "audit_verify")
    lines = run("manage.py", "audit_export").splitlines()
    old, new = json.loads(lines[0]), json.loads(lines[-1])
    assert "version" not in old
    assert new["version"] == 3
    assert new["partner_id"] > 0
    assert new["actor"]
