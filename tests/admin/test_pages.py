"""What our pages have in common: titles, the question before an act, the order of the index."""

from __future__ import annotations

import html
import re

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from securedrop_ftp import causes
from securedrop_ftp.events import Event
from securedrop_ftp.models import AuditEvent, LiveSession, Partner
from securedrop_ftp.signals import emit


def _session() -> LiveSession:
    return LiveSession.objects.create(
        id="0123abcd",
        owner="node:boot:0",
        node="node",
        partner="acme",
        account="alice",
        remote_ip="192.0.2.7",
        doing="Upload of /<b>in</b>.bin",
        started=timezone.now(),
        seen=timezone.now(),
    )


def test_a_session_is_ended_with_one_button_and_one_question(
    operator: Client, partner: Partner
) -> None:
    row = _session()
    page = operator.get(reverse("admin:securedrop_ftp_livesession_changelist")).content.decode()
    ask = reverse("admin:securedrop_ftp_livesession_end", args=(row.pk,))
    assert f'href="{ask}"' in page
    question = operator.get(ask).content.decode()
    assert "<strong>alice</strong> from 192.0.2.7: Upload of /&lt;b&gt;in" in question
    assert not LiveSession.objects.get().end_requested_by, "a question ended it"
    answer = operator.post(ask, follow=True)
    assert "will end within a few seconds" in answer.content.decode()
    assert LiveSession.objects.get().end_requested_by == "olga (admin)"


def test_a_session_that_has_ended_meanwhile_says_so(operator: Client) -> None:
    ask = reverse("admin:securedrop_ftp_livesession_end", args=("gone",))
    for answer in (operator.get(ask, follow=True), operator.post(ask, follow=True)):
        assert "That session has ended." in answer.content.decode()


def test_who_may_only_look_ends_no_session(client: Client, db: None) -> None:
    viewer = User.objects.create_user("vera", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_livesession"))
    client.force_login(viewer, backend="django.contrib.auth.backends.ModelBackend")
    row = _session()
    url = reverse("admin:securedrop_ftp_livesession_end", args=(row.pk,))
    assert client.get(reverse("admin:securedrop_ftp_livesession_changelist")).status_code == 200
    assert client.get(url).status_code == 403
    assert client.post(url).status_code == 403
    assert not LiveSession.objects.get().end_requested_by


def test_a_list_is_called_by_what_it_lists(operator: Client) -> None:
    for name, title in (
        ("auditevent", "Audit events"),
        ("upload", "Uploads"),
        ("lockout", "Lockouts"),
        ("livesession", "Live sessions"),
        ("partner", "Partners"),
        ("account", "Accounts"),
    ):
        page = operator.get(reverse(f"admin:securedrop_ftp_{name}_changelist")).content.decode()
        assert f"<h1>{title}</h1>" in page


def test_the_index_begins_with_the_file_drop_and_shows_nothing_twice(operator: Client) -> None:
    page = operator.get(reverse("admin:index")).content.decode()
    headings = re.findall(r'class="section"[^>]*>([^<]+)<', page)
    assert headings[0] == "Secure file drop"
    assert "Second factor" in headings
    assert not [name for name in headings if "axes" in name.lower()]


def test_a_session_that_failed_names_client_causes_and_remedies(
    operator: Client, partner: Partner
) -> None:
    cause = causes.NOT_RESUMED
    trouble = {
        "cause": cause.name, "count": 2, "happened": cause.happened, "remedy": cause.remedy
    }  # fmt: skip
    details = {"client": "<b>x", "tls": "TLSv1.2", "transfers": 1, "failed": 2}
    emit(
        Event(
            "session.closed",
            outcome="failure",
            partner=partner.name,
            partner_id=partner.pk,
            details=details | {"troubles": [trouble]},
        )
    )
    row = AuditEvent.objects.get(event="session.closed")
    url = reverse("admin:securedrop_ftp_auditevent_change", args=(row.pk,))
    page = operator.get(url).content.decode()
    for told in ("&lt;b&gt;x, TLSv1.2", "1 went through, 2 failed", f"<strong>{cause.name}"):
        assert told in page
    assert html.escape(cause.remedy) in page


def test_a_partner_leads_to_its_failed_sessions(operator: Client, partner: Partner) -> None:
    page = operator.get(
        reverse("admin:securedrop_ftp_partner_change", args=(partner.pk,))
    ).content.decode()
    link = re.search(r'href="([^"]+)">What its sessions failed with', page)
    assert link is not None
    assert f"doctor --partner {partner.name}" in page
    for name, outcome in ((partner.name, "failure"), (partner.name, "success"), ("o", "failure")):
        emit(Event("session.closed", outcome=outcome, partner=name, reason=f"{name} {outcome}"))
    listed = operator.get(html.unescape(link[1])).content.decode()
    assert f"{partner.name} failure" in listed
    assert f"{partner.name} success" not in listed
    assert "o failure</td>" not in listed.replace(f"{partner.name} failure", "")
