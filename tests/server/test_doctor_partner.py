"""``doctor --partner``: what a partner's software fails with, read from the trail."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from securedrop_ftp import causes
from securedrop_ftp.access.provisioning import create_account, create_partner
from securedrop_ftp.audit.difficulties import ADDRESSES, history
from securedrop_ftp.causes import Cause
from securedrop_ftp.events import Event
from securedrop_ftp.ftps.course import Course
from securedrop_ftp.models import Partner
from securedrop_ftp.signals import emit

ADDRESS = "192.0.2.7"


@pytest.fixture
def acme(db: None) -> Partner:
    partner = create_partner("test", name="acme")
    create_account(partner, "alice", "a-long-enough-password", "test")
    return partner


def _session(partner: Partner | None, *met: Cause, minutes: int = 0, **fields: Any) -> None:
    """A session that ended so many minutes ago."""
    course = Course()
    course.client = "lftp/4.9.2"
    for cause in met:
        course.troubles.add(cause)
        course.ended(well=False)
    if not met:
        course.ended(well=True)
    fields.setdefault("account", "alice" if partner else "")
    fields.setdefault("remote_ip", ADDRESS)
    emit(
        Event(
            "session.closed",
            outcome=course.outcome(logged_in=partner is not None),
            partner=partner.name if partner else "",
            partner_id=partner.pk if partner else None,
            details=course.details(None),
            time=timezone.now() - timedelta(minutes=minutes),
            **fields,
        )
    )


def _doctor(*options: str) -> tuple[str, int]:
    out, code = io.StringIO(), 0
    try:
        call_command("doctor", "--partner", "acme", *options, stdout=out)
    except SystemExit as exc:
        code = int(str(exc.code))
    return out.getvalue(), code


def test_a_cause_is_told_with_count_client_remedy_and_command(acme: Partner) -> None:
    for _ in range(3):
        _session(acme, causes.NOT_RESUMED)
    text, code = _doctor()
    assert code == 1
    (line,) = [line for line in text.splitlines() if line.startswith("problem")]
    assert "data-channel.not-resumed: 3 times, last on " in line
    assert f"alice from {ADDRESS}; client: lftp/4.9.2" in line
    assert causes.NOT_RESUMED.happened in line
    assert causes.NOT_RESUMED.remedy in line
    assert line.endswith("To change it: partner_set acme --tls-session-reuse off")


def test_what_a_later_session_got_over_is_a_warning(acme: Partner) -> None:
    _session(acme, causes.NOT_RESUMED, minutes=5)
    _session(acme)
    text, code = _doctor()
    assert code == 0
    assert "warning  data-channel.not-resumed: once" in text
    assert "sessions went through since" in text
    assert "1 of 2 transfers went through" in text


def test_a_failed_login_belongs_to_the_partner_and_has_its_sessions_client(acme: Partner) -> None:
    emit(
        Event(
            "login.failed", outcome="failure", partner="acme", partner_id=acme.pk, account="alice",
            remote_ip=ADDRESS, session="s1", reason="network",
        )
    )  # fmt: skip
    _session(None, causes.LOGIN_ADDRESS, session="s1")
    text, code = _doctor()
    assert code == 1
    assert "login.address-not-allowed: once" in text  # and not once more by its address
    assert "client: lftp/4.9.2" in text
    assert f"partner_rules acme add allow {ADDRESS}" in text


def test_what_fails_before_a_login_is_found_by_the_address(acme: Partner) -> None:
    _session(acme)
    _session(None, causes.TLS_VERSION)
    _session(None, causes.SPOKE_SSH, remote_ip="198.51.100.9")
    text, code = _doctor()
    assert code == 0
    assert "warning  tls.version: once" in text
    assert "nobody had logged in" in text
    assert "control.ssh" not in text


def test_another_partners_sessions_are_not_told(acme: Partner) -> None:
    other = create_partner("test", name="globex")
    _session(other, causes.STALLED, remote_ip="198.51.100.9")
    text, _ = _doctor()
    assert "No session of acme" in text
    assert "stalled" not in text


def test_settings_that_keep_everybody_out_are_problems(acme: Partner) -> None:
    acme.enabled = False
    acme.save()
    text, code = _doctor()
    assert code == 1
    assert "problem  settings: The partner is disabled" in text
    assert "partner_set acme --enabled on" in text


def test_scripts_get_json(acme: Partner) -> None:
    _session(acme, causes.STALLED)
    text, code = _doctor("--format", "json")
    assert code == 1
    findings = json.loads(text)
    assert [f["check"] for f in findings if f["level"] == "problem"] == ["transfer.stalled"]
    assert findings[0].keys() == {"level", "check", "text", "mend"}


def test_a_partner_that_is_none_is_said_to_be_none(acme: Partner) -> None:
    with pytest.raises(CommandError, match="Did you mean “acme”"):
        call_command("doctor", "--partner", "acm")


def test_a_handful_of_queries_however_long_the_trail_is(acme: Partner) -> None:
    for number in range(2 * ADDRESSES):
        _session(acme, causes.STALLED, remote_ip=f"192.0.2.{number}", session=f"s{number}")
    with CaptureQueriesContext(connection) as queries:
        told = history("acme")
    assert len(queries) <= 9
    assert told.difficulties[0].count == 2 * ADDRESSES
    assert len(told.difficulties[0].addresses) == 3


def test_what_a_client_sent_drives_no_terminal(acme: Partner) -> None:
    _session(acme, causes.STALLED, account="\x1b[2Jalice")
    text, _ = _doctor()
    assert text.replace("\n", "").isprintable()
